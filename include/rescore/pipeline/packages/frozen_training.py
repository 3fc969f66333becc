"""The frozen rows of a training: those with a label, and those that only drift's reference is made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescore import source
from rescore.sha256 import Sha256

if TYPE_CHECKING:
    import pyarrow as pa

    from rescore.pipeline.context import Context

__all__ = ["reference_rows", "training_files"]


def training_files(ctx: Context, lineage: Mapping[str, Any]) -> list[Path]:
    """The files of the labelled rows and, if there are any, of the rows without a label.

    Parameters
    ----------
    ctx : Context
        Archive.
    lineage : mapping
        As a manifest has it: ``snapshot_digest`` and, under ``snapshot``, ``unlabelled_digest``.

    Raises
    ------
    NotFoundError, DigestMismatchError
        A file is gone, or is not what was frozen.
    """
    return [ctx.archive.get_input(digest) for digest in _digests(lineage)]


def reference_rows(ctx: Context, lineage: Mapping[str, Any]) -> pa.Table:
    """All rows of the training's intervals that scoring would have seen: the labelled ones first."""
    import pyarrow as pa

    return pa.concat_tables(
        source.read_frozen(ctx.archive.get_input(digest), digest) for digest in _digests(lineage)
    )


def _digests(lineage: Mapping[str, Any]) -> list[Sha256]:
    unlabelled = (lineage.get("snapshot") or {}).get("unlabelled_digest")
    return [Sha256(digest) for digest in (lineage["snapshot_digest"], unlabelled) if digest is not None]
