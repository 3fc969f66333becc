"""How far out each window stands in each statistic, on one scale that all statistics share.

The scale is ``-ln`` of a tail probability. Every window is judged by the others, the live one like
any other; what is done to one window is done to all, so that ranks stay honest whatever the
model of the tails is worth (``calibration``). The better the model, the more is found: that is
all that depends on it. Chosen by simulation; figures in docs/decisions/0005-drift-statistic.md
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from rescore.drift.calibration import neighbourhood

__all__ = [
    "between_windows",
    "classifier_standing",
    "neighbours_apart",
    "shape_standing",
    "shift_standing",
    "unusualness",
]

Floats = npt.NDArray[np.float64]

#: Part of the windows on either side that says nothing about the centre and spread of all.
TRIM = 0.1

#: Standard deviation of a normal variable between its 10th and 90th percentiles, in its own.
TRIMMED_SD = 0.6616

#: Beyond so many spreads a window counts as being exactly so many off, when others are judged by it.
CLIP = 3.0

#: An unusualness above this is of the tail: half of all windows, if the model is right.
TAIL = math.log(2)

#: A tail as the model says is held as sure as so many windows in the tail would make it.
PRIOR_WINDOWS = 10

#: A tail index up to this is what chance makes of a light tail of some 30 windows.
CHANCE_INDEX = 0.4


def shift_standing(shift: Floats, noise: Floats) -> Floats:
    """Standard deviations by which a mean is off, past sampling and past what it does between windows.

    Parameters
    ----------
    shift : ndarray of float, shape (n_windows + 1, n_statistics)
        Signed difference of each window from the others; the live window last.
    noise : ndarray of float, shape (n_windows + 1, n_statistics)
        Its variance if rows are independent and windows do not wander.
    """
    _, spread = _centre_and_spread(shift)
    variance = noise + _wandering(shift, spread, noise)
    return _ratio(shift, np.sqrt(variance))


def shape_standing(distance: Floats, noise: Floats, freedom: Floats) -> Floats:
    """Standard deviations by which a chi-square-like distance is larger than it usually is.

    On the cube root, which makes a chi-square nearly normal (Wilson and Hilferty, *PNAS* 17, 1931),
    after dividing by what is expected at the window's size: noise, and what windows typically have
    beyond it.

    Parameters
    ----------
    distance, noise : ndarray of float, shape (n_windows + 1, n_statistics)
        A distance of each window from the others, and what sampling makes of it on average.
    freedom : ndarray of float, shape (n_windows + 1, n_statistics)
        Degrees of freedom of its chi-square.
    """
    expected = noise + np.maximum(np.median(distance - noise, axis=0), 0.0)
    root = np.cbrt(_ratio(distance, expected))
    sampling = 2 / (9 * np.maximum(freedom, 1)) * np.cbrt(_ratio(noise, expected)) ** 2
    return classifier_standing(root, sampling)


def classifier_standing(values: Floats, noise: Floats) -> Floats:
    """Standard deviations by which a value is larger than it usually is, in windows of its size.

    Parameters
    ----------
    values : ndarray of float, shape (n_windows + 1, n_statistics)
        Nearly normal; of a classifier, how far apart it puts a window's rows and the others'.
    noise : ndarray of float, shape (n_windows + 1, n_statistics)
        What sampling makes of its variance.
    """
    centre, spread = _centre_and_spread(values)
    others = _others(values.shape[0])
    off = values - others @ np.clip(values, centre - CLIP * spread, centre + CLIP * spread)
    return _ratio(off, np.sqrt(noise + _wandering(off, spread, noise)))


def between_windows(means: Floats, noise: Floats) -> Floats:
    """Variance of windows' means beyond sampling's, by the middle windows; shape (n_statistics,).

    ``means``, shape (n_windows, n_statistics), vary by sampling alone by ``noise``, shape (n_statistics,).
    """
    return np.asarray(np.maximum(_centre_and_spread(means)[1] ** 2 - noise, 0.0))


def unusualness(standing: Floats, two_sided: npt.NDArray[np.bool_]) -> Floats:
    """``-ln`` of the chance to stand as far out, by a tail fitted to the other windows.

    Standings are normal if windows differ by many small causes. A statistic that is wild in some
    windows has a heavier tail; so over the median a generalised Pareto tail is fitted to the
    unusualness of the *other* windows by probability-weighted moments (Hosking and Wallis,
    *Technometrics* 29, 1987), drawn towards the normal's. Then no window that is wild in one feature
    stands out for it where others are so too, and it hides nothing in other features.

    Parameters
    ----------
    standing : ndarray of float, shape (n_windows + 1, n_statistics)
        Standard deviations, the live window last.
    two_sided : ndarray of bool, shape (n_statistics,)
        Whether a statistic can be off to either side.

    Returns
    -------
    ndarray of float, shape (n_windows + 1, n_statistics)
        ln 2 for a window in the middle of all others.
    """
    plain = np.where(two_sided, -math.log(2) - log_ndtr(-np.abs(standing)), -log_ndtr(-standing))
    windows = plain.shape[0]
    beyond = np.maximum(plain - TAIL, 0.0)
    order = np.argsort(beyond, axis=0, kind="stable")
    values = np.take_along_axis(beyond, order, axis=0)
    held = values > 0
    number = held.sum(axis=0)
    ranks = np.where(held, np.arange(1, windows + 1)[:, None] - (windows - number), 0)
    # The two moments of all values but one: those that rank above it move down by a rank.
    others = np.maximum(number - 1, 1).astype(np.float64)
    totals = values.sum(axis=0)
    sums = totals - values
    by_rank = (values * ranks).sum(axis=0) - values * ranks - (totals - np.cumsum(values, axis=0))
    mean = sums / others
    weighted = (others * sums - by_rank) / (others * np.maximum(others - 1, 1))
    index = np.maximum(2 - _ratio(mean, mean - 2 * weighted) - CHANCE_INDEX, 0.0)
    enough = others >= 3
    index = np.where(enough & (mean > 2 * weighted), np.minimum(index, 0.9), 0.0)
    scale = np.where(enough, (PRIOR_WINDOWS + others * mean * (1 - index)) / (PRIOR_WINDOWS + others), 1.0)
    fitted = np.where(index > 0, np.log1p(index * values / scale) / np.maximum(index, 1e-9), values / scale)
    result = np.empty_like(plain)
    np.put_along_axis(result, order, fitted, axis=0)
    return np.asarray(np.where(beyond > 0, TAIL + result, plain))


def _centre_and_spread(values: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation by the middle windows."""
    cut = int(values.shape[0] * TRIM)
    middle = np.sort(values, axis=0)[cut : values.shape[0] - cut]
    return np.asarray(middle.mean(axis=0)), np.asarray(middle.std(axis=0) / TRIMMED_SD)


def _wandering(off: Floats, spread: Floats, sampling: Floats) -> Floats:
    """Variance between windows beyond sampling's, for each window by the others."""
    squares = np.clip(off, -CLIP * spread, CLIP * spread) ** 2
    return np.maximum(_others(off.shape[0]) @ (squares - sampling), 0.0)


def _others(windows: int) -> Floats:
    """Weights by which each window is judged: none for itself and its neighbours in time.

    Where windows wander slowly, a window is like its neighbours; a live one has none.
    """
    apart = neighbours_apart(windows)
    return np.asarray(apart / np.maximum(apart.sum(axis=1, keepdims=True), 1))


def neighbours_apart(windows: int) -> npt.NDArray[np.bool_]:
    """Whether a window (row) may be judged by another (column); the last is the live one."""
    place = np.arange(windows)
    apart = np.abs(place[:, None] - place[None, :]) > neighbourhood(windows - 1)
    apart[-1, :-1] = apart[:-1, -1] = True
    return np.asarray(apart)


def _ratio(above: Floats, below: Floats) -> Floats:
    """A quotient; 0 where nothing is known to compare with."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1.0), 0.0))
