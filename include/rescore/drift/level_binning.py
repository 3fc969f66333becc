"""Cells of kinds with levels (categories, booleans), and what counting one column gives.

One cell for each frequent level, one for all rare ones, one for levels that training did not have;
the last count of every row is *missing*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["LevelCells", "Tally"]

Counts = npt.NDArray[np.int64]

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
        Mean of the finite values up to the first and beyond the last inner edge, NaN if there is none.
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
        cls, column: pa.ChunkedArray, starts: npt.NDArray[np.intp], *, min_rows: int
    ) -> tuple[LevelCells, list[Tally]]:
        """Choose the levels from training and count each of its windows.

        Parameters
        ----------
        column : pyarrow.ChunkedArray
            All rows, window after window.
        starts : ndarray of int, shape (n_windows + 1,)
            First row of each window, and the number of rows.
        min_rows : int
            A level with fewer rows in training is unseen. To be told apart from a live window's, rows
            of a level that has fewer in all *other* windows are counted in ``Tally.moved``.
        """
        dictionary, codes = _encode(column)
        totals = np.bincount(codes[codes >= 0], minlength=len(dictionary))
        names = dictionary.to_pylist()
        order = sorted(range(len(names)), key=lambda code: (-totals[code], names[code]))
        known = [code for code in order if totals[code] >= min_rows][:MAX_KNOWN_LEVELS]
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
            only_here = (cell == len(own)) & (totals[found] - rows < min_rows)
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

    def codes(self, column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """The cell of each row, shape (n_rows,)."""
        dictionary, codes = _encode(column)
        cell = np.append(self._cells_of(dictionary), self.unseen_cell + 1)  # the last is missing, at -1
        return np.asarray(cell[codes])

    def _cells_of(self, dictionary: pa.Array) -> npt.NDArray[np.int64]:
        # Looked up by Arrow, not level by level: a window may have a million of them.
        known = pa.array([*self.levels, *self.rare], type=pa.string())
        place = pc.index_in(dictionary, value_set=known).fill_null(-1)
        cell = np.asarray(place.to_numpy(zero_copy_only=False), dtype=np.int64)
        return np.where(cell < 0, self.unseen_cell, np.minimum(cell, len(self.levels)))

    def tally(self, pieces: Iterable[pa.Array]) -> Tally:
        """Count the levels of all ``pieces`` of a window's column in one pass."""
        dictionary, totals, rows = _count(pieces)
        cell = self._cells_of(dictionary)
        is_unseen = cell == self.unseen_cell
        counts = np.zeros(self.unseen_cell + 2, dtype=np.int64)
        np.add.at(counts, cell, totals)
        counts[-1] = rows - totals.sum()
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


def _count(pieces: Iterable[pa.Array]) -> tuple[pa.Array, Counts, int]:
    """Distinct values as strings, rows of each, and rows in all; NULLs are in none."""
    counted = [_count_one(piece) for piece in pieces]
    names = pa.chunked_array([names for names, _, _ in counted], pa.string()).combine_chunks()
    encoded = names.dictionary_encode()
    totals = np.zeros(len(encoded.dictionary), dtype=np.int64)
    if len(names):
        np.add.at(totals, encoded.indices.to_numpy(), np.concatenate([totals for _, totals, _ in counted]))
    return encoded.dictionary, totals, sum(rows for _, _, rows in counted)


def _count_one(piece: pa.Array) -> tuple[pa.Array, Counts, int]:
    if pa.types.is_boolean(piece.type):
        true = pc.sum(piece).as_py() or 0
        totals = np.array([len(piece) - piece.null_count - true, true], dtype=np.int64)
        return pa.array(["false", "true"]), totals, len(piece)
    if not pa.types.is_dictionary(piece.type):
        piece = piece.cast(pa.string()).dictionary_encode()
    indices = piece.indices.drop_null() if piece.indices.null_count else piece.indices
    totals = np.bincount(indices.to_numpy(), minlength=len(piece.dictionary)).astype(np.int64)
    return piece.dictionary.cast(pa.string()), totals, len(piece)


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
