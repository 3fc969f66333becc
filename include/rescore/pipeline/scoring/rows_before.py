"""How many rows the windows before a run had: what the number of its own is compared with."""

from __future__ import annotations

from rescore import drift
from rescore.pipeline.context import Context
from rescore.store import ScoredRun

__all__ = ["rows_before"]

#: Weeks of days, and days of hours, in which times recur often enough; more would be read for each run.
LAST_WINDOWS = 200


def rows_before(ctx: Context, run: ScoredRun) -> list[drift.WindowRows]:
    """Of the model's published windows that had ended when this one began; rows set aside don't count."""
    published = ctx.store.runs.published(run.model, ended_by=run.interval.start, last=LAST_WINDOWS)
    return [drift.WindowRows(one.interval.start, one.rows_scored) for one in published]
