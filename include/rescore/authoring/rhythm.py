"""How the rows of a table are cut into intervals: the schedule that a draft begins with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rescore.errors import ParameterError
from rescore.interval import Schedule
from rescore.pipeline import utc_now
from rescore.source import ColumnFacts, TableFacts
from rescore.spec_values import is_cron

__all__ = ["Rhythm", "rhythm_of"]

#: Rows that an interval should have at least for its drift to say something.
_ROWS_PER_INTERVAL = 20
#: Intervals that a draft trains on, at most; of a sparse table more, that come to as many rows.
_MOST = 90
_MOST_SPARSE = 1_000


@dataclass(frozen=True)
class Rhythm:
    """How rows are cut into intervals: a cron, its first run, how many intervals train."""

    cron: str
    words: str
    start: datetime
    intervals: int
    holdout: int
    gaps: bool


def rhythm_of(
    table: TableFacts, event: ColumnFacts | None, cron: str | None = None, until: datetime | None = None
) -> Rhythm:
    """How the rows of a table are cut: as asked, or by the shortest of day, week and month that gives enough.

    Parameters
    ----------
    table, event : TableFacts, ColumnFacts or None
        The table, and the column of the moment a row is about.
    cron : str, optional
        The cron expression, in UTC. Default: one that gives enough rows an interval and enough intervals.
    until : datetime, optional
        What comes after has no labels to train on. Default: the last row.

    Raises
    ------
    ParameterError
        The expression can't be read.
    """
    if cron is not None:
        return _asked(table, event, cron, until)
    if event is None or not isinstance(event.low, datetime) or not isinstance(event.high, datetime):
        today = utc_now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return Rhythm("0 0 * * *", "every day", today, intervals=14, holdout=2, gaps=False)
    span = event.high - event.low + timedelta(seconds=1)
    choices = [
        ("0 0 * * *", "every day", timedelta(days=1)),
        ("0 0 * * 1", "every week", timedelta(days=7)),
        ("0 0 1 * *", "every month", timedelta(days=30.44)),
    ]
    if span < timedelta(days=4):
        choices.insert(0, ("0 * * * *", "every hour", timedelta(hours=1)))
    if table.rows * 6 * choices[-1][2] < span:  # half a year and more from row to row
        choices.append(("0 0 1 1 *", "every year", timedelta(days=365.24)))
    usable = [one for one in choices if span / one[2] >= 4] or choices[:1]
    cron, words, length = next(
        (one for one in usable if table.rows / (span / one[2]) >= _ROWS_PER_INTERVAL), usable[-1]
    )
    whole = max(2, int(((until or event.high) - event.low + timedelta(seconds=1)) / length))
    intervals = _trained_on(whole, table.rows / (span / length))
    start = event.low.replace(minute=0, second=0, microsecond=0)
    start = start if words == "every hour" else start.replace(hour=0)
    distinct = event.distinct or 0
    return Rhythm(
        cron, words, start, intervals, max(1, intervals // 6),
        gaps=table.rows / (span / length) < 3 * _ROWS_PER_INTERVAL or distinct < whole,
    )  # fmt: skip


def _asked(table: TableFacts, event: ColumnFacts | None, cron: str, until: datetime | None) -> Rhythm:
    if not is_cron(cron):
        raise ParameterError(
            f"--schedule {cron!r} is no cron expression",
            expected="five fields: minute, hour, day of the month, month, day of the week",
            fix='write "0 6 1 * *" for 06:00 UTC on the first of each month',
        )
    words = f"by the cron expression {cron}"
    if event is None or not isinstance(event.low, datetime) or not isinstance(event.high, datetime):
        today = utc_now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return Rhythm(cron, words, today, intervals=14, holdout=2, gaps=False)
    start = event.low.replace(minute=0, second=0, microsecond=0)
    whole = max(2, sum(1 for _ in Schedule(cron).intervals(start, until or event.high)))
    intervals = _trained_on(whole, table.rows / whole)
    sparse = table.rows / whole < 3 * _ROWS_PER_INTERVAL or (event.distinct or 0) < whole
    return Rhythm(cron, words, start, intervals, max(1, intervals // 6), gaps=sparse)


def _trained_on(whole: int, rows: float) -> int:
    """How many of so many intervals, of so many rows each, a draft trains on: others are left to score."""
    most = _MOST if rows >= _ROWS_PER_INTERVAL else int(_MOST * _ROWS_PER_INTERVAL / max(rows, 0.1))
    return min(most, _MOST_SPARSE, max(2, whole * 3 // 4))
