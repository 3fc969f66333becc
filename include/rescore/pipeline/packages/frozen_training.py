"""The frozen rows of a training: those with a label, and those that only drift's reference is made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from rescore.manifest import Lineage
    from rescore.pipeline.context import Context

__all__ = ["reference_rows", "training_files"]


def training_files(ctx: Context, lineage: Lineage) -> list[Path]:
    """The files of the labelled rows and, if there are any, of the rows without a label.

    Parameters
    ----------
    ctx : Context
        Archive.
    lineage : Lineage
        Which rows.

    Raises
    ------
    NotFoundError, DigestMismatchError
        A file is gone, or is not what was frozen.
    """
    return [ctx.archive.get_input(digest) for digest in lineage.digests]


def reference_rows(ctx: Context, lineage: Lineage) -> pa.Table:
    """All rows of the training's intervals that scoring would have seen: the labelled ones first.

    Those that were erased since are missing.
    """
    import pyarrow as pa

    return pa.concat_tables(ctx.frozen_table(digest)[1] for digest in lineage.digests)
