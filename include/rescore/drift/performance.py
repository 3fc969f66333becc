"""How well a model does: realised once labels are known, estimated before that.

Pure functions on tables and arrays; which run and which interval they belong to is not known here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rescore.errors import DriftError
from rescore.spec import ModelSpec

__all__ = ["auc_interval", "estimated_performance", "realised"]

Floats = npt.NDArray[np.float64]

#: Two-sided 95 % of the normal distribution.
Z95 = 1.959963984540054

#: Rows per group when observed and predicted rates are compared.
CALIBRATION_BINS = 10


def realised(scores: pa.Table, labels: pa.Table, spec: ModelSpec) -> dict[str, Any]:
    """Metrics of published scores against the labels that are known by now.

    Parameters
    ----------
    scores : pyarrow.Table
        Key columns, ``score`` and, for multiclass models, ``label``.
    labels : pyarrow.Table
        Key columns and the target; a row without a label is absent or NULL.
    spec : ModelSpec
        The model.

    Returns
    -------
    dict
        ``rows`` scored, ``labelled`` of them, ``coverage`` (share labelled) and, if any is, metrics;
        ``_low`` and ``_high`` are 95 % intervals, what is not defined (an AUC with one class) is None.

        Binary: ``auc``, ``auc_low``, ``auc_high``, ``brier``, ``log_loss``, ``base_rate``,
        ``mean_score``, ``calibration_error`` (mean absolute difference of the following) and
        ``calibration`` (per tenth of the rows by score: rows, mean score, observed rate).
        Regression, in the target's unit: ``rmse``, ``rmse_low``, ``rmse_high``, ``mae``, ``bias``
        (score less truth), and ``r2``. Multiclass: ``accuracy``, ``accuracy_low``, ``accuracy_high``
        and ``mean_score`` (equal to the accuracy if scores are calibrated).

    Raises
    ------
    DriftError
        A needed column is missing.
    """
    keys, target = spec.source.key, spec.target.name
    for table, columns, what in ((scores, [*keys, "score"], "scores"), (labels, [*keys, target], "labels")):
        if absent := [name for name in columns if name not in table.column_names]:
            raise DriftError(
                f"the {what} lack columns",
                where=f"model {spec.name}",
                expected=", ".join(columns),
                examples=absent,
                fix=f"pass the {what} with the model's key columns",
            )
    kept = scores.select([*keys, "score", *(["label"] if "label" in scores.column_names else [])])
    kept = kept.append_column("__position", pa.array(np.arange(scores.num_rows)))
    known = labels.select([*keys, target]).rename_columns([*keys, "__target"])
    known = known.filter(known["__target"].is_valid())
    for key in keys:
        known = known.set_column(known.column_names.index(key), key, known[key].cast(scores[key].type))
    joined = kept.join(known, keys=keys, join_type="inner")
    # A join's order is up to its threads, and a sum's last bits are up to the order.
    joined = joined.filter(joined["score"].is_valid()).sort_by("__position")
    rows, labelled = scores.num_rows, joined.num_rows
    report: dict[str, Any] = {
        "rows": rows,
        "labelled": labelled,
        "coverage": labelled / rows if rows else None,
    }
    if labelled == 0:
        return report
    score = np.asarray(joined["score"].to_numpy(), dtype=np.float64)
    truth = joined["__target"]
    if spec.target.kind == "binary":
        positive = pc.equal(truth, pa.scalar(spec.target.positive).cast(truth.type))
        return report | _binary(score, np.asarray(positive.to_numpy(), dtype=np.bool_))
    if spec.target.kind == "regression":
        return report | _regression(score, np.asarray(truth.cast(pa.float64()).to_numpy()))
    right = pc.equal(joined["label"].cast(pa.string()), truth.cast(pa.string()))
    return report | _multiclass(score, np.asarray(right.to_numpy(), dtype=np.bool_))


def estimated_performance(scores: Floats) -> dict[str, float | None]:
    """Expected performance of a calibrated binary classifier, from its scores alone.

    If a score is the probability of the positive class, a row with score ``s`` is a positive with
    weight ``s`` and a negative with weight ``1 - s``. The expected AUC is the share of (positive, negative)
    pairs in the right order under these weights, ties counting half; the expected accuracy at .5 is
    the mean of ``max(s, 1 - s)`` (confidence-based performance estimation: Białek, Kuberski,
    Perrakis and Bifet, arXiv:2401.08348). It sees a shift of the features, never a changed relation
    to the target.

    Parameters
    ----------
    scores : ndarray of float, shape (n_rows,)
        Probabilities of the positive class, NaN is left out.

    Returns
    -------
    dict
        ``auc``, ``accuracy``, ``brier``, ``base_rate``; None without rows, ``auc`` also if one class
        has no weight.
    """
    ordered = np.sort(np.clip(scores[np.isfinite(scores)], 0.0, 1.0))
    if ordered.size == 0:
        return {"auc": None, "accuracy": None, "brier": None, "base_rate": None}
    positive, negative = float(ordered.sum()), float((1 - ordered).sum())
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    up = np.add.reduceat(ordered, starts)
    down = np.add.reduceat(1 - ordered, starts)
    below = np.cumsum(down) - down
    pairs = positive * negative
    auc = float((up * (below + down / 2)).sum() / pairs) if pairs > 0 else None
    return {
        "auc": auc,
        "accuracy": float(np.maximum(ordered, 1 - ordered).mean()),
        "brier": float((ordered * (1 - ordered)).mean()),
        "base_rate": float(ordered.mean()),
    }


def auc_interval(scores: Floats, positive: npt.NDArray[np.bool_]) -> tuple[float, float, float] | None:
    """AUC with its 95 % interval, or None if there are not two classes.

    The AUC is the Mann-Whitney statistic by mid-ranks; its variance is DeLong's (DeLong, DeLong and
    Clarke-Pearson, *Biometrics* 44, 1988) by the mid-rank formula of Sun and Xu (*IEEE Signal
    Processing Letters* 21, 2014); the interval is normal on the logit scale, so that it stays in 0…1.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return None
    ranks = _mid_ranks(scores)
    right = (ranks[positive] - _mid_ranks(scores[positive])) / n
    wrong = 1 - (ranks[~positive] - _mid_ranks(scores[~positive])) / m
    auc = float(right.mean())
    variance = (right.var(ddof=1) / m if m > 1 else 0.25) + (wrong.var(ddof=1) / n if n > 1 else 0.25)
    if not 0 < auc < 1 or variance == 0:
        return auc, auc, auc
    logit, half = math.log(auc / (1 - auc)), Z95 * math.sqrt(variance) / (auc * (1 - auc))
    return auc, _expit(logit - half), _expit(logit + half)


