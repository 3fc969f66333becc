"""When scores are due, and whether they are late: read from the schedule that the model declares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from rescore.interval import Interval, Schedule

__all__ = ["LATE_AFTER", "Timeliness", "due_on_days", "timeliness"]

#: A run takes its time: scores count as late so long after their interval's end.
LATE_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Timeliness:
    """When the next scores are due.

    Attributes
    ----------
    due_at : datetime or None
        End of the first interval after the last published one; None once the schedule has no more.
    late : bool
        Whether that was longer than ``LATE_AFTER`` ago.
    missing : Interval or None
        The latest interval that is due and not published.
    """

    due_at: datetime | None
    late: bool
    missing: Interval | None


def timeliness(schedule: Schedule, published_until: datetime | None, now: datetime) -> Timeliness:
    """When the next scores are due, and whether they are late.

    Parameters
    ----------
    schedule : Schedule
        The model's.
    published_until : datetime or None
        End of the latest published interval.
    now : datetime
        Aware.
    """
    ended = schedule.end is not None and schedule.end <= now
    latest, following = _around(schedule, now)
    if latest is None or (published_until is not None and published_until >= latest.end):
        return Timeliness(following, late=False, missing=None)
    due_at = latest.end
    if published_until is not None:
        due_at = min(due_at, schedule.next_boundary(published_until))
    return Timeliness(due_at, late=not ended and now - due_at > LATE_AFTER, missing=latest)


#: Of each schedule the latest interval due when it was last asked for, and when the next one is.
_last_around: dict[Schedule, tuple[Interval | None, datetime | None]] = {}


def _around(schedule: Schedule, now: datetime) -> tuple[Interval | None, datetime | None]:
    """The latest interval that is due, and when the next one is; stepping through cron is slow."""
    latest, following = _last_around.get(schedule, (None, None))
    if latest is None or latest.end > now or (following is not None and following <= now):
        found = schedule.last_intervals(now if schedule.end is None else min(now, schedule.end), 1)
        latest, following = found[0] if found else None, schedule.next_boundary(now)
        if schedule.start is not None and following < schedule.start:
            first = schedule.first_interval()
            following = following if first is None else first.end
        if schedule.end is not None and following >= schedule.end:
            following = None
        _last_around[schedule] = latest, following
    return latest, following


def due_on_days(schedule: Schedule, first: date, last: date) -> Mapping[date, int]:
    """How many runs are due on each day of the schedule's zone, from ``first`` to ``last``."""
    counted: Counter[date] = Counter()
    year, month = first.year, first.month
    while (year, month) <= (last.year, last.month):
        counted.update(_due_in_month(schedule, year, month))
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return {day: count for day, count in counted.items() if first <= day <= last}


@lru_cache(maxsize=4096)
def _due_in_month(schedule: Schedule, year: int, month: int) -> Mapping[date, int]:
    """Runs due by day; months do not change, and a page asks for the same ones again and again."""
    zone = ZoneInfo(schedule.timezone)
    first = datetime.combine(date(year, month, 1), time.min, zone).astimezone(UTC)
    # The first interval that is due in the month begins before it.
    start = schedule.previous_boundary(first) - timedelta(hours=3)
    counted: Counter[date] = Counter()
    for interval in schedule.intervals(start, first + timedelta(days=32)):
        due = interval.end.astimezone(zone).date()
        if (due.year, due.month) == (year, month):
            counted[due] += 1
    return dict(counted)
