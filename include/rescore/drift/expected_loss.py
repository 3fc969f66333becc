"""A regression's error before labels are known: a model of its loss on out-of-fold residuals.

Direct loss estimation, as NannyML's documentation has it, with a model that adds up what the cells of each
feature and of the scores do to the squared error. Then a window's expected error follows from the counts that
drift takes anyway: no row is read, and none is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import field_serializer
from scipy.linalg import block_diag
from scipy.special import stdtrit

from rescore.document import Part
from rescore.performance import Measure

__all__ = ["CodedFeature", "ExpectedLoss"]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

#: Windows that are needed to know how far estimates are off, and the rows that count as one.
MIN_WINDOWS, MIN_ROWS = 20, 10

#: Parts of training, of neighbouring windows, that are estimated by a loss model of the others.
FOLDS = 5

#: Rows that a cell's own mean is worth against none: of these the one that estimates other windows best.
RIDGES = (10.0, 100.0, 1_000.0, 10_000.0, math.inf)

#: Cells that are looked at; the features that the model uses most come first.
MAX_CELLS = 1_000

#: Beyond so many standard deviations a parabola goes on as it was there.
FARTHEST = 5.0

#: What features make of the estimate is taken to be off by this part of itself: losses need not add up, and
#: rows of a cell need not be like training's.
MISFIT = 0.1

#: Rows that the loss is learnt from; of more, evenly spaced ones.
MAX_ROWS = 200_000

#: No window is expected to have less than this part of training's mean squared error.
LEAST = 0.05


@dataclass(frozen=True)
class CodedFeature:
    """One feature of training, or the scores.

    Attributes
    ----------
    name : str
        Of the feature.
    codes : ndarray of int, shape (n_rows,)
        The cell of each row.
    places : ndarray of float, shape (n_cells,)
        Where cells lie, in standard deviations; NaN for those without an order, and for missing.
    """

    name: str
    codes: npt.NDArray[np.int64]
    places: Floats

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return int(self.places.size)

    def basis(self) -> Floats:
        """What the loss may depend on, shape (n_cells, n_functions): the cell, and a parabola over all.

        The parabola goes on where training has few rows or none, and where cells are wide.
        """
        cells = np.eye(self.cells)
        there = np.isfinite(self.places)
        if not there.any():
            return cells
        place = np.where(there, np.clip(self.places, -FARTHEST, FARTHEST), 0.0)
        return np.column_stack([cells, place, np.where(there, place**2 - 1, 0.0)])


class ExpectedLoss(Part):
    """A regression's squared error by cells, and how far it is off.

    Attributes
    ----------
    base : float
        Mean squared error out of fold, in the target's unit squared.
    terms : dict of str to tuple of float
        Per feature and cell, by how much the expected squared error is larger, in ``base``.
    chance : float
        Standard deviation of a row's squared error, in its expected one.
    stray : float
        Of the logarithm of (realised / estimated) over training's windows, beyond chance.
    windows : int
        How many those are.
    """

    base: float
    terms: dict[str, tuple[float, ...]]
    chance: float
    stray: float
    windows: int

    @classmethod
    def fit(
        cls, features: Sequence[CodedFeature], squares: Floats, bounds: npt.NDArray[np.intp]
    ) -> ExpectedLoss | None:
        """Learn from out-of-fold residuals; None if too few windows have labels.

        Ridge regression of the squared error on cells. Each fifth of the windows is estimated by a model of
        the others: that tells how much cells are drawn to the mean of all, and how far a window is off.

        Parameters
        ----------
        features : sequence of CodedFeature
            The most important first.
        squares : ndarray of float, shape (n_rows,)
            Squared residuals, NaN where none is known.
        bounds : ndarray of int, shape (n_windows + 1,)
            First row of each window, and the one after the last.
        """
        there = np.isfinite(squares)
        window = np.repeat(np.arange(bounds.size - 1), np.diff(bounds))[there]
        rows = np.bincount(window, minlength=bounds.size - 1)
        base = float(squares[there].mean()) if there.any() else 0.0
        if (rows >= MIN_ROWS).sum() < MIN_WINDOWS or not base > 0:
            return None
        step = -(-window.size // MAX_ROWS)
        window, losses = window[::step], squares[there][::step] / base - 1
        kept, cells = [], 0
        for one in features:
            if cells + one.cells <= MAX_CELLS:
                kept.append(CodedFeature(one.name, one.codes[there][::step], one.places))
                cells += one.cells
        design = _Design.of(kept, losses, window)
        ridge = min(RIDGES, key=design.error)
        every = design.solve(ridge, None)
        chance, pairs = design.held_out(ridge)
        strays = [gap**2 - chance / number for gap, number in pairs]
        return cls(
            base=base * (1 + float(every[0])),
            terms=_terms(kept, every) if math.isfinite(ridge) else {},
            chance=math.sqrt(chance),
            stray=math.sqrt(max(float(np.mean(strays)), 0.0)) if strays else 0.0,
            windows=len(pairs),
        )

    def estimate(self, counts: Mapping[str, Counts]) -> dict[str, Measure]:
        """The root mean squared error to be expected of a window, with the band in which it should come true.

        Parameters
        ----------
        counts : mapping of str to ndarray of int, shape (n_cells,)
            Per feature the window's rows in each cell.
        """
        expected, rows = 1.0, 0
        for name, terms in self.terms.items():
            rows = int(counts[name].sum())
            if rows:
                expected += float(counts[name] @ np.asarray(terms)) / rows
        rows = rows or max((int(one.sum()) for one in counts.values()), default=0)
        if not rows:
            return {"rmse": Measure()}
        expected = max(expected, LEAST)
        value = math.sqrt(self.base * expected)
        freedom = max(self.windows - 1, 1)
        misfit = MISFIT * math.log(expected)
        half = float(stdtrit(freedom, 0.975)) * math.sqrt(self.chance**2 / rows + self.stray**2 + misfit**2)
        return {
            "rmse": Measure(value=value, low=value * math.exp(-half / 2), high=value * math.exp(half / 2))
        }

    @field_serializer("base", "chance", "stray")
    def _six_digits(self, given: float) -> float:
        return float(f"{given:.6g}")

    @field_serializer("terms")
    def _four_digits(self, given: Mapping[str, Sequence[float]]) -> Any:
        return {name: [float(f"{one:.4g}") for one in terms] for name, terms in given.items()}


@dataclass(frozen=True)
class _Design:
    """Sums of products of the cells' functions (the first is 1) and of the losses, by fold and by window."""

    products: Floats
    sums: Floats
    squares: Floats
    counts: Floats
    losses: Floats
    fold: npt.NDArray[np.int64]

    @classmethod
    def of(cls, features: Sequence[CodedFeature], losses: Floats, window: npt.NDArray[np.int64]) -> _Design:
        """Windows are put into folds in order, so that neighbours are held out together."""
        windows = int(window.max()) + 1
        fold = np.arange(windows) * FOLDS // windows
        one = CodedFeature("", np.zeros(losses.size, dtype=np.int64), np.full(1, np.nan))
        columns = [one, *features]
        firsts = np.cumsum([0, *(column.cells for column in columns)])
        width = int(firsts[-1])
        counts, summed = np.zeros((windows, width)), np.zeros((windows, width))
        for place, column in enumerate(columns):
            part, size = slice(firsts[place], firsts[place + 1]), column.cells
            index = window * size + column.codes
            shape = (windows, size)
            counts[:, part] = np.bincount(index, minlength=windows * size).reshape(shape)
            summed[:, part] = np.bincount(index, weights=losses, minlength=windows * size).reshape(shape)
        products = np.zeros((FOLDS, width, width))
        of_row = fold[window]
        for (place, a), (other, b) in _pairs(columns):
            index = (of_row * a.cells + a.codes) * b.cells + b.codes
            found = np.bincount(index, minlength=FOLDS * a.cells * b.cells).reshape(FOLDS, a.cells, b.cells)
            here, there = (slice(firsts[one], firsts[one + 1]) for one in (place, other))
            products[:, here, there] = found
            products[:, there, here] = found.transpose(0, 2, 1)
        bases = block_diag(*(column.basis() for column in columns))
        products = np.einsum("ca,kcd->kad", bases, products, optimize=True) @ bases
        summed, counts = summed @ bases, counts @ bases
        folded = np.stack([summed[fold == one].sum(axis=0) for one in range(FOLDS)])
        squares = np.bincount(of_row, weights=losses**2, minlength=FOLDS).astype(np.float64)
        return cls(products, folded, squares, counts, summed[:, 0], fold)

    def solve(self, ridge: float, without: int | None) -> Floats:
        """Coefficients by all folds, or by all but one; the mean is not drawn to anything."""
        chosen = [one for one in range(FOLDS) if one != without]
        products, sums = self.products[chosen].sum(axis=0), self.sums[chosen].sum(axis=0)
        if not math.isfinite(ridge):
            found = np.zeros(sums.size)
            found[0] = sums[0] / max(products[0, 0], 1.0)
            return found
        penalty = np.full(sums.size, ridge)
        penalty[0] = 1e-9
        return np.asarray(np.linalg.solve(products + np.diag(penalty), sums))

    def error(self, ridge: float) -> float:
        """Sum of squared errors of the losses of each fold, by the others."""
        total = 0.0
        for one in range(FOLDS):
            by = self.solve(ridge, one)
            total += float(self.squares[one] - 2 * by @ self.sums[one] + by @ self.products[one] @ by)
        return total

    def held_out(self, ridge: float) -> tuple[float, list[tuple[float, int]]]:
        """Variance of a row's loss in its expected one; per window ln(realised / estimated), and rows."""
        off = expected = 0.0
        pairs = []
        for one in range(FOLDS):
            by = self.solve(ridge, one)
            products = self.products[one]
            off += float(self.squares[one] - 2 * by @ self.sums[one] + by @ products @ by)
            expected += float(products[0, 0] + 2 * by @ products[0] + by @ products @ by)
            for place in np.flatnonzero(self.fold == one):
                rows = int(self.counts[place, 0])
                realised = 1 + self.losses[place] / max(rows, 1)
                if rows >= MIN_ROWS and realised > 0:
                    estimated = max(1 + float(self.counts[place] @ by) / rows, LEAST)
                    pairs.append((math.log(realised / estimated), rows))
        return off / expected, pairs


def _pairs(
    columns: Sequence[CodedFeature],
) -> list[tuple[tuple[int, CodedFeature], tuple[int, CodedFeature]]]:
    numbered = list(enumerate(columns))
    return [(one, other) for place, one in enumerate(numbered) for other in numbered[place:]]


def _terms(features: Sequence[CodedFeature], found: Floats) -> dict[str, tuple[float, ...]]:
    """By feature and cell, relative to the mean; what few rows say of a cell the ridge draws to none."""
    terms, first = {}, 1
    for one in features:
        basis = one.basis()
        after = first + basis.shape[1]
        terms[one.name] = tuple((basis @ found[first:after] / (1 + found[0])).tolist())
        first = after
    return terms
