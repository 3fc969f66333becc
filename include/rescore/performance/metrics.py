"""Every metric, in one place: what it is called, which way is better, how it is computed.

To add a metric: a line in :data:`METRICS`, what a row adds to it in :func:`row_losses` (comparisons of
packages resample that), its value in :func:`point_metrics` (what a manifest records) and its interval in
:func:`realised_metrics` (what is measured once labels are known). One that is no mean over rows needs its
own branch in :func:`rescore.comparison.resampling.metric_of`, and a loss that stands for it in
:func:`rescore.comparison.shadow.loss_of`. For alarms about it, its direction in
:mod:`rescore.performance.watched_measures`.

Intervals take rows as independent. Rows of one day share its weather and its holidays, so that
the spread between days is a little wider than these intervals say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rescore.evidence import mid_ranks
from rescore.performance.report import Calibration, CalibrationBin, Measure
from rescore.spec import ModelSpec

__all__ = [
    "METRICS",
    "MIN_PROBABILITY",
    "Z95",
    "Metric",
    "auc_interval",
    "calibration",
    "main_metric",
    "point_metrics",
    "realised_metric",
    "realised_metrics",
    "row_losses",
]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
#: A value and the bounds of its interval.
Interval = tuple[float, float | None, float | None]

#: Two-sided 95 % of the normal distribution.
Z95 = 1.959963984540054

#: Scores nearer to 0 and 1 than this count as this near: a log loss must stay finite.
MIN_PROBABILITY = 1e-15

#: Rows per group when observed and predicted rates are compared: a tenth of all.
CALIBRATION_BINS = 10

#: Draws behind the interval of the calibration error, and their seed.
DRAWS, SEED = 2000, 41


@dataclass(frozen=True)
class Metric:
    """What is known of a metric by which models are compared.

    Attributes
    ----------
    label : str
        As people write it.
    higher_is_better : bool
        Which way is better.
    in_target_unit : bool
        Has the target's unit; gains and losses in it are shares of the champion's value.
    most : float or None
        The highest value there can be.
    """

    label: str
    higher_is_better: bool
    in_target_unit: bool = False
    most: float | None = None


METRICS = {
    "auc": Metric("AUC", higher_is_better=True, most=1.0),
    "accuracy": Metric("accuracy", higher_is_better=True, most=1.0),
    "log_loss": Metric("log loss", higher_is_better=False),
    "brier": Metric("Brier score", higher_is_better=False, most=1.0),
    "rmse": Metric("RMSE", higher_is_better=False, in_target_unit=True),
    "mae": Metric("MAE", higher_is_better=False, in_target_unit=True),
    "r2": Metric("R²", higher_is_better=True, most=1.0),
}

#: What a model is judged by unless ``promotion.metric`` says.
_MAIN = {"binary": "auc", "multiclass": "accuracy", "regression": "rmse"}


def main_metric(spec: ModelSpec) -> str:
    """The metric a model is judged by: ``promotion.metric``, else ``auc``, ``accuracy`` or ``rmse``."""
    return spec.promotion.metric or _MAIN[spec.target.kind]


def realised_metric(spec: ModelSpec) -> str:
    """The metric by which published scores are judged: :func:`main_metric`, where they can give it.

    Of several classes only the named one's probability is published, so that there is no log loss. Then it is
    the kind's own, unless a bound is declared, which is in the declared metric's unit.
    """
    declared = main_metric(spec)
    bounds = (spec.performance.alarm_at, spec.training.retrain_at)
    if spec.target.kind == "multiclass" and declared == "log_loss" and bounds == (None, None):
        return _MAIN[spec.target.kind]
    return declared


def point_metrics(kind: str, truth: Array, raw: Array, named: Array | None = None) -> dict[str, float | None]:
    """Metrics of predictions without intervals, as a package's manifest records them.

    They are measured again, to the last bit, whenever a package is compared: scikit-learn's, therefore.

    Parameters
    ----------
    kind : str
        ``binary``, ``multiclass`` or ``regression``.
    truth : ndarray of int64 or float64, shape (n_rows,)
        Positions of labels, or values.
    raw : ndarray of float64, shape (n_rows, n_labels) or (n_rows,)
        What a package's ``raw`` gives.
    named : ndarray of int, shape (n_rows,), optional
        The position of the label that each row got, which need not be the most probable one; without it,
        nothing is said of labels.

    Returns
    -------
    dict
        binary: ``auc`` (area under the ROC curve; None with one class only), ``log_loss`` (nats),
        ``brier`` (mean squared error of the probability), ``base_rate`` (share of positives).
        multiclass: ``accuracy`` (with ``named``), ``log_loss``. regression: ``rmse`` and ``mae``
        (units of the target), ``r2`` (None if the target is constant).
    """
    from sklearn import metrics as sk

    if kind == "regression":
        return {
            "rmse": float(sk.root_mean_squared_error(truth, raw)),
            "mae": float(sk.mean_absolute_error(truth, raw)),
            "r2": float(sk.r2_score(truth, raw)) if len(np.unique(truth)) > 1 else None,
        }
    log_loss = float(sk.log_loss(truth, raw, labels=list(range(raw.shape[1]))))
    if kind == "multiclass":
        right = {} if named is None else {"accuracy": float((named == truth).mean())}
        return {**right, "log_loss": log_loss}
    score = raw[:, 1]
    return {
        "auc": float(sk.roc_auc_score(truth, score)) if len(np.unique(truth)) == 2 else None,
        "log_loss": log_loss,
        "brier": float(np.mean((score - truth) ** 2)),
        "base_rate": float(truth.mean()),
    }


def row_losses(name: str, truth: Array, raw: Array, named: Array | None) -> Floats:
    """What each row adds to a metric that is a mean over rows, shape (n_rows,); of ``rmse``, to its square.

    Parameters
    ----------
    name : str
        One of :data:`METRICS` but ``auc`` and ``r2``.
    truth, raw, named
        As in :func:`point_metrics`.

    Raises
    ------
    ValueError
        The metric is no mean over rows.
    """
    if name == "log_loss":
        tiny = np.finfo(np.float64).eps  # as scikit-learn clips
        return np.asarray(-np.log(np.clip(raw[np.arange(len(truth)), truth], tiny, 1 - tiny)))
    if name == "brier":
        return np.asarray((raw[:, 1] - truth) ** 2)
    if name == "accuracy":
        return np.asarray(named == truth, dtype=np.float64)
    if name == "mae":
        return np.asarray(np.abs(raw - truth))
    if name == "rmse":
        return np.asarray((raw - truth) ** 2)
    raise ValueError(f"{name} is no mean over rows: see this module's docstring")


def realised_metrics(kind: str, score: Floats, truth: Floats) -> dict[str, Measure]:
    """Metrics of published scores whose labels are known, each with a 95 % interval.

    Parameters
    ----------
    kind : str
        ``binary``, ``multiclass`` or ``regression``.
    score : ndarray of float64, shape (n_rows,)
        Probability of the positive class, or of the class named, or the value.
    truth : ndarray of float64, shape (n_rows,)
        Binary: 1 for the positive class. Multiclass: 1 if the class named is right. Regression: the value.

    Returns
    -------
    dict of str to Measure
        See :class:`~rescore.performance.report.Coverage`.
    """
    judge = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}[kind]
    return {name: _measure(found) for name, found in judge(score, truth).items()}


def _binary(score: Floats, truth: Floats) -> dict[str, Interval | None]:
    positive = truth > 0
    clipped = np.clip(score, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return {
        "auc": auc_interval(score, positive),
        "brier": _mean((score - positive) ** 2, most=1.0),
        "log_loss": _mean(-np.where(positive, np.log(clipped), np.log1p(-clipped))),
        "base_rate": wilson(int(positive.sum()), positive.size),
    }


def _multiclass(score: Floats, truth: Floats) -> dict[str, Interval | None]:
    return {"accuracy": wilson(int((truth > 0).sum()), score.size)}


def _regression(score: Floats, truth: Floats) -> dict[str, Interval | None]:
    errors = score - truth
    mean_square, low, high = _mean(errors**2)
    total = float(((truth - truth.mean()) ** 2).sum())
    return {
        "rmse": (
            math.sqrt(mean_square),
            None if low is None else math.sqrt(low),
            None if high is None else math.sqrt(high),
        ),
        "mae": _mean(np.abs(errors)),
        "bias": _mean(errors, least=-math.inf),
        "r2": (1 - float((errors**2).sum()) / total, None, None) if total > 0 else None,
    }


def calibration(score: Floats, positive: Bools) -> Calibration:
    """Predicted and observed rates by tenths of the rows, and the expected calibration error.

    The error is the mean over rows of the absolute difference between a tenth's observed rate and its
    mean score (Naeini, Cooper and Hauskrecht, *AAAI*, 2015, with groups of equal size, equal scores
    together). Chance alone makes it greater than 0, more so with few rows: ``by_chance`` is what the
    same rows would have on average if every score were the true probability. The interval holds the
    errors under which the one seen would be no surprise, so that it reaches 0 for calibrated scores
    (a bootstrap's would not); it is found with normal draws of the rates, of a fixed seed.

    Parameters
    ----------
    score : ndarray of float64, shape (n_rows,)
        Probabilities; at least one.
    positive : ndarray of bool, shape (n_rows,)
        Which rows are of the positive class.
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
    bins = []
    for count, mean_score, hit in zip(rows.tolist(), expected.tolist(), hits.tolist(), strict=True):
        rate, below, above = wilson(int(hit), count)
        bins.append(
            CalibrationBin(
                rows=count, mean_score=mean_score, observed_rate=rate, observed_low=below, observed_high=above
            )
        )
    return Calibration(
        bins=tuple(bins),
        error=Measure(value=error, low=low, high=high),
        # The mean of an absolute normal value is its deviation times sqrt(2 / pi).
        by_chance=float((share * deviation).sum() * math.sqrt(2 / math.pi)),
    )


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

    Parameters
    ----------
    score : ndarray of float64, shape (n_rows,)
        What orders the rows; none is NaN.
    positive : ndarray of bool, shape (n_rows,)
        Which rows are of the positive class.

    Returns
    -------
    tuple of float or None
        AUC, lower and upper bound.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return None
    ranks = mid_ranks(score)
    right = (ranks[positive] - mid_ranks(score[positive])) / n
    wrong = 1 - (ranks[~positive] - mid_ranks(score[~positive])) / m
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


def _mean(values: Floats, *, least: float = 0.0, most: float = math.inf) -> Interval:
    """A mean with its normal 95 % interval; one row has none."""
    mean = float(values.mean())
    if values.size < 2:
        return mean, None, None
    half = Z95 * float(values.std(ddof=1)) / math.sqrt(values.size)
    return mean, max(mean - half, least), min(mean + half, most)


def _measure(found: Interval | None) -> Measure:
    value, low, high = found or (None, None, None)
    return Measure(value=value, low=low, high=high)


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
