"""From distances to p-values: how far is far, for a window of this model and this size.

Everything is symmetric in the windows: the live window is one more row beside the reference
windows, each compared with all others. If the live window is like the reference windows
(exchangeable with them), its rank is uniform, whatever the features' distributions, dependence and
tails. That is full conformal prediction (Vovk, Gammerman and Shafer, *Algorithmic Learning in a
Random World*, 2005, chapter 2). Why this statistic and no other: docs/decisions/0005-drift-statistic.md
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, chndtr

from rescore.errors import DriftError

__all__ = [
    "MIN_WINDOWS",
    "benjamini_hochberg",
    "comparable",
    "conformal_p",
    "psi_p",
    "refuse_unresolvable",
]

Floats = npt.NDArray[np.float64]

#: With fewer reference windows than this, no rank is worth much: PSI's chi-square is used instead.
MIN_WINDOWS = 20

#: A feature whose distances hardly vary from window to window is not held to finer than this (natural log).
SMALLEST_SPREAD = 0.25


def comparable(distance: Floats, noise: Floats) -> Floats:
    """Put one feature's distances on a scale on which features can be compared.

    The distance is taken relative to what it is expected to be at the window's size, then
    studentised on a log scale, so that neither a heavy tail nor a small window stands out.

    Parameters
    ----------
    distance : ndarray of float, shape (n_windows, n_features)
        One distance per window and feature.
    noise : ndarray of float, shape (n_windows, n_features)
        What sampling alone makes of it on average at the window's size.

    Returns
    -------
    ndarray of float, shape (n_windows, n_features)
        Studentised log distances.
    """
    beyond = np.maximum((distance - noise).mean(axis=0), 0.0)
    expected = beyond + 2 * noise
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(expected > 0, np.log((distance + noise) / expected), 0.0)
    spread = np.maximum(relative.std(axis=0), SMALLEST_SPREAD)
    return np.asarray((relative - relative.mean(axis=0)) / spread)


def conformal_p(statistics: Floats, live: Floats) -> Floats:
    """Share of windows, the live one included, that are at least as extreme as ``live``.

    Parameters
    ----------
    statistics : ndarray of float, shape (n_windows,)
        The reference windows' statistic.
    live : ndarray of float, shape (...)
        The live window's; equal ones count against an alarm.
    """
    tolerance = 1e-9 * (1 + np.abs(live))
    at_least = (statistics >= (live - tolerance)[..., None]).sum(axis=-1)
    return np.asarray((1 + at_least) / (1 + statistics.size))


def psi_p(
    psi: Floats, window_rows: int, reference_rows: int, cells: npt.NDArray[np.int64], tolerance: float
) -> Floats:
    """p-value that a PSI is no more than ``tolerance`` in truth.

    PSI is distributed as ``(1/n + 1/m)`` times a chi-square with B - 1 degrees of freedom, noncentral by
    ``tolerance / (1/n + 1/m)`` (Yurdakul and Naranjo 2020, as in ``distances.psi_noise``).
    """
    scale = 1 / max(window_rows, 1) + 1 / max(reference_rows, 1)
    freedom = np.maximum(cells - 1, 0).astype(np.float64)
    known = freedom > 0
    freedom = np.where(known, freedom, 1.0)
    if tolerance > 0:
        tail = 1 - chndtr(psi / scale, freedom, tolerance / scale)
    else:
        tail = chdtrc(freedom, psi / scale)
    return np.where(known, np.clip(np.nan_to_num(tail, nan=0.0), 0.0, 1.0), 1.0)


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjusted p-values (Benjamini and Hochberg, *JRSS B* 57, 1995); the smallest is Simes's."""
    if p.size == 0:
        return p
    order = np.argsort(p, kind="stable")
    steps = p[order] * p.size / np.arange(1, p.size + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(steps[::-1])[::-1]
    return np.minimum(adjusted, 1.0)


def refuse_unresolvable(windows: int, rate: float, *, where: str) -> None:
    """Raise if ``windows`` reference windows can never give a p-value as small as ``rate``.

    Raises
    ------
    DriftError
        There are enough windows to rank (``MIN_WINDOWS``), but ``rate < 1 / (windows + 1)``.
    """
    if windows >= MIN_WINDOWS and rate < 1 / (windows + 1) - 1e-12:
        needed = math.ceil(1 / rate - 1e-9) - 1
        raise DriftError(
            f"{windows} reference windows can't resolve a false-alarm rate of {rate:g} per window",
            where=where,
            expected=f"a rate of at least 1/{windows + 1} = {1 / (windows + 1):.4f}, or {needed} windows",
            fix=f"raise drift.false_alarm_rate, or train on {needed} intervals or more",
            data={"windows": windows, "rate": rate, "windows_needed": needed},
        )
