"""How sure a difference between two models is: both resampled together, in blocks of whole days.

Rows of one day share its weather, its strikes and its prices; resampling rows one by one would take
them for independent and call chance a gain. So a resample draws days, with everything in them, for
champion and challenger alike (a paired block bootstrap: Künsch, "The jackknife and the bootstrap for
general stationary observations", 1989). A metric is kept as sums per block, so that a resample costs a
product of small matrices, whatever the number of rows. Few blocks make the percentile interval too
short: with 5 days a one-sided error of 2.5 % was 9 % in simulation. It is widened by Hesterberg's
formula ("What teachers should know about the bootstrap", 2015, the expanded percentile interval); in
simulation the error was then 2 to 3 % from 7 days on. Days that resemble the days before count as fewer
independent days. How many is estimated from the autocorrelation of each day's jackknife influence on the
statistic; the interval is computed for that number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rescore.performance import row_losses

__all__ = [
    "CONFIDENCE",
    "MIN_BLOCKS",
    "MIN_EFFECTIVE",
    "RESAMPLES",
    "SEED",
    "Predicted",
    "Resampled",
    "independent_blocks",
    "metric_of",
]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
#: Resampled counts of each block, shape (n_samples, n_blocks), to the metric of each sample.
Metric = Callable[[Integers], Floats]

#: Two-sided: one in forty samples of equal models has an interval above 0.
CONFIDENCE = 0.95
RESAMPLES = 4_000
#: A gain is called detectable if this share of comparisons would find it.
POWER = 0.8
SEED = 20_130_401
#: Below this many blocks the interval errs too often to decide by.
MIN_BLOCKS = 7
#: The same for the number of independent blocks that they count as.
MIN_EFFECTIVE = 4.0
#: So many standard errors are added to an autocorrelation, since few days tell it badly.
DOUBT = 1.0
#: The largest decay from day to day that is assumed, and the smallest number of independent days.
MOST_MEMORY, FEWEST_EFFECTIVE = 0.97, 2.0
#: The second autocorrelation over the first is a quotient of noisy numbers: no more than this is believed.
MOST_DECAY = 0.8


class Resampled:
    """The same resamples of blocks for every statistic of one comparison.

    Parameters
    ----------
    blocks : int
        How many blocks there are.
    """

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        random = np.random.default_rng(SEED)
        drawn = random.multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES)
        self._counts: Integers = np.vstack([np.ones(blocks, np.int64), drawn.astype(np.int64)])

    def interval(self, statistic: Metric) -> tuple[float | None, float | None, float | None]:
        """A statistic of all blocks, and its interval.

        Returns
        -------
        tuple of float or None
            The value, the lower and the upper bound. None where it is not defined: the bounds with
            one block only, or where a resample in a hundred has no value (one class only, say).
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            values = statistic(self._counts)
        value = float(values[0]) if np.isfinite(values[0]) else None
        drawn = np.sort(values[1:][np.isfinite(values[1:])])
        if value is None or self.blocks < 2 or len(drawn) < 0.99 * RESAMPLES:
            return value, None, None
        tail = self._tail()
        wider = self._wider(self.effective_blocks(statistic))
        low = value + wider * (drawn[int(np.floor(tail * len(drawn)))] - value)
        high = value + wider * (drawn[len(drawn) - 1 - int(np.floor(tail * len(drawn)))] - value)
        return value, float(min(low, value)), float(max(high, value))

    def floor(self, statistic: Metric, error: float) -> float | None:
        """The bound that the true value lies above, wrong with chance ``error``; .025: the interval's."""
        from scipy import stats  # a second that readers of reports do not pay

        value, low, _ = self.interval(statistic)
        if value is None or low is None:
            return None
        freedom = self.effective_blocks(statistic) - 1
        wider = stats.t.ppf(1 - error, freedom) / stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
        return float(value + wider * (low - value))

    def detectable(self, statistic: Metric, error: float) -> float | None:
        """The gain that is found in :data:`POWER` of such comparisons, by the spread of these blocks."""
        from scipy import stats  # a second that readers of reports do not pay

        value, low, _ = self.interval(statistic)
        if value is None or low is None:
            return None
        freedom = self.effective_blocks(statistic) - 1
        deviation = (value - low) / stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
        return float(deviation * (stats.t.ppf(1 - error, freedom) + stats.norm.ppf(POWER)))

    def effective_blocks(self, statistic: Metric) -> float:
        """How many independent blocks the blocks are worth to a statistic, between 2 and all of them.

        Found by what leaving out each block does to it; see :func:`independent_blocks`. All blocks where the
        statistic is not defined without one of them.
        """
        if self.blocks < MIN_BLOCKS:
            return float(self.blocks)
        with np.errstate(invalid="ignore", divide="ignore"):
            left_out = statistic(1 - np.eye(self.blocks, dtype=np.int64))
        return float(independent_blocks(left_out))

    def _wider(self, effective: float) -> float:
        """How much wider the interval is of so many blocks: by their mean's deviation, and by Student's t."""
        from scipy import stats  # a second that readers of reports do not pay

        if effective >= self.blocks:
            return 1.0
        deviation = np.sqrt(self.blocks / effective * (1 - 1 / self.blocks) / (1 - 1 / effective))
        student = [stats.t.ppf((1 + CONFIDENCE) / 2, number - 1) for number in (effective, self.blocks)]
        return float(deviation * student[0] / student[1])

    def _tail(self) -> float:
        from scipy import stats  # a second that readers of reports do not pay

        wide = stats.t.ppf((1 + CONFIDENCE) / 2, self.blocks - 1)
        return float(stats.norm.cdf(-np.sqrt(self.blocks / (self.blocks - 1)) * wide))


