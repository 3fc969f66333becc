"""Metrics of scores whose labels are known, each with a 95 % interval.

The intervals take rows as independent. Rows of one day share its weather and its holidays, so that
the spread between days is a little wider than these intervals say.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_CHANCE", "Z95", "auc_interval", "binary", "multiclass", "regression", "wilson"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

#: Two-sided 95 % of the normal distribution.
Z95 = 1.959963984540054

#: Scores nearer to 0 and 1 than this count as this near: a log loss must stay finite.
LEAST_CHANCE = 1e-15

#: Rows per group when observed and predicted rates are compared: a tenth of all.
CALIBRATION_BINS = 10

#: Draws behind the interval of the calibration error, and their seed.
DRAWS, SEED = 2000, 41


def binary(score: Floats, positive: Bools, *, calibrated: bool = True) -> dict[str, Any]:
    """Metrics of probabilities of the positive class; ``calibrated`` False leaves the calibration out."""
    clipped = np.clip(score, LEAST_CHANCE, 1 - LEAST_CHANCE)
    losses = -np.where(positive, np.log(clipped), np.log1p(-clipped))
    found = _named("auc", auc_interval(score, positive))
    found |= _named("brier", _mean((score - positive) ** 2, most=1.0))
    found |= _named("log_loss", _mean(losses))
    found |= _named("base_rate", wilson(int(positive.sum()), positive.size))
    found["mean_score"] = float(score.mean())
    return found | (calibration(score, positive) if calibrated else {})


def multiclass(score: Floats, right: Bools, *, calibrated: bool = True) -> dict[str, Any]:
    """Accuracy of the named classes, and how sure the model was of them."""
    found = _named("accuracy", wilson(int(right.sum()), right.size))
    found["mean_score"] = float(score.mean())
    return found | (calibration(score, right) if calibrated else {})


def regression(score: Floats, truth: Floats) -> dict[str, Any]:
    """Errors in the target's unit; ``bias`` is score less truth."""
    errors = score - truth
    mean_square, low, high = _mean(errors**2)
    total = float(((truth - truth.mean()) ** 2).sum())
    found = {
        "rmse": math.sqrt(mean_square),
        "rmse_low": None if low is None else math.sqrt(low),
        "rmse_high": None if high is None else math.sqrt(high),
    }
    found |= _named("mae", _mean(np.abs(errors)))
    found |= _named("bias", _mean(errors, least=-math.inf))
    found["r2"] = 1 - float((errors**2).sum()) / total if total > 0 else None
    return found


