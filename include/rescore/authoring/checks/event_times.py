"""Whether event times are what they say: an hour that stands beside them says the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from rescore import source
from rescore.authoring.checks.result import CheckResult
from rescore.folder import ModelFolder
from rescore.interval import Interval

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["check_event_times", "check_untimed"]

_HOUR = re.compile(r"(^|_)(hour|hr|hh)(_of_day)?(_|$)")
#: So many of the rows have to agree before the distance is a fact.
_AGREE = 0.95
_MIN_ROWS = 20


def check_event_times(rows: pa.Table, folder: ModelFolder) -> list[CheckResult]:
    """Compare event times with each column that holds an hour of the day.

    A wall clock's time that is stored as if it were UTC is off by the zone's distance from UTC; the hour
    that was written beside it is not.

    Parameters
    ----------
    rows : pyarrow.Table
        Rows of an interval, as ``extract.sql`` gives them.
    folder : ModelFolder
        The model; ``schedule.timezone`` is where its wall clock hangs.
    """
    spec = folder.spec
    zone = spec.schedule.timezone
    events = rows.column(spec.source.event_time).to_pandas().dt.tz_convert(ZoneInfo(zone))
    results = []
    event = spec.source.event_time
    for feature in spec.features:
        if feature.kind != "numeric" or not _HOUR.search(feature.name.lower()):
            continue
        name = feature.name
        distance = _hours_apart(events, rows.column(name).to_pandas())
        if distance:
            side = "behind" if distance > 0 else "ahead of"
            what = (
                f"{event} is {abs(distance)} hours {side} {name} in {zone}: is a local time stored as UTC, "
                f"or {name} counted in another zone?"
            )
            fix = (
                f"convert it in extract.sql ({event} AT TIME ZONE …), or set schedule.timezone to the zone "
                f"of {name}"
            )
            results.append(CheckResult("event times", "warning", what, fix))
    return results


def check_untimed(url: str, folder: ModelFolder, interval: Interval) -> list[CheckResult]:
    """Rows whose moment is NULL: they are in no interval, so nobody scores them."""
    fix = "give them a moment in the source, or know that they are never scored"
    found = source.count_untimed(url, folder, interval)
    return [CheckResult("event times", "warning", str(untimed), fix) for untimed in found]


def _hours_apart(events: pd.Series[pd.Timestamp], hours: pd.Series[float]) -> int:
    """The hours, -11 to 12, by which nearly all rows are apart; 0 if there is no such number.

    In the days around a change of the clock some rows are an hour more or less apart.
    """
    hours = hours.astype(float)
    known = hours.between(0, 23) & (hours % 1 == 0) & events.notna()
    if known.sum() < _MIN_ROWS or hours[known].nunique() < 2:
        return 0
    apart = (hours[known] - events[known].dt.hour) % 24
    counts = np.bincount(apart.to_numpy(dtype=np.int64), minlength=24)
    distance = int(counts.argmax())
    if counts[[distance - 1, distance, (distance + 1) % 24]].sum() < _AGREE * known.sum():
        return 0
    return distance if distance <= 12 else distance - 24
