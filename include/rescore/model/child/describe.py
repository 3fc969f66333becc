"""A fitted pipeline in an auditor's words: steps, parameters, ensembles, features kept and dropped."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["describe", "selection"]

_PLAIN = (str, int, float, bool, type(None))
_MAX_ITEMS = 50


def describe(estimator: Any) -> dict[str, Any]:
    """The structure of an estimator, JSON-serialisable.

    Returns
    -------
    dict
        ``type``; ``parameters`` (plain values; nested estimators described likewise); ``search``
        (best parameters, score of each candidate); ``members`` (type and number of an ensemble's
        fitted parts); ``iterations`` where fitting counts them.
    """
    described: dict[str, Any] = {
        "type": f"{type(estimator).__module__}.{type(estimator).__qualname__}",
        "parameters": {
            name: _value(value)
            for name, value in sorted(estimator.get_params(deep=False).items())
            if name != "n_jobs"
        },
    }
    if hasattr(estimator, "best_params_"):
        results = estimator.cv_results_
        described["search"] = {
            "best": _value(estimator.best_params_),
            "best_score": float(estimator.best_score_),
            "candidates": [
                {"parameters": _value(parameters), "mean_test_score": float(score)}
                for parameters, score in zip(results["params"], results["mean_test_score"], strict=True)
            ],
        }
    members = getattr(estimator, "estimators_", None)
    if isinstance(members, list | np.ndarray) and len(members):
        flat = list(np.ravel(np.array(members, dtype=object)))
        described["members"] = {"count": len(flat), "types": sorted({type(one).__name__ for one in flat})}
    for attribute in ("n_iter_", "n_features_in_"):
        value = getattr(estimator, attribute, None)
        if isinstance(value, int | np.integer):
            described[attribute.rstrip("_")] = int(value)
    return described


def selection(estimator: Any, features: list[str]) -> dict[str, Any]:
    """Which columns the steps of a pipeline keep and drop.

    Returns
    -------
    dict
        ``used`` and ``unused`` (declared features that the first step takes or leaves), and
        ``selectors``: for each feature selection step, the columns ``kept`` and ``dropped``.
    """
    steps = list(getattr(estimator, "steps", [("", estimator)]))
    used = set(features)
    selectors = []
    names = list(features)
    for name, step in steps:
        if hasattr(step, "transformers_") and names == features:
            used = {
                column
                for _, transformer, columns in step.transformers_
                if not (isinstance(transformer, str) and transformer == "drop")
                for column in _columns(columns, features)
            }
        if hasattr(step, "get_support"):
            kept = np.asarray(step.get_support(), dtype=bool)
            if len(kept) == len(names):
                pairs = list(zip(names, kept, strict=True))
                selectors.append(
                    {
                        "step": name,
                        "kept": [column for column, keep in pairs if keep],
                        "dropped": [column for column, keep in pairs if not keep],
                    }
                )
        try:
            names = [str(column) for column in step.get_feature_names_out()]
        except Exception:  # a step that can't name its output ends what can be said
            break
    return {
        "used": [name for name in features if name in used],
        "unused": [name for name in features if name not in used],
        "selectors": selectors,
    }


def _columns(columns: Any, features: list[str]) -> list[str]:
    if isinstance(columns, slice):
        return features[columns] if not isinstance(columns.start, str) else list(features)
    listed = [columns] if isinstance(columns, str | int) else list(columns)
    if listed and all(isinstance(one, bool | np.bool_) for one in listed):
        return [name for name, keep in zip(features, listed, strict=True) if keep]
    return [one if isinstance(one, str) else features[int(one)] for one in listed]


def _value(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value if not isinstance(value, float) or np.isfinite(value) else repr(value)
    if isinstance(value, np.generic):
        return _value(value.item())
    if hasattr(value, "get_params") and not isinstance(value, type):
        return describe(value)
    if isinstance(value, dict):
        return {str(key): _value(item) for key, item in sorted(value.items(), key=lambda pair: str(pair[0]))}
    if isinstance(value, list | tuple | np.ndarray):
        items = [_value(item) for item in list(value)[:_MAX_ITEMS]]
        return items if len(value) <= _MAX_ITEMS else [*items, f"… {len(value) - _MAX_ITEMS} more"]
    # repr of other things may hold a memory address.
    named = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
