"""Metrics of a fitted model's predictions, as its manifest records them: numbers without intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["metrics"]

Array = npt.NDArray[Any]


def metrics(kind: str, truth: Array, raw: Array, named: Array | None = None) -> dict[str, float | None]:
    """Metrics of predictions.

    Parameters
    ----------
    kind : str
        ``binary``, ``multiclass`` or ``regression``.
    truth : ndarray, shape (n_rows,)
        Positions of labels, or values.
    raw : ndarray
        What a package's ``raw`` gives.
    named : ndarray, shape (n_rows,), optional
        The position of the label that each row got. Default: the most probable one's.

    Returns
    -------
    dict
        binary: ``auc`` (area under the ROC curve; None with one class only), ``log_loss`` (nats),
        ``brier`` (mean squared error of the probability), ``base_rate`` (share of positives).
        multiclass: ``accuracy``, ``log_loss``. regression: ``rmse`` and ``mae`` (units of the
        target), ``r2`` (None if the target is constant).
    """
    from sklearn import metrics as sk

    if kind == "regression":
        return {
            "rmse": float(sk.root_mean_squared_error(truth, raw)),
            "mae": float(sk.mean_absolute_error(truth, raw)),
            "r2": float(sk.r2_score(truth, raw)) if len(np.unique(truth)) > 1 else None,
        }
    labels = list(range(raw.shape[1]))
    log_loss = float(sk.log_loss(truth, raw, labels=labels))
    if kind == "multiclass":
        named = raw.argmax(axis=1) if named is None else named
        return {"accuracy": float((named == truth).mean()), "log_loss": log_loss}
    score = raw[:, 1]
    return {
        "auc": float(sk.roc_auc_score(truth, score)) if len(np.unique(truth)) == 2 else None,
        "log_loss": log_loss,
        "brier": float(np.mean((score - truth) ** 2)),
        "base_rate": float(truth.mean()),
    }
