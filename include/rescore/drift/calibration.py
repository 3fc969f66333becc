"""From distances to p-values: how far is far, for a window of this model and this size.

The live window is one more row beside the reference windows, and all rows are treated alike: each
is compared with the others, each is ranked among the others. If the live window is like the
reference windows (exchangeable with them), its rank is uniform, whatever the features'
distributions, dependence and tails. That is full conformal prediction (Vovk, Gammerman and Shafer,
*Algorithmic Learning in a Random World*, 2005, chapter 2). Why this statistic and no other, with
figures: docs/decisions/0005-drift-statistic.md
"""

from __future__ import annotations

import math
from datetime import datetime
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from rescore.drift.report import Method
from rescore.errors import DriftError
from rescore.evidence import effective_windows
from rescore.shown_text import number_of
from rescore.spec import DriftSpec

__all__ = [
    "MIN_COMPARED",
    "MIN_RANKED",
    "conformal_p",
    "extrapolated_p",
    "extrapolated_rates",
    "method_of",
    "neighbourhood",
    "others_of",
    "per_window",
    "refuse_unresolvable",
    "same_size",
    "windows_needed",
]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

#: With fewer reference windows than this, the smallest p-value that a rank can give is above the rates that
#: people declare: smaller ones are extrapolated.
MIN_RANKED = 20

#: With fewer than this, nothing is known of how windows differ, and nothing is said.
MIN_COMPARED = 8

#: Windows that resemble those before count as fewer independent ones. From so many windows on, they have to
#: be worth so many, or alarms come far more often than declared: with a memory of .8, .10 of usual windows by
#: 30 that are worth 3 or more, .21 by 20, .36 by 12. What few are worth is known badly, and those that look
#: as if they were worth most are corrected least.
LEAST_WORTH = ((40, 3.0), (MIN_RANKED, 5.0), (MIN_COMPARED, 6.0))

#: Draws behind an extrapolated p-value, and what they start from: the same window gets the same p again.
DRAWS, DRAWS_SEED = 20_000, 14

#: Of the Gregorian calendar on average.
DAYS_PER_YEAR = 365.2425

#: Rows that can be drawn from without replacement: what the generator allows.
MAX_DRAWN = 10**9

#: A window's neighbours in time, up to this part of all windows on each side, are left out with it.
NEIGHBOURHOOD = 1 / 15


def method_of(windows: int, worth: float) -> Method:
    """How a p-value is made of so many windows, worth so many independent ones; ``none`` of too few."""
    least = next((least for many, least in LEAST_WORTH if windows >= many), math.inf)
    if worth < least:
        return "none"
    return "extrapolated" if windows < MIN_RANKED else "conformal"


def windows_needed(windows: int, worth: float) -> int:
    """How many windows that resemble each other as much are needed to tell drift."""
    each = min(max(worth, 1.0) / windows, 1.0) if windows else 1.0
    return min(max(math.ceil(least / each), many) for many, least in LEAST_WORTH)


def neighbourhood(windows: int) -> int:
    """How many neighbours on each side are left out together with a reference window."""
    return int(windows * NEIGHBOURHOOD)


def others_of(windows: Counts) -> Counts:
    """For each window, what all others hold; the last row is the live window.

    A reference window's neighbours in time are left out with it. They are like it where windows
    wander slowly, and a live window usually has no neighbour in the reference.

    Parameters
    ----------
    windows : ndarray of int, shape (n_windows + 1, n_cells)
        Rows per cell; reference windows in order of time, the live one last.
    """
    reference = windows.shape[0] - 1
    neighbours = neighbourhood(reference)
    sums = np.vstack([np.zeros_like(windows[:1]), np.cumsum(windows[:-1], axis=0)])
    place = np.arange(reference)
    first, last = np.maximum(place - neighbours, 0), np.minimum(place + neighbours + 1, reference)
    near = np.vstack([sums[last] - sums[first], windows[-1:]])
    return np.asarray(sums[-1] + windows[-1] - near)


def same_size(windows: Counts, generator: np.random.Generator) -> Counts:
    """Make a live window of unusual size comparable by drawing rows without replacement.

    Sampling noise and real differences between windows shrink differently with size, so no factor
    corrects for both. If the live window is smaller than every reference window, those are
    thinned to its size; if it is larger than every one, it is thinned to their median.

    Parameters
    ----------
    windows : ndarray of int, shape (n_windows + 1, n_cells)
        Rows per cell, the live window last.
    generator : numpy.random.Generator
        Seeded by the caller, so that the same window gets the same answer.
    """
    sizes = windows.sum(axis=1)
    reference, live = sizes[:-1][sizes[:-1] > 0], int(sizes[-1])
    if reference.size == 0 or live == 0 or reference.min() <= live <= reference.max():
        return windows
    if sizes.max() >= MAX_DRAWN:  # more than the generator takes: a window's counts are divided alike
        windows = windows // (sizes // MAX_DRAWN + 1)[:, None]
        sizes = windows.sum(axis=1)
        reference, live = sizes[:-1][sizes[:-1] > 0], int(sizes[-1])
    target = min(live, int(np.median(reference)))
    remaining, left = sizes.copy(), np.minimum(sizes, target)
    thinned = np.zeros_like(windows)
    for cell in range(windows.shape[1]):
        remaining = remaining - windows[:, cell]
        thinned[:, cell] = generator.hypergeometric(windows[:, cell], remaining, left)
        left = left - thinned[:, cell]
    return thinned


