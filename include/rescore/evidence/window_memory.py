"""Windows that resemble the ones before: how many independent ones a reference is worth, and what follows.

Of 90 daily windows, each of which resembles the one before with an autocorrelation of .76, the mean is known
as badly as that of 90 * (1 - .76) / (1 + .76), about 12, independent ones: they are *worth* 12.

A live window usually lies outside of the reference's time. Where windows wander, the reference's mean is off
by what it did on average then, and the live window is off by that as well; a reference window is not, for the
mean went along with it. So the live window stands farther out than reference windows, by a factor that
follows from the memory of the windows (the *effective* number of windows, as of any autocorrelated mean). The
reference's spread is known as badly: it has the degrees of freedom of fewer windows, so that a live window's
standing has heavier tails than a normal number, and a reference window's, which is part of that spread, has
lighter ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rescore.evidence.ranks import mid_ranks

__all__ = ["effective_windows", "memory_of", "without_memory"]

Floats = npt.NDArray[np.float64]

#: No memory is taken for longer than this decay from one window to the next.
MOST_MEMORY = 0.95

#: Autocorrelations of few windows scatter more than the formula for many says.
NOISE_FACTOR = 6.0

#: Standard errors that are added to the memory of a statistic, and the windows that are needed to tell it.
ADDED_ERRORS, FEWEST = 2.0, 8

#: A spread taken from the middle windows alone is worth half as many degrees of freedom.
TRIMMED_WORTH = 0.5


@dataclass(frozen=True)
class _Worth:
    """Independent windows that a reference is worth: to means, and to spreads; shape (n_statistics,)."""

    windows: Floats
    freedom: Floats


def effective_windows(standing: Floats) -> Floats:
    """How many independent windows the reference is worth in each statistic, at most all; at least 2.

    Parameters
    ----------
    standing : ndarray of float, shape (n_windows, n_statistics)
        Of the reference windows in order of time.
    """
    return _worth(standing).windows


def _worth(standing: Floats) -> _Worth:
    """What the reference is worth, by the memory that its windows have.

    Autocorrelations are those of an AR(1) seen through sampling noise, ``r[k] = r[1] * decay ** (k - 1)``;
    ``decay`` from all statistics together, ``r[1]`` of each drawn to their mean as far as chance makes them
    differ (empirical Bayes). The bias of short series is corrected (Kendall, *Biometrika* 41, 1954).

    A mean is worth ``n / (1 + 2 sum r[k])`` of n windows, a variance ``n / (1 + 2 sum r[k] ** 2)``.
    """
    windows, statistics = standing.shape
    off = standing - standing.mean(axis=0)
    variance = (off**2).sum(axis=0)
    there = variance > 0
    worth, freedom = np.full(statistics, float(windows)), np.full(statistics, float(windows))
    if windows < 4 or not there.any():
        return _Worth(worth, freedom)
    off, variance = off[:, there], variance[there]
    first, second = ((off[lag:] * off[:-lag]).sum(axis=0) / variance for lag in (1, 2))
    first, second = ((r + 1 / windows) / (1 - 3 / windows) for r in (first, second))
    mean = float(first.mean())
    chance = NOISE_FACTOR * max(1 - mean**2, 0.1) / windows
    differ = max(float(first.var()) - chance, 0.0)
    own = mean + differ / (differ + chance) * (first - mean)
    own = np.clip(own, 0.0, MOST_MEMORY)
    # A quotient of two noisy numbers tells something only where the first is clearly above chance.
    sure = mean > 2 * np.sqrt(chance / first.size)
    decay = np.clip(np.maximum(float(second.mean()) / mean, own) if sure else own, 0.0, MOST_MEMORY)
    worth[there] = np.clip(windows / (1 + 2 * own / (1 - decay)), 2.0, windows)
    freedom[there] = np.clip(windows / (1 + 2 * own**2 / (1 - decay**2)), 2.0, windows)
    return _Worth(worth, freedom)


def without_memory(standing: Floats, two_sided: npt.NDArray[np.bool_]) -> Floats:
    """Standings whose live window (the last row) is as far out as it would be without memory.

    A live window's difference from the reference's mean has the variance ``1 + 1 / effective``, a reference
    window's ``1 - 1 / effective``, in its own; without memory ``effective`` is the number of windows. Over a
    spread of ``f`` degrees of freedom a live window is distributed as Student's t, whose square is
    ``f * (exp(z ** 2 / f) - 1)`` of a normal z (Wallace, *Annals of Mathematical Statistics* 30, 1959), and a
    reference window has tails that are lighter by as much (Thompson, same journal 6, 1935). So the square of
    the live one is drawn in by twice that: without bound, so that a strong change still stands out.

    Parameters
    ----------
    standing : ndarray of float, shape (n_windows + 1, n_statistics)
        Standard deviations, the live window last.
    two_sided : ndarray of bool, shape (n_statistics,)
        Means that moved, and distances, whose memory is another: their squares'.
    """
    windows = standing.shape[0] - 1
    share, excess = np.empty(standing.shape[1]), np.empty(standing.shape[1])
    for kind in (two_sided, ~two_sided):
        worth = _worth(standing[:-1, kind])
        share[kind] = 1 / worth.windows
        excess[kind] = 2 * (1 / worth.freedom - 1 / windows) / TRIMMED_WORTH
    factor = np.sqrt((1 - share) / (1 + share) * (1 + 1 / windows) / (1 - 1 / windows))
    live = standing[-1:] * factor
    drawn_in = np.sqrt(np.log1p(excess * live**2) / np.where(excess > 0, excess, 1.0))
    return np.asarray(np.vstack([standing[:-1], np.where(excess > 0, np.sign(live) * drawn_in, live)]))


def memory_of(statistics: npt.ArrayLike) -> float:
    """How much of a window's statistic the one before it may tell: an AR(1)'s coefficient.

    From 0 to ``MOST_MEMORY``. Of normal scores of the ranks, for statistics have long tails; the bias of
    short series is corrected (Kendall, *Biometrika* 41, 1954). ``ADDED_ERRORS`` standard errors above what is
    seen, fewer where that is less than one: memory that is left makes false alarms, too much taken out costs
    windows of delay. 0 of fewer than ``FEWEST`` windows, or if nothing differs.

    Parameters
    ----------
    statistics : array_like of float, shape (n_windows,)
        In order of time.
    """
    windows = np.size(statistics)
    if windows < FEWEST:
        return 0.0
    from scipy.special import ndtri  # .7 s of processor time, which no stage before drift pays

    scores = ndtri(mid_ranks(statistics) / (windows + 1))
    variance = float((scores**2).sum())
    if variance == 0:
        return 0.0
    seen = (float((scores[1:] * scores[:-1]).sum()) / variance + 1 / windows) / (1 - 3 / windows)
    error = math.sqrt(max(1 - seen**2, 0.1) / windows)
    return min(max(seen + ADDED_ERRORS * error * min(seen / error, 1.0), 0.0), MOST_MEMORY)
