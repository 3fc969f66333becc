"""Half-open UTC intervals and the schedule that defines them.

Nothing here reads the wall clock: whoever needs "now" passes it in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import pairwise
from zoneinfo import ZoneInfo

from croniter import croniter

from rescore.errors import IntervalError

__all__ = ["Interval", "Schedule", "parse_moment"]

#: Moments are told apart down to this.
_TICK = timedelta(microseconds=1)
#: More than any clock was ever changed by: islands have moved across the date line.
_LONGEST_CHANGE = timedelta(hours=26)


def parse_moment(text: str | datetime, *, name: str = "moment") -> datetime:
    """Read an ISO 8601 moment with a zone and return it in UTC.

    Parameters
    ----------
    text : str or datetime
        ``2013-04-01T08:00:00Z``, ``2013-04-01T04:00:00-04:00`` or an aware datetime.
    name : str
        What the value is, for the error.

    Raises
    ------
    IntervalError
        Not a moment, or without a zone.
    """
    if isinstance(text, datetime):
        moment = text
    else:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise IntervalError(
                f"{name} {text!r} is not a moment",
                expected="ISO 8601 with a zone, like 2013-04-01T08:00:00Z",
                fix=f"write {name} as date, T, time and Z or an offset",
            ) from None
    if moment.tzinfo is None:
        raise IntervalError(
            f"{name} {moment.isoformat()} has no time zone",
            expected="a moment with a zone, like 2013-04-01T08:00:00Z",
            fix="append Z for UTC, or the offset",
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise IntervalError(
            f"{name} {moment.isoformat()} lies outside the years 1 to 9999 in UTC",
            expected="a moment that UTC has in the years 1 to 9999",
            fix=f"correct the year of {name}, or its offset",
        ) from None


@dataclass(frozen=True, order=True)
class Interval:
    """The moments from ``start`` up to, but not including, ``end`` (both UTC).

    ``Interval.parse(str(interval)) == interval``.

    Raises
    ------
    IntervalError
        A bound without a zone, or an end that is not after its start.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", parse_moment(self.start, name="interval start"))
        object.__setattr__(self, "end", parse_moment(self.end, name="interval end"))
        if self.end <= self.start:
            raise IntervalError(
                f"the interval ends at {_z(self.end)}, not after its start {_z(self.start)}",
                expected="start < end",
                fix="give the two bounds in order",
            )

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Read ``START/END`` as ISO 8601 writes intervals."""
        start, slash, end = text.partition("/")
        if not slash:
            raise IntervalError(
                f"{text!r} is not an interval",
                expected="START/END, like 2013-04-01T08:00:00Z/2013-04-02T08:00:00Z",
                fix="write both bounds with a slash between them",
            )
        return cls(parse_moment(start, name="interval start"), parse_moment(end, name="interval end"))

    def __str__(self) -> str:
        return f"{_z(self.start)}/{_z(self.end)}"

    def __contains__(self, moment: object) -> bool:
        return isinstance(moment, datetime) and self.start <= moment < self.end

    @property
    def duration(self) -> timedelta:
        """The length; days of 23 and 25 hours occur."""
        return self.end - self.start


def _z(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _bound(moment: datetime | None) -> str:
    return "any time" if moment is None else _z(moment)


@dataclass(frozen=True)
class Schedule:
    """A cron expression in a time zone, cut into data intervals as Airflow cuts them.

    Runs are due at interval *ends*: ``start`` is the earliest, ``end`` the first moment past the
    latest at which a run may be due. The interval of a run due at ``start`` itself begins one
    period earlier. Boundaries equal those of Airflow's ``CronDataIntervalTimetable``, so a run
    from the command line and one from the scheduler mean the same rows.

    Parameters
    ----------
    cron : str
        Five fields.
    timezone : str
        IANA name the fields are read in.
    start, end : datetime, optional
        Aware moments between which runs may be due, ``start <= due < end``.
    """

    cron: str
    timezone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @cached_property
    def _cron(self) -> croniter:
        return croniter(self.cron)

    @cached_property
    def _every_hour(self) -> bool:
        # Airflow steps in elapsed time for schedules that run every hour, so that the repeated
        # hour of a clock change gets runs of its own.
        return bool(self._cron.expanded[1] == ["*"])

    def _naive(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _cron_time(self, naive: datetime, *, forward: bool) -> datetime:
        """The first wall-clock time of the cron expression after ``naive``, or the last at or before it."""
        if not forward:
            naive = naive.replace(microsecond=0) + timedelta(seconds=1)
        iterator = copy(self._cron)  # to read the expression takes longer than to step
        iterator.set_current(naive, force=True)
        found: datetime = iterator.get_next(datetime) if forward else iterator.get_prev(datetime)
        return found

    def _following(self, boundary: datetime) -> datetime:
        """The boundary after this one, as Airflow's timetable steps from one to the next."""
        with self._in_reach(boundary):
            naive = self._naive(boundary)
            scheduled = self._cron_time(naive, forward=True)
            return boundary + (scheduled - naive) if self._every_hour else _localize(scheduled, self._zone)

    def _anchor(self, moment: datetime) -> datetime:
        """A boundary at or before ``moment`` that no change of the clock has moved.

        Airflow's steps lead through a change of the clock in one direction only, so whoever asks what
        comes before a moment starts from a boundary before the change and steps forward.
        """
        with self._in_reach(moment):
            wall = self._naive(moment)
            while True:
                wall = self._cron_time(wall, forward=False)
                boundary = _localize(wall, self._zone)
                if boundary <= moment and self._unmoved(wall, boundary):
                    return boundary
                wall -= timedelta(seconds=1)

    def _unmoved(self, wall: datetime, boundary: datetime) -> bool:
        """Whether Airflow's steps meet this time of the cron expression whatever they came from.

        They do if another one lies before it by more than the change of the clock, at the same offset
        from UTC: a step across a change lands no later than that.
        """
        offset = boundary.astimezone(self._zone).utcoffset()
        change = _LONGEST_CHANGE
        for _ in range(2):  # first by any change there may be, then by the one there was
            earlier = _localize(self._cron_time(wall - change, forward=False), self._zone)
            before = earlier.astimezone(self._zone).utcoffset()
            if before == offset:
                return True
            assert offset is not None and before is not None  # noqa: S101 - the zone is one
            change = abs(offset - before) + timedelta(minutes=1)
        return False

    def _boundaries(self, moment: datetime) -> list[datetime]:
        """Some boundaries at or before ``moment``, ascending, at least one and up to the last."""
        found = [self._anchor(moment)]
        while (following := self._following(found[-1])) <= moment:
            found.append(following)
        return found

    def floor(self, moment: datetime) -> datetime:
        """The last boundary at or before ``moment``."""
        return self._boundaries(moment)[-1]

    def next_boundary(self, moment: datetime) -> datetime:
        """The first boundary after ``moment``."""
        return self._following(self.floor(moment))

    def previous_boundary(self, moment: datetime) -> datetime:
        """The last boundary before ``moment``."""
        with self._in_reach(moment):
            return self.floor(moment - _TICK)

    @contextmanager
    def _in_reach(self, moment: datetime) -> Iterator[None]:
        try:
            yield
        except (OverflowError, ValueError) as error:  # croniter's errors are ValueErrors
            raise IntervalError(
                f"the schedule has no boundary near {moment.isoformat()}",
                where=f"schedule '{self.cron}' in {self.timezone}",
                expected="a moment well within the years 1 to 9999, and a cron expression that comes round",
                fix="choose a moment that has data; compare schedule.cron and schedule.start in model.yaml",
            ) from error

    def interval_ending(self, end: datetime) -> Interval:
        """The interval that ends at the boundary ``end``."""
        return Interval(self.previous_boundary(end), end)

    def intervals(self, start: datetime, end: datetime) -> Iterator[Interval]:
        """The schedule's intervals that lie within ``[start, end)``, in order."""
        floor = self.floor(start)
        left = floor if floor == start else self._following(floor)
        while True:
            right = self._following(left)
            if right > end:
                return
            interval = Interval(left, right)
            if self._within(interval):
                yield interval
            left = right

    def last_intervals(self, until: datetime, count: int) -> list[Interval]:
        """The last ``count`` intervals that end at or before ``until``, in order."""
        found: list[Interval] = []
        while len(found) < count:
            bounds = self._boundaries(until)
            # What comes before the first of them is in the next look, from just before its end.
            bounds = [*self._boundaries(bounds[0] - _TICK)[-1:], *bounds]
            for left, right in pairwise(reversed(bounds)):
                interval = Interval(right, left)
                if self.start is not None and interval.end < self.start:
                    return found[:count][::-1]
                if self._within(interval):
                    found.append(interval)
            until = bounds[0]
        return found[:count][::-1]

    def due_on(self, day: date) -> list[Interval]:
        """The intervals whose runs are due on a calendar day of the schedule's zone, in order.

        A run is due at its interval's end. A day of a clock change has 23 or 25 hours; a day that a zone
        skipped has none.
        """
        zone = self._zone
        # Wide enough for midnights that a clock change skips or repeats.
        margin = timedelta(hours=3)
        moment = datetime.combine(day, time.min, zone).astimezone(UTC) - margin
        until = moment + timedelta(days=1) + 2 * margin
        due = []
        left = self.floor(moment)
        while (right := self._following(left)) < until:
            if right.astimezone(zone).date() == day:
                due.append(Interval(left, right))
            left = right
        return [interval for interval in due if self._within(interval)]

    def first_interval(self) -> Interval | None:
        """The first interval whose run is due, None without a start."""
        return self._first

    def last_interval(self) -> Interval | None:
        """The last interval whose run is due, None without an end."""
        return self._last

    @cached_property  # asked for again and again while DAGs are built
    def _first(self) -> Interval | None:
        if self.start is None:
            return None
        floor = self.floor(self.start)
        due = floor if floor == self.start else self._following(floor)
        return self.interval_ending(due)

    @cached_property
    def _last(self) -> Interval | None:
        return None if self.end is None else self.interval_ending(self.previous_boundary(self.end))

    def _within(self, interval: Interval) -> bool:
        return (self.start is None or interval.end >= self.start) and (
            self.end is None or interval.end < self.end
        )

    def check(self, interval: Interval, *, now: datetime) -> None:
        """Refuse an interval that is not one of the schedule's or has not ended by ``now``.

        Raises
        ------
        IntervalError
            With the schedule's own intervals near the one given.
        """
        where = f"schedule '{self.cron}' in {self.timezone}"
        aligned = (
            self.floor(interval.start) == interval.start
            and self.next_boundary(interval.start) == interval.end
        )
        if not aligned:
            left = self.floor(interval.start)
            near = Interval(left, self.next_boundary(left))
            raise IntervalError(
                f"{interval} is not one of the schedule's intervals",
                where=where,
                expected=f"one interval, like {near}",
                fix="name an interval by both its bounds; a longer range is several runs",
            )
        if not self._within(interval):
            raise IntervalError(
                f"{interval} lies outside the schedule",
                where=where,
                expected=f"runs due from {_bound(self.start)} until before {_bound(self.end)}",
                fix="choose an interval inside, or change schedule.start / schedule.end in model.yaml",
            )
        if interval.end > now:
            raise IntervalError(
                f"{interval} has not ended yet",
                where=f"{where}; now is {_z(now)}",
                expected="an interval of the past",
                fix=f"run again at or after {_z(interval.end)}",
            )


def _localize(naive: datetime, zone: ZoneInfo) -> datetime:
    """Attach ``zone``: a skipped wall-clock time moves forward, a repeated one is its second pass.

    Both are what Airflow's ``make_aware`` does.
    """
    aware = naive.replace(tzinfo=zone, fold=1)
    exists = aware.astimezone(UTC).astimezone(zone).replace(tzinfo=None, fold=0) == naive
    if not exists:
        aware = naive.replace(tzinfo=zone, fold=0)
    return aware.astimezone(UTC)
