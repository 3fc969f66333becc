"""How well a classifier is expected to do, from its scores alone, before any label is known.

If a score is the probability of the positive class, a row with score ``s`` is a positive with weight
``s`` and a negative with weight ``1 - s``. A metric's expectation under these weights is the estimate
(confidence-based performance estimation: Białek, Kuberski, Perrakis and Bifet, arXiv:2401.08348).
Its band says how far the realised metric of just these rows may lie from it by chance: the labels are
the only thing that chance still decides. A metric outside its band says that the scores are no longer
probabilities. The estimate sees a shift of the features, never a changed relation to the target.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Z95", "estimated_accuracy", "estimated_performance"]

Floats = npt.NDArray[np.float64]

#: Two-sided 95 % of the normal distribution.
Z95 = 1.959963984540054

#: Scores nearer to 0 and 1 than this count as this near: a log loss must stay finite.
LEAST_CHANCE = 1e-15


def estimated_performance(scores: Floats) -> dict[str, float | None]:
    """Expected performance of a calibrated binary classifier, with the band of what chance allows.

    The expected AUC is the share of (positive, negative) pairs in the right order under the weights,
    ties counting half. Bands are 95 % of the normal distribution around the estimate; variances are
    those of independent labels with the scores held, for the AUC by the delta method.

    Parameters
    ----------
    scores : ndarray of float, shape (n_rows,)
        Probabilities of the positive class, NaN is left out.

    Returns
    -------
    dict
        ``auc``, ``brier``, ``log_loss`` (nats), ``accuracy`` (at .5) and ``base_rate``, each with
        ``_low`` and ``_high``; None without rows, the AUC also if one class has no weight.
    """
    ordered = np.sort(np.clip(scores[np.isfinite(scores)], 0.0, 1.0))
    names = ("auc", "brier", "log_loss", "accuracy", "base_rate")
    if ordered.size == 0:
        return {f"{name}{end}": None for name in names for end in ("", "_low", "_high")}
    spread = ordered * (1 - ordered)
    inner = np.clip(ordered, LEAST_CHANCE, 1 - LEAST_CHANCE)
    surprise = -(ordered * np.log(inner) + (1 - ordered) * np.log1p(-inner))
    odds = np.log1p(-inner) - np.log(inner)
    found: dict[str, float | None] = {}
    auc, deviation = _expected_auc(ordered) or (None, 0.0)
    found |= _band("auc", auc, deviation, 0.0, 1.0)
    # What a row adds to a metric takes one of two values; their difference is what chance moves.
    for name, value, step, most in (
        ("brier", spread.mean(), 1 - 2 * ordered, 1.0),
        ("log_loss", surprise.mean(), odds, math.inf),
        ("accuracy", np.maximum(ordered, 1 - ordered).mean(), 1.0, 1.0),
        ("base_rate", ordered.mean(), 1.0, 1.0),
    ):
        deviation = math.sqrt(float((spread * step**2).sum())) / ordered.size
        found |= _band(name, float(value), deviation, 0.0, most)
    return found


def estimated_accuracy(scores: Floats) -> dict[str, float | None]:
    """Expected accuracy of a calibrated multiclass model, whose score is its certainty of the class it names.

    Returns
    -------
    dict
        ``accuracy``, ``accuracy_low`` and ``accuracy_high``; None without rows.
    """
    sure = np.clip(scores[np.isfinite(scores)], 0.0, 1.0)
    if sure.size == 0:
        return dict.fromkeys(("accuracy", "accuracy_low", "accuracy_high"))
    deviation = math.sqrt(float((sure * (1 - sure)).sum())) / sure.size
    return _band("accuracy", float(sure.mean()), deviation, 0.0, 1.0)


def _expected_auc(ordered: Floats) -> tuple[float, float] | None:
    """The expected AUC of ascending scores, and the realised one's standard deviation about it."""
    positive, negative = float(ordered.sum()), float((1 - ordered).sum())
    pairs = positive * negative
    if pairs <= 0:
        return None
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    up = np.add.reduceat(ordered, starts)
    down = np.add.reduceat(1 - ordered, starts)
    below = np.cumsum(down) - down / 2  # negatives a score is above, ties half
    above = positive - np.cumsum(up) + up / 2
    auc = float((up * below).sum() / pairs)
    # By how much the AUC moves when one row turns from a negative to a positive.
    slope = (below - above - auc * (negative - positive)) / pairs
    variance = float((np.add.reduceat(ordered * (1 - ordered), starts) * slope**2).sum())
    return auc, math.sqrt(variance)


def _band(name: str, value: float | None, deviation: float, least: float, most: float) -> dict[str, Any]:
    if value is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    half = Z95 * deviation
    return {name: value, f"{name}_low": max(value - half, least), f"{name}_high": min(value + half, most)}
