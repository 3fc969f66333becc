"""Windows that resemble the ones before: how many independent ones a reference is worth, and what follows.

A live window usually lies outside of the reference's time. Where windows wander, the reference's mean is off
by what it did on average then, and the live window is off by that as well; a reference window is not, for the
mean went along with it. So the live window stands farther out than its like, by a factor that follows from
the memory of the windows (the *effective* number of windows, as of any autocorrelated mean).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["effective_windows", "without_memory"]

Floats = npt.NDArray[np.float64]

#: No memory is taken for longer than this decay from one window to the next.
MOST = 0.95

#: Autocorrelations of few windows scatter more than the formula for many says.
NOISE = 6.0


def effective_windows(standing: Floats) -> Floats:
    """How many independent windows the reference is worth in each statistic, at most all; at least 2.

    Autocorrelations are those of an AR(1) seen through sampling noise, ``r[k] = r[1] * decay ** (k - 1)``;
    ``decay`` from all statistics together, ``r[1]`` of each drawn to their mean as far as chance makes them
    differ (empirical Bayes). The bias of short series is corrected (Kendall, *Biometrika* 41, 1954).

    Parameters
    ----------
    standing : ndarray of float, shape (n_windows, n_statistics)
        Of the reference windows in order of time.
    """
    windows, statistics = standing.shape
    off = standing - standing.mean(axis=0)
    variance = (off**2).sum(axis=0)
    there = variance > 0
    if windows < 4 or not there.any():
        return np.full(statistics, float(windows))
    off, variance = off[:, there], variance[there]
    first, second = ((off[lag:] * off[:-lag]).sum(axis=0) / variance for lag in (1, 2))
    first, second = ((r + 1 / windows) / (1 - 3 / windows) for r in (first, second))
    mean = float(first.mean())
    chance = NOISE * max(1 - mean**2, 0.1) / windows
    differ = max(float(first.var()) - chance, 0.0)
    own = mean + differ / (differ + chance) * (first - mean)
    own = np.clip(own, 0.0, MOST)
    # Of two noisy numbers the quotient is worth something only where the first is surely above chance.
    sure = mean > 2 * np.sqrt(chance / first.size)
    decay = np.clip(np.maximum(float(second.mean()) / mean, own) if sure else own, 0.0, MOST)
    worth = np.full(statistics, float(windows))
    worth[there] = np.clip(windows / (1 + 2 * own / (1 - decay)), 2.0, windows)
    return worth


def without_memory(standing: Floats, two_sided: npt.NDArray[np.bool_]) -> Floats:
    """Standings whose live window (the last row) is as far out as it would be without memory.

    A live window's difference from the reference's mean has the variance ``1 + 1 / effective``, a reference
    window's ``1 - 1 / effective``, in its own; without memory ``effective`` is the number of windows.

    Parameters
    ----------
    standing : ndarray of float, shape (n_windows + 1, n_statistics)
        Standard deviations, the live window last.
    two_sided : ndarray of bool, shape (n_statistics,)
        Means that moved, and distances, whose memory is another: their squares'.
    """
    windows = standing.shape[0] - 1
    share = np.empty(standing.shape[1])
    for kind in (two_sided, ~two_sided):
        share[kind] = 1 / effective_windows(standing[:-1, kind])
    factor = np.sqrt((1 - share) / (1 + share) * (1 + 1 / windows) / (1 - 1 / windows))
    return np.asarray(np.vstack([standing[:-1], standing[-1:] * factor]))
