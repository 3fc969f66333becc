"""Cells: how one column's values are counted, and what counting one slice of rows gives.

A reference fixes the cells once, from training; every window, past or live, is then counted in
them. Ordered kinds (numbers, dates as ages, text lengths, scores) are cut at training's quantiles,
values that hold much of the mass get a cell of their own; levels (categories, booleans) get a cell
each, with one for rare and one for unseen levels. The last cell of every row of counts is
*missing*: NULL and NaN alike.

Nothing here compares two windows (``distances``) or judges (``outage``, ``calibration``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import ndtri

from rescore.drift.level_binning import LevelCells, Tally

__all__ = ["LevelCells", "OrderedCells", "Tally", "moments", "ordered_values"]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

#: A block is sorted and the edges are looked up in it: numpy's sort uses SIMD and is quick on what fits in
#: the nearest cache, so this takes less than looking up every value among the edges (bench/drift_speed.py).
BLOCK_ROWS = 4_096

#: Quantiles at which ordered values are cut: deciles, halved, and finer in the tails.
QUANTILES = (0.01, 0.025, *np.arange(0.05, 0.951, 0.05).round(2).tolist(), 0.975, 0.99)

#: Beyond the outermost quantiles, cells are cut at these places: standard deviations of a normal variable
#: whose 1st, 50th and 99th percentiles are training's. What lies far out is told from what is just out.
FAR_PLACES = (2.75, 3.5, 4.5, 6.0, 8.5, 13.0, 25.0)

#: Where values beyond the last of these are taken to be.
FARTHEST = 30.0

#: A far cell in which training has rows is put no farther out than gives it so much of the variance:
#: the tail of a heavy-tailed feature must not drown the rest of it, nor one stray row hide what lies beyond.
FAR_VARIANCE = 0.02

#: A single value with at least this share of the rows has a cell of its own.
ATOM_SHARE = 0.05

#: PSI is taken over about this many groups of cells, each with a tenth of training's rows.
GROUPS = 10

#: From here on it is worth knowing exactly how much of a window a single value is.
NEARLY_ALL = 0.9


@dataclass(frozen=True)
class OrderedCells:
    """Cells of an ordered kind: ``(-inf, e0], (e0, e1], … (em, inf)``.

    Attributes
    ----------
    edges : ndarray of float, shape (m,)
        Strictly increasing upper ends.
    groups : ndarray of int, shape (m + 1,)
        The PSI group of each cell, from 0.
    means : ndarray of float, shape (m + 1,)
        Training's mean of the finite values in each cell, NaN where there are too few.
    places : ndarray of float, shape (m + 1,)
        Where each cell lies, in standard deviations: the mean normal score of training's rows in it,
        continued in a straight line where training has few or none. Robust to any tail within
        training's range, and still growing beyond it.
    far : tuple of int
        Edges beyond the outermost quantiles, below and above.
    tails : tuple of float
        Training's mean of the finite values below the lowest and above the highest inner edge.
    """

    edges: Floats
    groups: npt.NDArray[np.intp]
    means: Floats
    places: Floats
    far: tuple[int, int] = (0, 0)
    tails: tuple[float, float] = (math.nan, math.nan)

    @classmethod
    def fit(cls, values: Floats, *, min_rows: int) -> OrderedCells:
        """Cut ``values`` (NaN is missing) at quantiles; the outer cells hold ``min_rows`` or more.

        No edge is a smallest or largest value: those belong to one row, perhaps to one person.
        """
        there = np.sort(values[np.isfinite(values)])
        if there.size == 0:
            return cls(np.empty(0), np.zeros(1, dtype=np.intp), np.full(1, np.nan), np.zeros(1))
        ranks = np.ceil(np.asarray(QUANTILES) * there.size).astype(np.intp) - 1
        ranks = np.clip(ranks, min(min_rows, there.size) - 1, max(there.size - min_rows - 1, 0))
        starts = np.flatnonzero(np.r_[True, there[1:] != there[:-1]])
        shares = np.diff(np.r_[starts, there.size]) / there.size
        atoms = there[starts[shares >= ATOM_SHARE]]
        with np.errstate(over="ignore"):  # below the smallest float there is nothing to cut
            inner = np.unique(np.r_[there[ranks], atoms, np.nextafter(atoms, -np.inf)])
        inner = inner[np.isfinite(inner)]
        below, above = _far_edges(there[ranks[0]], np.median(there), there[ranks[-1]])
        below, above = below[below < inner[0]], above[above > inner[-1]]
        edges = np.r_[below, inner, above]
        ends = np.searchsorted(there, edges, side="right")
        counts = np.diff(ends, prepend=0, append=there.size)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            sums = np.add.reduceat(np.append(there, 0.0), np.append(0, ends))
            means = np.where(counts >= min_rows, sums / counts, np.nan)
        # PSI is taken over the inner cells: a part of an outer one is no group of its own.
        parents = np.searchsorted(inner, np.append(edges, np.inf), side="left")
        groups = _groups(np.bincount(parents, weights=counts).astype(np.int64))[parents]
        far = (below.size, above.size)
        first, last = (int(np.searchsorted(there, edge, side="right")) for edge in inner[[0, -1]])
        tails = (_mean(there[:first]), _mean(there[last:]))
        return cls(edges, groups, means, _places(counts, *far), far, tails)

    @property
    def inner(self) -> slice:
        """The edges that are quantiles or values of training, as opposed to the far ones."""
        return slice(self.far[0], self.edges.size - self.far[1])

    def count_windows(self, values: Floats, starts: npt.NDArray[np.intp]) -> tuple[Counts, Floats]:
        """Count each window of training, and say how much of it its most frequent value is.

        Parameters
        ----------
        values : ndarray of float, shape (n_rows,)
            Window after window, NaN is missing.
        starts : ndarray of int, shape (n_windows + 1,)
            First row of each window, and the number of rows.

        Returns
        -------
        counts : ndarray of int, shape (n_windows, n_cells + 1)
        top_share : ndarray of float, shape (n_windows,)
            Exact above ``NEARLY_ALL``, below it an upper bound (the fullest cell's share).
        """
        width = self.edges.size + 2
        cell = self.codes(values)
        window = np.repeat(np.arange(starts.size - 1), np.diff(starts))
        counts = np.bincount(window * width + cell, minlength=width * (starts.size - 1))
        counts = counts.reshape(-1, width).astype(np.int64)
        there = np.maximum(counts[:, :-1].sum(axis=1), 1)
        top_share = counts[:, :-1].max(axis=1) / there
        for place in np.flatnonzero(top_share > NEARLY_ALL):
            rows = values[starts[place] : starts[place + 1]]
            top_share[place] = np.unique(rows[~np.isnan(rows)], return_counts=True)[1].max() / there[place]
        return counts, top_share

    def codes(self, values: Floats) -> npt.NDArray[np.int64]:
        """The cell of each value (NaN is missing), shape (n_rows,)."""
        cell = np.searchsorted(self.edges, values, side="left").astype(np.int64)
        cell[np.isnan(values)] = self.edges.size + 1
        return cell

    def magnitudes(self, counts: Counts) -> Floats:
        """Per window, the median absolute value of what is neither zero nor missing, in the column's unit.

        ``counts`` are rows per cell, shape (n_windows, n_cells); returned is shape (n_windows,).
        As precise as the cells are: within a few percent where training has values.
        """
        sizes = np.abs(self.means)
        order = np.argsort(sizes, kind="stable")
        order = order[sizes[order] > 0]
        if order.size == 0:
            return np.full(counts.shape[0], np.nan)
        sums = np.cumsum(counts[:, order], axis=1)
        middle = (sums >= np.maximum(sums[:, -1:] / 2, 0.5)).argmax(axis=1)
        return np.where(sums[:, -1] > 0, sizes[order][middle], np.nan)

    def tally(self, pieces: Iterable[Floats]) -> Tally:
        """Count the values of all ``pieces`` (NaN is missing) in one pass; of them only tails are held."""
        counts = np.zeros(self.edges.size + 2, dtype=np.int64)
        lows, highs, extremes = [np.empty(0)], [np.empty(0)], list[float]()
        inner = self.edges[self.inner]
        for values in pieces:
            counts += self._counts(values)
            if inner.size:
                lows.append(values[values <= inner[0]])
                highs.append(values[values > inner[-1]])
            else:
                lows.append(values[~np.isnan(values)])
            if np.count_nonzero(counts[:-1]) == 1:  # else they are not alike
                there = values[~np.isnan(values)]
                extremes += [there.min(), there.max()] if there.size else []
        low, high = np.concatenate(lows), np.concatenate(highs)
        finite = [tail[np.isfinite(tail)] for tail in (low, high)]
        return Tally(
            counts=counts,
            constant=bool(np.count_nonzero(counts[:-1]) == 1 and min(extremes) == max(extremes)),
            low_mean=_mean(finite[0]),
            high_mean=_mean(finite[1]),
            infinite=low.size + high.size - finite[0].size - finite[1].size,
        )

    def _counts(self, values: Floats) -> Counts:
        ends = np.append(self.edges, np.inf)
        below = np.zeros(ends.size, dtype=np.int64)
        for start in range(0, values.size, BLOCK_ROWS):
            block = np.sort(values[start : start + BLOCK_ROWS])  # NaN comes last
            below += np.searchsorted(block, ends, side="right")
        return np.diff(np.concatenate(([0], below, [values.size])))

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {
            "edges": self.edges.tolist(),
            "groups": self.groups.tolist(),
            "means": [float(f"{mean:.6g}") if np.isfinite(mean) else None for mean in self.means],
            "places": [float(f"{place:.4g}") for place in self.places],
            "far": list(self.far),
            "tails": [float(f"{mean:.6g}") if np.isfinite(mean) else None for mean in self.tails],
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> OrderedCells:
        """Inverse of :meth:`to_dict`."""
        return cls(
            np.asarray(stored["edges"], dtype=np.float64),
            np.asarray(stored["groups"], dtype=np.intp),
            np.asarray([_or_nan(mean) for mean in stored["means"]], dtype=np.float64),
            np.asarray(stored["places"], dtype=np.float64),
            (stored["far"][0], stored["far"][1]),
            (_or_nan(stored["tails"][0]), _or_nan(stored["tails"][1])),
        )


def moments(column: pa.ChunkedArray) -> Floats:
    """Timestamps or dates as days since 1970-01-01T00:00Z, negative before; NaN for NULL, shape (n_rows,)."""
    zone = getattr(column.type, "tz", None)
    micros = column.cast(pa.timestamp("us", tz=zone)).cast(pa.int64())
    return ordered_values(micros, "numeric") / 86_400e6


def ordered_values(column: pa.ChunkedArray, kind: str, event_time: Floats | None = None) -> Floats:
    """A column of an ordered kind as float64, NaN where it is missing.

    Text becomes its length in characters. A moment becomes its age in days at the row's event
    (event time minus value): the moment itself always moves on with time, its age need not.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        One feature.
    kind : str
        ``numeric``, ``datetime`` or ``text``.
    event_time : ndarray of float, shape (n_rows,), optional
        :func:`moments` of the rows' events; without them, a moment is the days since 1970.
    """
    if kind == "datetime":
        values = moments(column)
        return values if event_time is None else event_time - values
    if kind == "text":
        column = pc.utf8_length(column.cast(pa.large_string()))
    if not pa.types.is_float64(column.type):
        column = column.cast(pa.float64(), safe=False)
    if column.num_chunks == 1:  # without NULLs this copies nothing
        return np.asarray(column.chunk(0).to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _groups(counts: Counts) -> npt.NDArray[np.intp]:
    """Join neighbouring cells until each group holds about a tenth of the rows.

    Cells that training left empty, between two values that are alone in theirs, are one more group:
    values never seen.
    """
    shares = counts / max(int(counts.sum()), 1)
    groups = np.zeros(counts.size, dtype=np.intp)
    group, held = 0, 0.0
    for cell in np.flatnonzero(counts):
        share = shares[cell]
        # An atom of a tenth or more is never mixed with its neighbours.
        if held > 0 and (held >= 0.95 / GROUPS or share >= 1 / GROUPS + 1e-9):
            group, held = group + 1, 0.0
        groups[cell] = group
        held += share
    if group and held < 0.5 / GROUPS:
        groups[groups == group] = group - 1
    groups[counts == 0] = groups.max() + 1 if counts.any() else 0
    return groups


def _mean(values: Floats) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(values.mean()) if values.size else math.nan


def _or_nan(stored: float | None) -> float:
    return math.nan if stored is None else stored


def _far_edges(low: float, middle: float, high: float) -> tuple[Floats, Floats]:
    """Edges beyond the outermost quantiles ``low`` and ``high``, both increasing; none without a spread."""
    tail = float(ndtri(QUANTILES[-1]))
    far = np.asarray(FAR_PLACES)
    with np.errstate(over="ignore", invalid="ignore"):
        whole = (high - low) / (2 * tail)
        downward = (middle - low) / tail or whole
        upward = (high - middle) / tail or whole
        below, above = (low - (far - tail) * downward)[::-1], high + (far - tail) * upward
    if not whole > 0:
        return np.empty(0), np.empty(0)
    return np.unique(below[np.isfinite(below)]), np.unique(above[np.isfinite(above)])


def _places(counts: Counts, below: int, above: int) -> Floats:
    """Where cells lie; ``below`` and ``above`` of them are cut beyond the quantiles on either side."""
    ends = np.append(0, np.cumsum(counts)) / counts.sum()
    density = np.exp(-(ndtri(np.clip(ends, 1e-300, 1 - 1e-16)) ** 2) / 2) / math.sqrt(2 * math.pi)
    density[(ends <= 0) | (ends >= 1)] = 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        places = np.where(counts > 0, (density[:-1] - density[1:]) / np.diff(ends), ndtri(ends[1:]))
    far = np.append(float(ndtri(QUANTILES[-1])), FAR_PLACES)
    outer = np.append((far[1:] + far[:-1]) / 2, FARTHEST)
    room = np.sqrt(FAR_VARIANCE * counts.sum() / np.maximum(counts, FAR_VARIANCE))
    middle = slice(below + 1, counts.size - above - 1)
    for place, side, sign in ((middle.stop, above + 1, 1), (middle.start - 1, below + 1, -1)):
        for step in range(side):
            cell = place + sign * step
            nearest = sign * places[cell - sign] if 0 <= cell - sign < counts.size else 0.0
            line = outer[outer.size - side + step]
            if counts[cell]:
                places[cell] = sign * max(min(line, room[cell]), sign * places[cell], nearest)
            else:
                places[cell] = sign * max(line, nearest + 0.25)
    return np.asarray(places)
