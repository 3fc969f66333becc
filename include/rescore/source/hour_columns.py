"""Whether event times are what they say: an hour that stands beside them says the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rescore.shown_text import number_of
from rescore.source.frozen_table import FrozenTable
from rescore.spec import ModelSpec

__all__ = ["HoursApart", "hours_apart"]

_HOUR = re.compile(r"(^|_)(hour|hr|hh)(_of_day)?(_|$)")
#: So many of the rows have to agree before the distance is a fact.
_AGREE = 0.95
_MIN_ROWS = 20
#: Of more rows than these, so many evenly spaced ones are looked at: it is asked at every run.
_LOOKED_AT = 20_000


@dataclass(frozen=True)
class HoursApart:
    """An event time and an hour beside it that are as many hours apart in nearly all rows.

    Attributes
    ----------
    event_time, feature : str
        The two columns.
    timezone : str
        In which the event time's hour was taken: ``schedule.timezone``.
    hours : int
        -11 to 12, never 0; above 0 the event time is behind.
    """

    event_time: str
    feature: str
    timezone: str
    hours: int

    def __str__(self) -> str:
        side = "behind" if self.hours > 0 else "ahead of"
        return (
            f"{self.event_time} is {number_of(abs(self.hours), 'hour')} {side} {self.feature} in "
            f"{self.timezone}: is a local time stored as UTC, or {self.feature} counted in another zone?"
        )

    @property
    def fix(self) -> str:
        """What to do where it is a fault."""
        return (
            f"convert it in extract.sql ({self.event_time} AT TIME ZONE …), or set schedule.timezone to the "
            f"zone of {self.feature}"
        )


def hours_apart(rows: pa.Table | FrozenTable, spec: ModelSpec) -> list[HoursApart]:
    """Compare event times with each feature whose name says that it holds an hour of the day.

    A wall clock's time that is stored as if it were UTC is off by the zone's distance from UTC; the hour
    that was written beside it is not.

    Parameters
    ----------
    rows : pyarrow.Table or FrozenTable
        As ``extract.sql`` gives them, of one interval or of many.
    spec : ModelSpec
        The model; ``schedule.timezone`` is where its wall clock hangs.
    """
    return list(_found(rows, spec))


def _found(rows: pa.Table | FrozenTable, spec: ModelSpec) -> Iterator[HoursApart]:
    names = [one.name for one in spec.features if one.kind == "numeric" and _HOUR.search(one.name.lower())]
    if not names:
        return
    event, zone = spec.source.event_time, spec.schedule.timezone
    looked_at = rows.select([event, *dict.fromkeys(names)])
    if looked_at.num_rows > _LOOKED_AT:
        looked_at = looked_at.take(pa.array(np.linspace(0, rows.num_rows - 1, _LOOKED_AT).astype(np.int64)))
    moments = looked_at.column(event)
    if not pa.types.is_timestamp(moments.type):
        return
    clock = _numbers(pc.hour(moments.cast(pa.timestamp("us", zone))))
    for name in names:
        if apart := _apart(clock, _numbers(looked_at.column(name))):
            yield HoursApart(event, name, zone, apart)


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _apart(clock: npt.NDArray[np.float64], hours: npt.NDArray[np.float64]) -> int:
    """The hours, -11 to 12, by which nearly all rows are apart; 0 if there is no such number.

    In the days around a change of the clock some rows are an hour more or less apart.
    """
    known = (hours >= 0) & (hours <= 23) & (hours % 1 == 0) & np.isfinite(clock)
    if known.sum() < _MIN_ROWS or np.unique(hours[known]).size < 2:
        return 0
    counts = np.bincount(((hours[known] - clock[known]) % 24).astype(np.int64), minlength=24)
    distance = int(counts.argmax())
    if counts[[distance - 1, distance, (distance + 1) % 24]].sum() < _AGREE * known.sum():
        return 0
    return distance if distance <= 12 else distance - 24
