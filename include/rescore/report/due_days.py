"""On which days a model's runs are due, by its schedule. What is late, the store's view ``status`` says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from rescore.interval import Schedule

__all__ = ["due_on_days"]


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
