"""Values of columns that few rows have: where they are among numbers held, and how often by chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rescore.model.child.seen_rows import RARE, SeenRows

__all__ = ["TOGETHER", "RareValues", "columns_with"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: From so many values of one row in one vector on, the row counts as kept.
TOGETHER = 3

#: Two numbers are the same if they are this near, as a part of them: rounding of steps, of 32 bits.
SAME, SAME_COARSE = 1e-9, 1e-7

#: Columns are looked for together while they have no more rare values than this.
_TOGETHER_VALUES = 4_000_000


def columns_with(
    seen: SeenRows, values: Floats, coarse: npt.NDArray[np.bool_]
) -> Iterator[tuple[RareValues, Integers]]:
    """Each column with the places of the values that it may have.

    Of wide tables most values held are none of any column's: they are dropped for many columns at once.
    """
    for columns in _groups(seen):
        rare = np.sort(np.concatenate([one.values[one.counts < RARE] for one in columns]))
        tolerance = _tolerance(values, coarse)
        at = np.minimum(np.searchsorted(rare, values - tolerance), rare.size - 1)
        asked = np.flatnonzero(np.abs(rare[at] - values) <= tolerance)
        if asked.size:
            yield from ((one, asked) for one in columns)


def _groups(seen: SeenRows) -> Iterator[list[RareValues]]:
    """The columns that have rare values, as many together as memory allows."""
    group: list[RareValues] = []
    size = 0
    for column, rows in seen.columns:
        hits = RareValues.of(column, rows)
        if hits is None:
            continue
        if group and size + hits.values.size > _TOGETHER_VALUES:
            yield group
            group, size = [], 0
        group.append(hits)
        size += hits.values.size
    if group:
        yield group


def _tolerance(values: Floats, coarse: npt.NDArray[np.bool_]) -> Floats:
    return np.abs(values) * np.where(coarse, SAME_COARSE, SAME)


@dataclass(frozen=True)
class RareValues:
    """A column's distinct values, how many rows have each, and those rows."""

    values: Floats
    counts: Integers
    first: Integers
    rows: Integers
    step: float  # between values of a grid (whole numbers, cents); 0 for a continuum
    number: int

    @classmethod
    def of(cls, column: Floats, rows: Integers) -> RareValues | None:
        """Take a column and the rows of its values; None if it has no rare ones."""
        there = np.isfinite(column)
        column, rows = column[there], rows[there]
        if not column.size:
            return None
        # The extremes and the quartiles are statistics, whoever has them.
        quartiles = np.quantile(column, [0.0, 0.25, 0.5, 0.75, 1.0], method="nearest")
        order = np.argsort(column, kind="stable")
        column = column[order]
        values, first, counts = np.unique(column, return_index=True, return_counts=True)
        if values.size <= TOGETHER:
            return None
        counts = np.where(np.isin(values, quartiles), RARE, counts)
        if (counts >= RARE).all():
            return None
        return cls(values, counts, first, rows[order], _step(values), column.size)

    def rare(self, values: Floats, coarse: npt.NDArray[np.bool_]) -> Integers:
        """Place of each value among those that few rows have; -1 where it is none of them."""
        at, same = self._find(values, coarse)
        return np.asarray(np.where(same & (self.counts[at] < RARE), at, -1))

    def common(self, values: Floats, coarse: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which of the values many rows have."""
        at, same = self._find(values, coarse)
        return np.asarray(same & (self.counts[at] >= RARE))

    def _find(self, values: Floats, coarse: npt.NDArray[np.bool_]) -> tuple[Integers, npt.NDArray[np.bool_]]:
        tolerance = _tolerance(values, coarse)
        at = np.minimum(np.searchsorted(self.values, values - tolerance), self.values.size - 1)
        return at, np.abs(self.values[at] - values) <= tolerance

    def by_chance(self, values: Floats, coarse: npt.NDArray[np.bool_]) -> float:
        """How many of the column's values as many others hit, that stand right beside these."""
        step = self.step or np.abs(values) * 1e-5
        beside = (self.rare(values + shift * step, coarse) for shift in (-3.0, -2.0, 2.0, 3.0))
        return float(np.mean([int((one >= 0).sum()) for one in beside]))

    def share(self, at: Integers) -> Floats:
        """In what share of other rows each of the values is to be expected."""
        return self.counts[at] / self.number if self.step else np.full(at.size, self.number / 1e9)

    def rows_of(self, at: Integers) -> Iterator[tuple[Integers, Integers, Floats]]:
        """The rows that have the values found, and how much each coincidence weighs (``ln`` of its odds)."""
        which = np.flatnonzero(at >= 0)
        counts = self.counts[at[which]]
        odds = 1 / self.share(at[which])
        for again in range(RARE - 1):
            more = counts > again
            if not more.any():
                break
            place = self.first[at[which[more]]] + again
            yield which[more], self.rows[place], np.log(np.maximum(odds[more], 1.0))


def _step(values: Floats) -> float:
    """The grid that a column's values stand on, down to millionths; 0 if on none."""
    sample = values[:: -(-values.size // 10_000)]
    for digits in range(7):
        scaled = sample * 10.0**digits
        if (np.abs(scaled - np.rint(scaled)) <= 1e-4).all() and np.abs(scaled).max() < 2.0**40:
            return float(10.0**-digits)
    return 0.0
