"""Rows of training for a joint comparison, from the snapshot that a package was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore import drift
from rescore.errors import DigestMismatchError, NotFoundError
from rescore.pipeline.packages.frozen_training import reference_rows

if TYPE_CHECKING:
    from rescore import model
    from rescore.pipeline.context import Context

__all__ = ["training_rows"]


def training_rows(ctx: Context, package: model.Package) -> drift.TrainingRows:
    """As many rows of every training interval, drawn by the package's seed; or why there are none.

    A package holds no rows, so they come from the archive. A snapshot past its retention makes a
    report less complete; it is no reason to stop a run.
    """
    seed = package.manifest.seed or 0
    try:
        rows = reference_rows(ctx, package.manifest.lineage)
    except (NotFoundError, DigestMismatchError) as error:
        return drift.TrainingRows(None, seed, f"the training snapshot can't be read: {error.what}")
    return drift.TrainingRows(drift.sample_rows(rows, seed), seed)