def conformal_p(statistics: Floats, live: Floats) -> Floats:
    """Share of windows, the live one included, that are at least as extreme as ``live``.

    Parameters
    ----------
    statistics : ndarray of float, shape (n_windows,)
        The reference windows' statistic.
    live : ndarray of float, shape (...)
        The live window's; a tie counts as at least as extreme, which makes the p-value larger.
    """
    tolerance = 1e-9 * (1 + np.abs(live))
    at_least = (statistics >= (live - tolerance)[..., None]).sum(axis=-1)
    return np.asarray((1 + at_least) / (1 + statistics.size))


def extrapolated_p(statistics: Floats, live: Floats) -> Floats:
    """The chance of a statistic as extreme as ``live``, where there are too few windows to rank among.

    The statistic is ``-ln`` of a tail probability, the largest of several. Beyond its middle windows it falls
    off exponentially, with a place and a scale that are not known. Its distance from the others'
    mean in their standard deviations is then a pivot: its distribution for n windows is drawn. Dependence
    between windows is covered, since the others' spread shows it; windows with memory count for
    fewer (:func:`~rescore.evidence.effective_windows`).

    Parameters
    ----------
    statistics : ndarray of float, shape (n_windows,)
        The reference windows' statistic, in order of time; positive.
    live : ndarray of float, shape (...)
        The live window's.
    """
    logs = np.log(np.maximum(statistics, 1e-9))[:, None]
    pivots = _pivots(max(int(effective_windows(logs)[0]), 3))
    spread = max(float(statistics.std(ddof=1)), 1e-9)
    place = np.searchsorted(pivots, (live - statistics.mean()) / spread - 1e-9)
    return np.asarray((1 + pivots.size - place) / (1 + pivots.size))


def extrapolated_rates(windows: int, rate: float) -> tuple[Floats, float]:
    """False-alarm rates of single references of so many windows, and the smallest p-value there is.

    Returns
    -------
    ndarray of float, shape (n_draws,)
        The rate of each simulated reference if ``extrapolated_p <= rate`` is an alarm; their mean is about
        ``rate``.
    float
    """
    pivots = _pivots(max(windows, 3))
    limit = float(np.quantile(pivots, 1 - rate))
    drawn = np.random.default_rng(DRAWS_SEED).exponential(size=(DRAWS, max(windows, 3)))
    return np.exp(-(drawn.mean(axis=1) + limit * drawn.std(axis=1, ddof=1))), 1 / (1 + DRAWS)


@lru_cache(maxsize=32)
def _pivots(windows: int) -> Floats:
    """How far a new exponential value is from the mean of so many others, in their deviations; sorted."""
    drawn = np.random.default_rng(DRAWS_SEED).exponential(size=(DRAWS, windows + 1))
    others = drawn[:, :-1]
    return np.sort((drawn[:, -1] - others.mean(axis=1)) / others.std(axis=1, ddof=1))


def per_window(drift: DriftSpec, starts: tuple[str, ...], *, where: str) -> DriftSpec:
    """The declaration with its rate per window: ``alarms_per_year`` over the windows of a year.

    How many those are is taken from the reference windows' own rhythm: their number over the time
    from the first one's start to the last one's.

    Raises
    ------
    DriftError
        There are not as many windows in a year as alarms are declared.
    """
    if drift.alarms_per_year is None:
        return drift
    moments = [datetime.fromisoformat(start) for start in (starts[0], starts[-1])]
    days = (moments[1] - moments[0]).total_seconds() / 86_400
    windows = (len(starts) - 1) / days * DAYS_PER_YEAR if days > 0 else 0.0
    if drift.alarms_per_year >= windows:
        raise DriftError(
            f"{drift.alarms_per_year:g} alarms a year can't come of {windows:.4g} windows a year",
            where=where,
            expected="fewer alarms than windows",
            fix="lower drift.alarms_per_year, or declare drift.false_alarm_rate per window",
        )
    rate = drift.alarms_per_year / windows
    return drift.model_copy(update={"false_alarm_rate": rate, "alarms_per_year": None})


def refuse_unresolvable(windows: int, rate: float, *, where: str) -> None:
    """Raise if ``windows`` reference windows can never give a p-value as small as ``rate``.

    Raises
    ------
    DriftError
        There are enough windows to rank (``MIN_RANKED``), but ``rate < 1 / (windows + 1)``.
    """
    if windows >= MIN_RANKED and rate < 1 / (windows + 1) - 1e-12:
        needed = math.ceil(1 / rate - 1e-9) - 1
        raise DriftError(
            f"{windows} reference windows can't resolve a false-alarm rate of {rate:g} per window",
            where=where,
            expected=f"a rate of at least 1/{windows + 1} = {1 / (windows + 1):.4f}, or "
            f"{number_of(needed, 'window')}",
            fix=f"raise drift.false_alarm_rate, or train on {number_of(needed, 'interval')} or more",
            data={"windows": windows, "rate": rate, "windows_needed": needed},
        )
