"""The number of rows of a window, ranked among training's windows like a feature.

Half a table loaded leaves every distribution as it was: no feature shows it. Numbers of rows grow with a
business and differ between weekdays, so what is ranked is how far each window is from what the windows before
it let expect, at the same time of the week or of the day where there are enough of those.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from statistics import median
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from rescore.drift.calibration import MIN_COMPARED
from rescore.drift.report import VolumeDrift
from rescore.drift.standardise import classifier_standing

__all__ = ["Volume", "WindowRows", "compare_volume"]

Floats = npt.NDArray[np.float64]

#: A number of rows this near to the expected one says nothing (a difference of logarithms: 15 %).
USUAL = 0.15

#: Rows are missing (an outage) if rows / expected is below ``PART`` times the smallest such ratio in training
#: (1 at most), and ``FAR`` standard deviations below the others.
PART, FAR = 0.8, 4.0

#: The expected number of rows is the median of so many windows before; of the same weekday and time (or the
#: same time) only, if training has so many windows of each.
EXPECTED_BY = 4


@dataclass(frozen=True)
class WindowRows:
    """How many rows a window has that starts then (aware)."""

    start: datetime
    rows: int


@dataclass(frozen=True)
class Volume:
    """A window's rows beside what was to be expected.

    Attributes
    ----------
    standing : ndarray of float, shape (n_windows + 1, 1)
        Standard deviations of each window, the live one last; 0 if it is as expected.
    rows, expected : int
        Of the live window.
    low, high : int
        What to expect if it is as far off as training's windows were at most.
    outage : bool
        Whether rows are missing.
    """

    standing: Floats
    rows: int
    expected: int
    low: int
    high: int
    outage: bool

    @property
    def effect(self) -> float:
        """The squared logarithm of how many times as many rows there are as expected."""
        return float(np.log(self.rows / self.expected) ** 2)

    def drift(self, p_value: float, *, flagged: bool) -> VolumeDrift:
        """What the report says of it."""
        return VolumeDrift(
            rows=self.rows,
            expected=self.expected,
            low=self.low,
            high=self.high,
            p_value=p_value,
            effect=self.effect,
            flagged=flagged,
            outage=self.outage,
        )


def compare_volume(
    reference: Sequence[WindowRows],
    chosen: npt.NDArray[np.intp],
    before: Sequence[WindowRows],
    live: WindowRows,
    timezone: str,
) -> Volume | None:
    """Compare a window's rows with what is to be expected; None if there is nothing to compare.

    Parameters
    ----------
    reference : sequence of WindowRows, length n_reference
        Training's windows in order of time.
    chosen : ndarray of int, shape (n_windows,)
        The places of those that the live window is ranked among.
    before : sequence of WindowRows
        Windows that were published, in any order: those that start before the live one and are none of
        training's count.
    live : WindowRows
        The live window. None of its rows at all is the schedule's to judge (``schedule.empty``).
    timezone : str
        Whose weeks and days count.
    """
    if live.rows == 0 or chosen.size < MIN_COMPARED or any(one.rows == 0 for one in reference):
        return None
    key = _recurring(reference, live, ZoneInfo(timezone))
    its_key, known = key(live.start), _known_before(live, reference, before)
    of_live = _expected(live, [one for one in known if key(one.start) == its_key])
    if of_live is None:
        return None
    keys = [key(one.start) for one in reference]
    alike: defaultdict[Hashable, list[WindowRows]] = defaultdict(list)
    for one, of in zip(reference, keys, strict=True):
        alike[of].append(one)
    ranked = [reference[place] for place in chosen]
    expected = np.asarray([*(_expected(reference[place], alike[keys[place]]) for place in chosen), of_live])
    rows = np.asarray([*(one.rows for one in ranked), live.rows], dtype=np.float64)
    off = np.log(rows / expected)
    noise = 1 / rows + 1 / (EXPECTED_BY * expected)
    standing = classifier_standing(off[:, None], noise[:, None])
    standing = np.where(np.abs(off[:, None]) < USUAL, 0.0, standing)
    least, most = float(off[:-1].min()), float(off[:-1].max())
    return Volume(
        standing=standing,
        rows=live.rows,
        expected=max(round(float(expected[-1])), 1),
        low=round(float(expected[-1]) * np.exp(least)),
        high=round(float(expected[-1]) * np.exp(most)),
        outage=bool(off[-1] < np.log(PART) + min(least, 0.0) and standing[-1, 0] <= -FAR),
    )


#: Times that recur, the most particular first.
_RECURRING: tuple[Callable[[datetime], Hashable], ...] = (
    lambda start: (start.weekday(), start.hour, start.minute),
    lambda start: (start.hour, start.minute),
)


def _recurring(
    reference: Sequence[WindowRows], live: WindowRows, zone: ZoneInfo
) -> Callable[[datetime], Hashable]:
    """What windows at the same time of the week, or of the day, share if training has each often enough."""
    starts = [one.start.astimezone(zone) for one in reference]
    for of in _RECURRING:
        keys = Counter(map(of, starts))
        if min(keys.values()) >= EXPECTED_BY and of(live.start.astimezone(zone)) in keys:
            return partial(_local, of, zone)
    return lambda _: None


def _local(of: Callable[[datetime], Hashable], zone: ZoneInfo, start: datetime) -> Hashable:
    return of(start.astimezone(zone))


def _known_before(
    live: WindowRows, reference: Sequence[WindowRows], before: Sequence[WindowRows]
) -> list[WindowRows]:
    """What the live window is expected by, in order of time.

    What came before it; all of training if it lies within.
    """
    seen = {one.start for one in reference}
    known = [
        *reference,
        *(one for one in before if one.start not in seen and one.start < live.start and one.rows),
    ]
    if not reference[0].start <= live.start <= reference[-1].start:
        known = [one for one in known if one.start < live.start]
    return sorted(known, key=lambda one: one.start)


def _expected(window: WindowRows, alike: Sequence[WindowRows]) -> float | None:
    """Median of the nearest windows before this one that are like it; of training's first, of those after.

    ``alike`` are in order of time. None if there are none.
    """
    first, after = (side(alike, window.start, key=_start) for side in (bisect_left, bisect_right))
    earlier, later = alike[max(first - EXPECTED_BY, 0) : first], alike[after : after + EXPECTED_BY]
    near = earlier if len(earlier) >= min(EXPECTED_BY, len(later)) else later
    return float(median(one.rows for one in near)) if near else None


def _start(window: WindowRows) -> datetime:
    return window.start