def _mid_ranks(values: Floats) -> Floats:
    _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(ties) - (ties - 1) / 2)[place], dtype=np.float64)


def _binary(score: Floats, positive: npt.NDArray[np.bool_]) -> dict[str, Any]:
    interval = auc_interval(score, positive)
    clipped = np.clip(score, 1e-15, 1 - 1e-15)
    order = np.argsort(score, kind="stable")
    groups = [group for group in np.array_split(order, CALIBRATION_BINS) if group.size]
    calibration = [
        {
            "rows": int(group.size),
            "mean_score": float(score[group].mean()),
            "observed_rate": float(positive[group].mean()),
        }
        for group in groups
    ]
    error = sum(part["rows"] * abs(part["mean_score"] - part["observed_rate"]) for part in calibration)
    return {
        "auc": None if interval is None else interval[0],
        "auc_low": None if interval is None else interval[1],
        "auc_high": None if interval is None else interval[2],
        "brier": float(((score - positive) ** 2).mean()),
        "log_loss": float(-np.where(positive, np.log(clipped), np.log1p(-clipped)).mean()),
        "base_rate": float(positive.mean()),
        "mean_score": float(score.mean()),
        "calibration_error": error / score.size,
        "calibration": calibration,
    }


def _regression(score: Floats, truth: Floats) -> dict[str, Any]:
    errors = score - truth
    squares = errors**2
    mse, total = float(squares.mean()), float(((truth - truth.mean()) ** 2).sum())
    half = Z95 * float(squares.std(ddof=1)) / math.sqrt(errors.size) if errors.size > 1 else math.inf
    return {
        "rmse": math.sqrt(mse),
        "rmse_low": math.sqrt(max(mse - half, 0.0)),
        "rmse_high": math.sqrt(mse + half) if math.isfinite(half) else None,
        "mae": float(np.abs(errors).mean()),
        "bias": float(errors.mean()),
        "r2": 1 - float(squares.sum()) / total if total > 0 else None,
    }


def _multiclass(score: Floats, right: npt.NDArray[np.bool_]) -> dict[str, Any]:
    rows, rate = right.size, float(right.mean())
    # Wilson's interval (JASA 22, 1927): stays in 0…1 and is honest at few rows.
    middle = (rate + Z95**2 / (2 * rows)) / (1 + Z95**2 / rows)
    half = Z95 * math.sqrt(rate * (1 - rate) / rows + (Z95 / (2 * rows)) ** 2) / (1 + Z95**2 / rows)
    return {
        "accuracy": rate,
        "accuracy_low": middle - half,
        "accuracy_high": middle + half,
        "mean_score": float(score.mean()),
    }


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value))
