"""How many rows the windows before a run had: what the number of its own is compared with."""

from __future__ import annotations

from datetime import timedelta

from rescore import drift
from rescore.pipeline.context import Context
from rescore.store import ScoredRun

__all__ = ["rows_before", "windows_before"]

#: So many windows, and at least those of so long: each time of the week has recurred four times by then, of
#: hours, too, and of days it is known how they differ.
LAST_WINDOWS, LAST_WEEKS = 200, timedelta(weeks=5)
#: More would take too long to read for each run: those of five weeks at a quarter of an hour.
MOST_WINDOWS = 3_360


def rows_before(ctx: Context, run: ScoredRun) -> list[drift.WindowRows]:
    """Of the model's published windows that had ended when this one began; rows set aside don't count."""
    last = windows_before(run.interval.duration)
    published = ctx.store.runs.published(run.model, ended_by=run.interval.start, last=last)
    return [drift.WindowRows(one.interval.start, one.rows_scored) for one in published]


def windows_before(length: timedelta) -> int:
    """How many windows of this length are looked at."""
    return min(max(LAST_WINDOWS, LAST_WEEKS // length), MOST_WINDOWS)
