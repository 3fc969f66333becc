"""A model's days: which verdict each one got, and which days have nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Literal, get_args
from zoneinfo import ZoneInfo

from rescore.interval import Schedule
from rescore.report.due_days import due_on_days

if TYPE_CHECKING:
    from rescore.store import Outcome

__all__ = ["Day", "DayState", "day_state", "days_of", "days_said"]

#: What a day may be, the worst first; ``gap`` had a run due and has none, ``none`` had none due.
DayState = Literal["outage", "failed", "held", "consequential", "gap", "drifted", "running", "ok", "none"]
_WORST_FIRST: tuple[DayState, ...] = get_args(DayState)


@dataclass(frozen=True)
class Day:
    """One day of a model, by the runs that were due on it.

    Attributes
    ----------
    day : date
        In the schedule's time zone.
    state : str
        The worst of its runs.
    run_id : str or None
        The run that is worst, else the last.
    runs, due : int
        Intervals with a run, and intervals due.
    superseded : int
        Publications that a later one of the same interval replaced.
    """

    day: date
    state: DayState
    run_id: str | None
    runs: int
    due: int
    superseded: int


def day_state(outcome: Outcome) -> DayState:
    """What one interval makes of its day."""
    if outcome.published or outcome.state == "stopped":
        named = outcome.verdict if outcome.verdict in _WORST_FIRST else "ok"
        return "failed" if outcome.state == "stopped" and named != "outage" else named
    if outcome.held:
        return "held"
    return "failed" if outcome.state == "failed" else "running"


def days_of(
    schedule: Schedule,
    outcomes: Sequence[Outcome],
    *,
    last: date,
    count: int,
    now: datetime,
    within: timedelta,
    since: datetime | None = None,
) -> list[Day]:
    """The days up to ``last``, oldest first.

    Parameters
    ----------
    schedule : Schedule
        The model's.
    outcomes : sequence of Outcome
        What became of its intervals.
    last : date
        The last day, in the schedule's zone.
    count : int
        How many days.
    now : datetime
        Aware; what is not late yet is no gap.
    within : timedelta
        How long after its interval's end a run's scores may come.
    since : datetime, optional
        When the model began to score: no day before is a gap. Default: with the first outcome.
    """
    zone = ZoneInfo(schedule.timezone)
    by_day: dict[date, list[Outcome]] = {}
    for outcome in outcomes:
        by_day.setdefault(outcome.interval.end.astimezone(zone).date(), []).append(outcome)
    first = last - timedelta(days=count - 1)
    due = due_on_days(schedule, first, last)
    begun = min([*by_day, *([] if since is None else [since.astimezone(zone).date()])], default=None)
    overdue = (now - within).astimezone(zone).date()
    days = []
    for number in range(count):
        day = first + timedelta(days=number)
        of_day = by_day.get(day, [])
        ranked = sorted(
            of_day, key=lambda one: (_WORST_FIRST.index(day_state(one)), -one.interval.end.timestamp())
        )
        state: DayState = day_state(ranked[0]) if ranked else "none"
        missing = due.get(day, 0) > len(of_day) and begun is not None and begun <= day < overdue
        if missing and _WORST_FIRST.index(state) > _WORST_FIRST.index("gap"):
            state = "gap"
        days.append(
            Day(
                day,
                state,
                ranked[0].run_id if ranked else None,
                runs=len(of_day),
                due=due.get(day, 0),
                superseded=sum(max(one.publications - 1, 0) for one in of_day),
            )
        )
    return days


def days_said(days: Iterable[Day]) -> str:
    """The days in words, the worst first: ``1 outage (3 May), 2 drifted, 27 ok``."""
    kept = [day for day in days if day.state != "none"]
    counted = Counter(day.state for day in kept)
    parts = []
    for state in _WORST_FIRST:
        if counted[state]:
            on = [f"{day.day.day} {day.day:%b}" for day in kept if day.state == state]
            few = state not in {"ok", "running"} and len(on) <= 3
            noun = f"{state}s" if state in {"gap", "outage"} and len(on) > 1 else state
            parts.append(f"{len(on)} {noun}" + (f" ({', '.join(on)})" if few else ""))
    return ", ".join(parts) or "no run was due"