def independent_blocks(effects: Floats, doubt: float = DOUBT) -> Floats:
    """How many independent blocks the blocks are worth, between 2 and all of them.

    What each block does is modelled as AR(1) plus noise. The noise lowers the first autocorrelation, but not
    the ratio of the second to the first: ``r[k] = r[1] * decay ** (k - 1)``, so that n blocks are worth
    ``n / (1 + 2 * r[1] / (1 - decay))``. Both are corrected for the bias of short series (Kendall,
    *Biometrika* 41, 1954), and raised by ``doubt`` standard errors. All blocks where some
    effect is not finite, or none differs.

    Parameters
    ----------
    effects : ndarray of float, shape (..., n_blocks)
        In the order of time; of several series at once.
    doubt : float
        Standard errors.

    Returns
    -------
    ndarray of float, shape (...)
    """
    blocks = effects.shape[-1]
    off = effects - effects.mean(axis=-1, keepdims=True)
    squares = (off**2).sum(axis=-1)
    differ = np.isfinite(squares) & (squares > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        first, second = (
            ((off[..., lag:] * off[..., :-lag]).sum(axis=-1) / squares + 1 / blocks) / (1 - 3 / blocks)
            for lag in (1, 2)
        )
        more = doubt * np.sqrt(np.maximum(1 - np.clip(first, 0.0, MOST_MEMORY) ** 2, 0.0) / blocks)
        first, second = (np.clip(one + more, 0.0, MOST_MEMORY) for one in (first, second))
        decay = np.where(first > 0, np.maximum(first, np.minimum(second / first, MOST_DECAY)), 0.0)
        worth = np.maximum(blocks / (1 + 2 * first / (1 - decay)), FEWEST_EFFECTIVE)
    return np.asarray(np.where(differ, worth, float(blocks)), np.float64)


class Predicted(Protocol):
    """What a package says of rows; ``rescore.model.Predictions`` is such a value.

    Attributes
    ----------
    raw : ndarray of float64
        Regression: shape (n_rows,). Else the probability of each label, shape (n_rows, n_labels).
    named : ndarray of int, shape (n_rows,), or None
        The position of the label that ``predict`` names: a tuned threshold makes it another than the
        most probable one. None for regression.
    """

    @property
    def raw(self) -> Floats:
        """The numbers of each row, as the class's attribute of this name says."""

    @property
    def named(self) -> Integers | None:
        """The label's position of each row, as the class's attribute of this name says."""


def metric_of(
    name: str, truth: Any, raw: Floats, named: Integers | None, block: Integers, blocks: int
) -> Metric:
    """A metric as a function of how often each block counts.

    Parameters
    ----------
    name : str
        One of :data:`rescore.performance.METRICS`.
    truth : ndarray, shape (n_rows,)
        Positions of labels, or values.
    raw, named
        As in :class:`Predicted`.
    block : ndarray of int64, shape (n_rows,)
        The block of each row, from 0.
    blocks : int
        How many blocks there are.
    """
    if name == "auc":
        return _auc(truth == 1, raw[:, 1], block, blocks)
    rows = _sums(np.ones(len(block)), block, blocks)
    if name == "r2":
        target = np.asarray(truth, np.float64)
        squares, total = (_sums(part, block, blocks) for part in ((target - raw) ** 2, target))
        about = _sums(target**2, block, blocks)
        return lambda counts: (
            1 - _dot(counts, squares) / (_dot(counts, about) - _dot(counts, total) ** 2 / _dot(counts, rows))
        )
    losses = _sums(row_losses(name, truth, raw, named), block, blocks)
    if name == "rmse":
        return lambda counts: np.sqrt(_dot(counts, losses) / _dot(counts, rows))
    return lambda counts: _dot(counts, losses) / _dot(counts, rows)


def _auc(positive: npt.NDArray[np.bool_], score: Floats, block: Integers, blocks: int) -> Metric:
    """Share of positives above negatives, by both blocks (Mann and Whitney, 1947).

    Counted in halves, so that every sum is a whole number and no order of adding matters.
    """
    values, rank = np.unique(score, return_inverse=True)
    ranks, of_positive = rank[positive], block[positive]
    wins = np.zeros((blocks, blocks), np.int64)
    for other in range(blocks):
        negatives = np.bincount(rank[~positive & (block == other)], minlength=len(values))
        below = np.concatenate([[0], np.cumsum(negatives)])
        halves = below[ranks] + below[ranks + 1]
        wins[:, other] = np.bincount(of_positive, weights=halves, minlength=blocks)
    positives = np.bincount(of_positive, minlength=blocks)
    negatives = np.bincount(block[~positive], minlength=blocks)

    def auc(counts: Integers) -> Floats:
        won = ((counts @ wins) * counts).sum(axis=1)
        return np.asarray(won / (2 * (counts @ positives) * (counts @ negatives)), np.float64)

    return auc


def _sums(values: Floats, block: Integers, blocks: int) -> Floats:
    return np.asarray(np.bincount(block, weights=values, minlength=blocks), np.float64)


def _dot(counts: Integers, sums: Floats) -> Floats:
    # einsum adds in a fixed order; a matrix product's depends on the BLAS and its threads.
    return np.asarray(np.einsum("nb,b->n", counts, sums, optimize=False), np.float64)
