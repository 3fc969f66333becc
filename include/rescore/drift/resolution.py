"""What a package's drift can tell: what its windows are worth, its smallest p, its own false-alarm rate.

A declared rate holds on average over references. One reference has a rate of its own: of a rank among n
windows it is distributed as Beta(j, n + 1 - j) around ``j / (n + 1)`` (the coverage of an order statistic;
Vovk, *Conditional validity of inductive conformal predictors*, 2012). Windows with memory are worth fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from rescore.document import Number, Part
from rescore.drift.binning import OrderedCells
from rescore.drift.calibration import MIN_COMPARED, extrapolated_rates, method_of, windows_needed
from rescore.evidence import effective_windows
from rescore.shown_text import number_of

__all__ = ["Resolution", "resolve", "worth_of"]

Floats = npt.NDArray[np.float64]

#: The range that is said holds nine references of ten.
INSIDE = 0.90


class Resolution(Part):
    """Of the reference windows of one stratum.

    Attributes
    ----------
    stratum : str
        ``all``, ``weekday`` or ``weekend``.
    windows : int
        How many there are.
    effective : float
        How many independent ones they are worth, on average over the features.
    rate : float
        The declared false-alarm rate per window.
    smallest_p : float or None
        The smallest p-value that there can be; None if there are too few windows for any.
    rate_low, rate_high : float or None
        Nine of ten references like this one have a false-alarm rate of their own between these.
    """

    stratum: str
    windows: int
    effective: float
    rate: float
    smallest_p: Number
    rate_low: Number
    rate_high: Number

    def __str__(self) -> str:
        """``60 windows, worth 41: p can't be below 0.016; own false-alarm rate …``."""
        kind = "" if self.stratum == "all" else f"{self.stratum} "
        count = number_of(self.windows, f"{kind}window")
        if self.smallest_p is None:
            worth, needed = "", MIN_COMPARED
            if self.windows >= MIN_COMPARED:
                worth = f", worth {self.effective:.1f} independent"
                needed = windows_needed(self.windows, self.effective)
            return f"{count}{worth}: {needed} are needed to tell drift; outages are found"
        extrapolated = method_of(self.windows, self.effective) == "extrapolated"
        few = ", p-values are extrapolated beyond their ranks" if extrapolated else ""
        return (
            f"{count}, worth {self.effective:.0f} independent{few}: p is at least {self.smallest_p:.2g}; "
            f"declared {self.rate:.3g} false alarms per window, this package's own rate is "
            f"{self.rate_low:.2g} to {self.rate_high:.2g} (90 %)"
        )


class _Feature(Protocol):
    """What is needed of a :class:`~rescore.drift.reference.FeatureReference`."""

    @property
    def cells(self) -> object: ...

    @property
    def counts(self) -> npt.NDArray[np.int64]: ...


def resolve(
    features: Sequence[_Feature], strata: Sequence[str], rate: float, *, by_stratum: bool
) -> tuple[Resolution, ...]:
    """What the windows of each stratum can tell, or of all together.

    Parameters
    ----------
    features : sequence of FeatureReference
    strata : sequence of str, length n_windows
        Of each window.
    rate : float
        Declared, per window.
    by_stratum : bool
        Whether weekdays and weekends are compared with their own kind.
    """
    names = sorted(set(strata)) if by_stratum else ["all"]
    series = _series(features, len(strata))
    found = []
    for name in names:
        chosen = np.flatnonzero(np.asarray(strata) == name) if by_stratum else np.arange(len(strata))
        effective = _worth(series[chosen])
        found.append(_resolution(name, chosen.size, effective, rate))
    return tuple(found)


def worth_of(features: Sequence[_Feature], chosen: npt.NDArray[np.intp]) -> float:
    """How many independent windows the chosen ones are worth, on average over the features.

    Parameters
    ----------
    features : sequence of FeatureReference
        The profile's.
    chosen : ndarray of intp, shape (n_chosen,)
        Places of reference windows, ascending.
    """
    windows = features[0].counts.shape[0] if features else 0
    return _worth(_series(features, windows)[chosen])


def _worth(series: Floats) -> float:
    """Rounded to one digit, as reports print and keep it."""
    return round(float(effective_windows(series).mean()), 1) if series.size else 0.0


def _resolution(stratum: str, windows: int, effective: float, rate: float) -> Resolution:
    smallest: float | None = None
    ends: tuple[float | None, float | None] = (None, None)
    worth = max(min(effective, float(windows)), 2.0)
    tails = [(1 - INSIDE) / 2, (1 + INSIDE) / 2]
    method = method_of(windows, effective)
    if method == "conformal":
        smallest = 1 / (windows + 1)
        mean = max(int(rate * (windows + 1) + 1e-9), 1) * smallest
        shapes = mean * (worth + 1), (1 - mean) * (worth + 1)
        low, high = (float(betaincinv(*shapes, tail)) for tail in tails)
        ends = low, high
    elif method == "extrapolated":
        rates, smallest = extrapolated_rates(int(worth), rate)
        low, high = np.quantile(rates, tails)
        ends = float(low), float(high)
    return Resolution(
        stratum=stratum,
        windows=windows,
        effective=effective,
        rate=rate,
        smallest_p=None if smallest is None else float(f"{smallest:.3g}"),
        rate_low=None if ends[0] is None else float(f"{ends[0]:.3g}"),
        rate_high=None if ends[1] is None else float(f"{ends[1]:.3g}"),
    )


def _series(features: Sequence[_Feature], windows: int) -> Floats:
    """Mean place of each feature's rows, window by window; of levels, the share of the commonest."""
    columns = []
    for feature in features:
        there = feature.counts[:, :-1].astype(np.float64)
        rows = np.maximum(there.sum(axis=1), 1)
        cells = feature.cells
        if isinstance(cells, OrderedCells):
            columns.append(there @ cells.places / rows)
        else:
            columns.append(there[:, int(there.sum(axis=0).argmax())] / rows)
    return np.stack(columns, axis=1) if columns else np.zeros((windows, 0))