def calibration(score: Floats, positive: Bools) -> dict[str, Any]:
    """Predicted and observed rates by tenths of the rows, and the expected calibration error.

    The error is the mean over rows of the absolute difference between a tenth's observed rate and its
    mean score (Naeini, Cooper and Hauskrecht, *AAAI*, 2015, with groups of equal size, equal scores
    together). Chance alone makes it greater than 0, more so with few rows: ``by_chance`` is what the
    same rows would have on average if every score were the true probability. The interval holds the
    errors under which the one seen would be no surprise, so that it reaches 0 for calibrated scores
    (a bootstrap's would not); it is found with normal draws of the rates, of a fixed seed.

    Returns
    -------
    dict
        ``calibration`` (per tenth ``rows``, ``mean_score``, ``observed_rate`` and its Wilson interval
        ``observed_low``, ``observed_high``), ``calibration_error``, ``_low``, ``_high``, ``_by_chance``.
    """
    _, place, ties = np.unique(score, return_inverse=True, return_counts=True)
    middle = (np.cumsum(ties) - ties / 2)[place]
    group = np.minimum((middle / score.size * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    rows = np.bincount(group, minlength=CALIBRATION_BINS)
    there = rows > 0
    rows = rows[there]
    expected = np.bincount(group, score, CALIBRATION_BINS)[there] / rows
    hits = np.bincount(group, positive, CALIBRATION_BINS)[there]
    chance = np.bincount(group, score * (1 - score), CALIBRATION_BINS)[there]
    observed = hits / rows
    share = rows / rows.sum()
    error = float((share * np.abs(observed - expected)).sum())
    # The deviation of a rate by chance, at the predicted rates.
    deviation = np.sqrt(np.maximum(chance, 0.0)) / rows
    low, high = _error_interval(share, observed - expected, deviation)
    parts = []
    for number, count in enumerate(rows.tolist()):
        rate, below, above = wilson(int(hits[number]), count)
        mean_score = float(expected[number])
        part = {"rows": count, "mean_score": mean_score, "observed_rate": rate}
        parts.append(part | {"observed_low": below, "observed_high": above})
    return {
        "calibration": parts,
        "calibration_error": error,
        "calibration_error_low": low,
        "calibration_error_high": high,
        # The mean of an absolute normal value is its deviation times sqrt(2 / pi).
        "calibration_error_by_chance": float((share * deviation).sum() * math.sqrt(2 / math.pi)),
    }


def _error_interval(share: Floats, gap: Floats, deviation: Floats) -> tuple[float, float]:
    """The calibration errors that the observed one is no surprise under (each side 2.5 %).

    Tests inverted along one line: true gaps of the observed shape, ``c`` times as large. At ``c = 0``
    scores are calibrated; the low end is 0 if that would be no surprise.
    """
    error = float((share * np.abs(gap)).sum())
    noise = np.random.default_rng(SEED).standard_normal((DRAWS, gap.size)) * deviation
    if error == 0:
        return 0.0, float(np.quantile((share * np.abs(noise)).sum(axis=1), 0.975))

    def exceeded(c: float) -> float:
        return float(((share * np.abs(c * gap + noise)).sum(axis=1) >= error).mean())

    def solve(level: float, low: float, high: float) -> float:
        for _ in range(24):
            middle = (low + high) / 2
            low, high = (middle, high) if exceeded(middle) < level else (low, middle)
        return (low + high) / 2

    most = 1.0
    while exceeded(most) < 0.975 and most < 1024:
        most *= 2
    smallest = 0.0 if exceeded(0.0) > 0.025 else solve(0.025, 0.0, 1.0)
    # Chance only adds to the error seen, so that the true one may well be smaller: both ends may be.
    return smallest * error, max(solve(0.975, 0.0, most), 1.0) * error


def auc_interval(score: Floats, positive: Bools) -> tuple[float, float, float] | None:
    """AUC with its 95 % interval, or None if there are not two classes.

    The AUC is the Mann-Whitney statistic by mid-ranks; its variance is DeLong's (DeLong, DeLong and
    Clarke-Pearson, *Biometrics* 44, 1988) by the mid-rank formula of Sun and Xu (*IEEE Signal
    Processing Letters* 21, 2014); the interval is normal on the logit scale, so that it stays in 0…1.
    Where all pairs are in the right (or wrong) order that variance is 0: the bound is then the exact
    binomial one of as many hits in a row as the smaller class has members.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return None
    ranks = _mid_ranks(score)
    right = (ranks[positive] - _mid_ranks(score[positive])) / n
    wrong = 1 - (ranks[~positive] - _mid_ranks(score[~positive])) / m
    auc = float(right.mean())
    if not 0 < auc < 1:
        exact = 0.025 ** (1 / min(m, n))
        return (auc, exact, 1.0) if auc > 0.5 else (auc, 0.0, 1 - exact)
    variance = (right.var(ddof=1) / m if m > 1 else 0.25) + (wrong.var(ddof=1) / n if n > 1 else 0.25)
    logit, half = math.log(auc / (1 - auc)), Z95 * math.sqrt(variance) / (auc * (1 - auc))
    return auc, _expit(logit - half), _expit(logit + half)


def wilson(hits: int, rows: int) -> tuple[float, float, float]:
    """A share with Wilson's 95 % interval (*JASA* 22, 1927): inside 0…1, and honest at few rows."""
    rate = hits / rows
    middle = (rate + Z95**2 / (2 * rows)) / (1 + Z95**2 / rows)
    half = Z95 * math.sqrt(rate * (1 - rate) / rows + (Z95 / (2 * rows)) ** 2) / (1 + Z95**2 / rows)
    return rate, max(middle - half, 0.0), min(middle + half, 1.0)


def _mean(
    values: Floats, *, least: float = 0.0, most: float = math.inf
) -> tuple[float, float | None, float | None]:
    """A mean with its normal 95 % interval; one row has none."""
    mean = float(values.mean())
    if values.size < 2:
        return mean, None, None
    half = Z95 * float(values.std(ddof=1)) / math.sqrt(values.size)
    return mean, max(mean - half, least), min(mean + half, most)


def _named(name: str, found: tuple[float, float | None, float | None] | None) -> dict[str, float | None]:
    value, low, high = found or (None, None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _mid_ranks(values: Floats) -> Floats:
    _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(ties) - (ties - 1) / 2)[place], dtype=np.float64)


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
