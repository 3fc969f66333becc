"""The estimators that a draft may begin with: a template of pipeline.py each, and first hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType

from rescore.errors import ParameterError

__all__ = ["DEFAULT", "ESTIMATORS", "first_hyperparameters", "missing_library", "refuse_unfit"]

#: What ``rescore new`` takes if nobody says otherwise: scikit-learn's HistGradientBoosting.
DEFAULT = "boosted"

#: Estimator to ``training.hyperparameters`` of the draft.
ESTIMATORS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        DEFAULT: {"max_iter": 100, "max_leaf_nodes": 15, "min_samples_leaf": 20},
        "catboost": {"iterations": 200, "learning_rate": 0.1, "depth": 6},
        "forest": {"n_estimators": 100, "min_samples_leaf": 20},
        "lightgbm": {"n_estimators": 100, "num_leaves": 15, "min_child_samples": 20},
        "logistic": {"C": 1.0},
        "ridge": {"alpha": 1.0},
        "xgboost": {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 4},
    }
)
_EXTRAS = frozenset({"catboost", "lightgbm", "xgboost"})
_ONLY = {"logistic": ("binary", "multiclass"), "ridge": ("regression",)}


def refuse_unfit(estimator: str, target_kind: str) -> None:
    """Refuse an estimator that there is no draft for, or none for this kind of target.

    Raises
    ------
    ParameterError
        Lists those that fit.
    """
    fitting = [name for name in ESTIMATORS if target_kind in _ONLY.get(name, (target_kind,))]
    if estimator not in fitting:
        what = f"predicts no {target_kind} target" if estimator in ESTIMATORS else "is not known"
        raise ParameterError(
            f"--estimator {estimator} {what}",
            expected=f"one of: {', '.join(sorted(fitting))}",
            fix="name one of these, and change pipeline.py to what you want afterwards",
        )


def first_hyperparameters(estimator: str) -> str:
    """As YAML in one line."""
    return "{" + ", ".join(f"{name}: {value}" for name, value in ESTIMATORS[estimator].items()) + "}"


def missing_library(estimator: str) -> str | None:
    """The extra that has to be installed before the draft can be trained here; None if nothing has to."""
    return estimator if estimator in _EXTRAS and find_spec(estimator) is None else None
