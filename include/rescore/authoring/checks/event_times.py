"""Whether event times are what they say, and whether every row is in an interval whose run sees it."""

from __future__ import annotations

import pyarrow as pa

from rescore import source
from rescore.authoring.checks.result import CheckResult
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.pipeline import utc_now
from rescore.shown_text import number_of

__all__ = ["check_event_times", "check_late", "check_untimed"]

#: A share of rows of which it is said that they come too late.
_SOME = 0.01


def check_event_times(rows: pa.Table, folder: ModelFolder) -> list[CheckResult]:
    """A clock that is hours off an hour written beside it; see :func:`rescore.source.hours_apart`."""
    found = source.hours_apart(rows, folder.spec)
    return [CheckResult("event times", "warning", str(apart), apart.fix) for apart in found]


def check_untimed(url: str, folder: ModelFolder, interval: Interval) -> list[CheckResult]:
    """Rows whose moment is NULL: they are in no interval, so nobody scores them."""
    fix = "give them a moment in the source, or know that they are never scored"
    found = source.count_untimed(url, folder, interval)
    return [CheckResult("event times", "warning", str(untimed), fix) for untimed in found]


def check_late(
    url: str, folder: ModelFolder, interval: Interval, rows: pa.Table, *, whole: bool = True
) -> list[CheckResult]:
    """Rows that were known only after their interval had ended: neither its run nor another sees them.

    ``rows`` are those that were known at its end: all, or the first of them by key if not ``whole``.
    """
    known_by = folder.spec.source.known_by
    if not known_by.reproducible_from_source:
        return []
    key = folder.spec.source.key
    now = source.probe(url, folder, interval, utc_now(), limit=2 * rows.num_rows + 1000)
    seen = {tuple(row.values()) for row in rows.select(key).to_pylist()}
    keys = [tuple(row.values()) for row in now.select(key).to_pylist()]
    if not whole:  # what comes after the last of them by key may have been known as well
        keys = keys[: 1 + max((place for place, one in enumerate(keys) if one in seen), default=-1)]
    late = sum(one not in seen for one in keys)
    if late <= _SOME * len(keys):
        return []
    column = known_by.column or (known_by.valid_range or ("",))[0]
    what = (
        f"{late:,} of {number_of(len(keys), 'row')} of {interval} were known only after it had "
        f"ended (by {column}): its run, which sees what is known at its end, never scores them"
    )
    fix = f"make {column} the event time, so that a row is in the interval in which it came; or know that"
    return [CheckResult("event times", "warning", what, fix)]
