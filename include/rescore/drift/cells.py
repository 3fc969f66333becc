"""Cells: how one column's values are counted, and what counting one slice of rows gives.

A reference fixes the cells once, from training; every window, past or live, is then counted in
them. Ordered kinds (numbers, dates as ages, text lengths, scores) are cut at training's quantiles,
values that hold much of the mass get a cell of their own; levels (categories, booleans) get a cell
each, with one for rare and one for unseen levels. The last cell of every row of counts is
*missing*: NULL and NaN alike.

Nothing here compares two windows (``distances``) or judges (``outage``, ``calibration``).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["LevelCells", "OrderedCells", "Tally", "moments", "ordered_values"]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

#: A block is sorted and its edges looked up: the block fits in the cache, and numpy's sort uses SIMD,
#: so this is 2-3 times cheaper than looking up every value among the edges.
BLOCK_ROWS = 65_536

#: Quantiles at which ordered values are cut: deciles, halved, and finer in the tails.
QUANTILES = (0.01, 0.025, *np.arange(0.05, 0.951, 0.05).round(2).tolist(), 0.975, 0.99)

#: A single value with at least this share of the rows has a cell of its own.
ATOM_SHARE = 0.05

#: PSI is taken over about this many groups of cells, each with a tenth of training's rows.
GROUPS = 10

#: From here on it is worth knowing exactly how much of a window a single value is.
NEARLY_ALL = 0.9

#: At most this many levels have a cell of their own; rarer ones share one.
MAX_LEVELS = 30

#: A level has its own cell if a window of average size holds at least this many rows of it.
MIN_ROWS_PER_WINDOW = 5

#: Levels that are kept as *known*, whether or not they have a cell of their own.
MAX_KNOWN_LEVELS = 5_000


@dataclass(frozen=True)
class Tally:
    """What one pass over one column of one window gives.

    Attributes
    ----------
    counts : ndarray of int, shape (n_cells + 1,)
        Rows per cell; the last is missing.
    constant : bool
        All values that are there are the same one (False if there is none).
    moved : int
        Reference windows: rows of known levels that would be unseen if the window were left out.
    low_mean, high_mean : float
        Mean of the finite values in the first and in the last cell, NaN if there is none.
    infinite : int
        Rows with an infinite value; they are counted in the first and last cell.
    unseen : tuple of str
        A few levels that training did not have (for what is said to people in this run only).
    """

    counts: Counts
    constant: bool
    moved: int = 0
    low_mean: float = float("nan")
    high_mean: float = float("nan")
    infinite: int = 0
    unseen: tuple[str, ...] = ()


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
        Training's mean of the finite values in each cell, NaN where there is none.
    """

    edges: Floats
    groups: npt.NDArray[np.intp]
    means: Floats

    @classmethod
    def fit(cls, values: Floats, *, least_rows: int) -> OrderedCells:
        """Cut ``values`` (NaN is missing) at quantiles; the outer cells hold ``least_rows`` or more.

        No edge is a smallest or largest value: those belong to one row, perhaps to one person.
        """
        there = np.sort(values[np.isfinite(values)])
        if there.size == 0:
            return cls(np.empty(0), np.zeros(1, dtype=np.intp), np.full(1, np.nan))
        ranks = np.ceil(np.asarray(QUANTILES) * there.size).astype(np.intp) - 1
        ranks = np.clip(ranks, min(least_rows, there.size) - 1, max(there.size - least_rows - 1, 0))
        starts = np.flatnonzero(np.r_[True, there[1:] != there[:-1]])
        shares = np.diff(np.r_[starts, there.size]) / there.size
        atoms = there[starts[shares >= ATOM_SHARE]]
        with np.errstate(over="ignore"):  # below the smallest float there is nothing to cut
            edges = np.unique(np.r_[there[ranks], atoms, np.nextafter(atoms, -np.inf)])
        edges = edges[np.isfinite(edges)]
        ends = np.searchsorted(there, edges, side="right")
        counts = np.diff(ends, prepend=0, append=there.size)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            sums = np.add.reduceat(np.append(there, 0.0), np.append(0, ends))
            means = np.where(counts > 0, sums / counts, np.nan)
        return cls(edges, _groups(counts), means)

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
        cell = np.searchsorted(self.edges, values, side="left")
        cell[np.isnan(values)] = width - 1
        window = np.repeat(np.arange(starts.size - 1), np.diff(starts))
        counts = np.bincount(window * width + cell, minlength=width * (starts.size - 1))
        counts = counts.reshape(-1, width).astype(np.int64)
        there = np.maximum(counts[:, :-1].sum(axis=1), 1)
        top_share = counts[:, :-1].max(axis=1) / there
        for place in np.flatnonzero(top_share > NEARLY_ALL):
            rows = values[starts[place] : starts[place + 1]]
            top_share[place] = np.unique(rows[~np.isnan(rows)], return_counts=True)[1].max() / there[place]
        return counts, top_share

    def magnitudes(self, counts: Counts) -> Floats:
        """Per row of counts, the median absolute value of what is neither zero nor missing.

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

    def tally(self, values: Floats) -> Tally:
        """Count ``values`` (NaN is missing) in one pass."""
        below = np.zeros(self.edges.size, dtype=np.int64)
        there = infinite = low_rows = high_rows = 0
        low, high = np.inf, -np.inf
        low_sum = high_sum = 0.0
        for start in range(0, values.size, BLOCK_ROWS):
            block = np.sort(values[start : start + BLOCK_ROWS])  # NaN comes last
            size = int(np.searchsorted(block, np.inf, side="right"))
            if size == 0:
                continue
            block = block[:size]
            at = np.searchsorted(block, self.edges, side="right")
            below += at
            there += size
            low, high = min(low, block[0]), max(high, block[-1])
            if self.edges.size:
                first, last = block[: at[0]], block[at[-1] :]
                if low == -np.inf or high == np.inf:
                    infinite += int(np.isinf(block).sum())
                    first, last = first[np.isfinite(first)], last[np.isfinite(last)]
                low_rows, high_rows = low_rows + first.size, high_rows + last.size
                with np.errstate(over="ignore"):
                    low_sum, high_sum = low_sum + float(first.sum()), high_sum + float(last.sum())
        counts = np.diff(np.concatenate(([0], below, [there, values.size])))
        return Tally(
            counts=counts,
            constant=bool(there and low == high),
            low_mean=low_sum / low_rows if low_rows else float("nan"),
            high_mean=high_sum / high_rows if high_rows else float("nan"),
            infinite=infinite,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {
            "edges": self.edges.tolist(),
            "groups": self.groups.tolist(),
            "means": [float(f"{mean:.6g}") if np.isfinite(mean) else None for mean in self.means],
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> OrderedCells:
        """Inverse of :meth:`to_dict`."""
        return cls(
            np.asarray(stored["edges"], dtype=np.float64),
            np.asarray(stored["groups"], dtype=np.intp),
            np.asarray([np.nan if mean is None else mean for mean in stored["means"]], dtype=np.float64),
        )


@dataclass(frozen=True)
class LevelCells:
    """Cells of a kind with levels: one for each of ``levels``, then *rare*, then *unseen*.

    Attributes
    ----------
    levels : tuple of str
        Levels with a cell of their own, most frequent first.
    rare : tuple of str
        Known levels that share the cell *rare*. A level with too few rows in training is in
        neither: it counts as unseen, and its name is not kept.
    """

    levels: tuple[str, ...]
    rare: tuple[str, ...]

    @classmethod
    def fit_windows(
        cls, column: pa.ChunkedArray, starts: npt.NDArray[np.intp], *, least_rows: int
    ) -> tuple[LevelCells, list[Tally]]:
        """Choose the levels from training and count each of its windows.

        Parameters
        ----------
        column : pyarrow.ChunkedArray
            All rows, window after window.
        starts : ndarray of int, shape (n_windows + 1,)
            First row of each window, and the number of rows.
        least_rows : int
            A level with fewer rows in training is unseen. To be told apart from a live window's, rows
            of a level that has fewer in all *other* windows are counted in ``Tally.moved``.
        """
        dictionary, codes = _encode(column)
        totals = np.bincount(codes[codes >= 0], minlength=len(dictionary))
        names = dictionary.to_pylist()
        order = sorted(range(len(names)), key=lambda code: (-totals[code], names[code]))
        known = [code for code in order if totals[code] >= least_rows][:MAX_KNOWN_LEVELS]
        windows = starts.size - 1
        own = [code for code in known[:MAX_LEVELS] if totals[code] >= MIN_ROWS_PER_WINDOW * windows]
        cells = cls(tuple(names[code] for code in own), tuple(names[code] for code in known[len(own) :]))
        cell_of = np.full(len(names), cells.unseen_cell, dtype=np.int64)
        cell_of[known] = len(own)
        cell_of[own] = np.arange(len(own))
        tallies = []
        for start, stop in pairwise(starts):
            found, rows = np.unique(codes[start:stop], return_counts=True)
            there = found >= 0
            found, rows = found[there], rows[there]
            cell = cell_of[found]
            only_here = (cell == len(own)) & (totals[found] - rows < least_rows)
            counts = np.zeros(cells.unseen_cell + 2, dtype=np.int64)
            np.add.at(counts, cell, rows)
            counts[-1] = stop - start - rows.sum()
            moved = int(rows[only_here].sum())
            tallies.append(Tally(counts=counts, constant=found.size == 1, moved=moved))
        return cells, tallies

    @property
    def unseen_cell(self) -> int:
        """Index of the cell for levels training did not have."""
        return len(self.levels) + 1

    def tally(self, column: pa.ChunkedArray) -> Tally:
        """Count a window's levels in one pass."""
        dictionary, codes = _encode(column)
        totals = np.bincount(codes + 1, minlength=len(dictionary) + 1).astype(np.int64)[1:]
        # Looked up by Arrow, not level by level: a window may have a million of them.
        known = pa.array([*self.levels, *self.rare], type=pa.string())
        place = pc.index_in(dictionary, value_set=known).fill_null(-1)
        cell = np.asarray(place.to_numpy(zero_copy_only=False), dtype=np.int64)
        is_unseen = cell < 0
        cell = np.where(is_unseen, self.unseen_cell, np.minimum(cell, len(self.levels)))
        counts = np.zeros(self.unseen_cell + 2, dtype=np.int64)
        np.add.at(counts, cell, totals)
        counts[-1] = codes.size - totals.sum()
        examples = np.flatnonzero(is_unseen & (totals > 0))[:3]
        return Tally(
            counts=counts,
            constant=int((totals > 0).sum()) == 1,
            unseen=tuple(dictionary[int(code)].as_py() for code in examples),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {"levels": list(self.levels), "rare": list(self.rare)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> LevelCells:
        """Inverse of :meth:`to_dict`."""
        return cls(tuple(stored["levels"]), tuple(stored["rare"]))


def moments(column: pa.ChunkedArray) -> Floats:
    """Timestamps or dates as days since 1970-01-01T00:00Z, NaN for NULL; days before are negative."""
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


def _encode(column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Distinct values as strings, and per row the position of its own (-1 for NULL)."""
    if pa.types.is_boolean(column.type):
        values = column.cast(pa.int8()).fill_null(-1).to_numpy()
        return pa.array(["false", "true"]), np.asarray(values, dtype=np.int64)
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    column = column.unify_dictionaries()
    if column.num_chunks == 0:
        return pa.array([], pa.string()), np.empty(0, dtype=np.int64)
    codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return column.chunk(0).dictionary.cast(pa.string()), np.concatenate(codes).astype(np.int64, copy=False)


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
        if held > 0 and (held >= 1 / GROUPS - 1e-9 or share >= 1 / GROUPS + 1e-9):
            group, held = group + 1, 0.0
        groups[cell] = group
        held += share
    if group and held < 0.5 / GROUPS:
        groups[groups == group] = group - 1
    groups[counts == 0] = groups.max() + 1 if counts.any() else 0
    return groups
