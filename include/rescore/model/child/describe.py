"""A fitted pipeline in an auditor's words: steps, parameters, ensembles, features kept and dropped."""

from __future__ import annotations

from typing import Any

import numpy as np

from rescore.model.boosters import what_fitting_found

__all__ = ["describe", "selection"]

_PLAIN = (str, int, float, bool, type(None))
_MAX_ITEMS = 50
#: How many threads a fit was told to use; it used one.
_THREADS = frozenset({"n_jobs", "nthread", "num_threads", "thread_count"})


def describe(estimator: Any) -> dict[str, Any]:
    """The structure of an estimator, JSON-serialisable.

    Returns
    -------
    dict
        ``type``; ``parameters`` (plain values; nested estimators described likewise); ``search``
        (best parameters, score of each candidate); ``members`` (type and number of an ensemble's
        fitted parts); ``n_iter`` where fitting counts its iterations; of a booster what else it found.
    """
    described: dict[str, Any] = {
        "type": f"{type(estimator).__module__}.{type(estimator).__qualname__}",
        "parameters": {
            name: _value(value)
            for name, value in sorted(estimator.get_params(deep=False).items())
            if name not in _THREADS
        },
    }
    if hasattr(estimator, "best_params_"):
        described["search"] = _search(estimator)
    members = _members(estimator)
    if members:
        described["members"] = {
            "count": len(members),
            "types": sorted({type(one).__name__ for one in members}),
        }
    for attribute in ("n_iter_", "n_features_in_"):
        value = getattr(estimator, attribute, None)
        if isinstance(value, int | np.integer):
            described[attribute.rstrip("_")] = int(value)
    return described | what_fitting_found(estimator)


def _search(search: Any) -> dict[str, Any]:
    """What a search tried; a candidate that could not be fitted has no score."""
    results = search.cv_results_
    scores = sorted(name for name in results if name.startswith("mean_test_"))
    return {
        "best": _value(search.best_params_),
        "best_score": _finite(getattr(search, "best_score_", None)),  # refit by a function: there is none
        "candidates": [
            {"parameters": _value(parameters), **{name: _finite(results[name][number]) for name in scores}}
            for number, parameters in enumerate(results["params"])
        ],
    }


def _members(estimator: Any) -> list[Any]:
    """The fitted parts of an ensemble, each as one, whatever length it says it has."""
    members = getattr(estimator, "estimators_", None)
    if isinstance(members, np.ndarray):
        return list(members.ravel())
    if not isinstance(members, list):
        return []
    return [part for one in members for part in (one if isinstance(one, list) else [one])]


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def selection(estimator: Any, features: list[str]) -> dict[str, Any]:
    """Which columns the steps of a pipeline keep and drop; in a search or an ensemble, those of its parts.

    Returns
    -------
    dict
        ``used`` and ``unused`` (declared features that some part takes, or none), and ``selectors``: for
        each feature selection step, the columns ``kept`` and ``dropped``.
    """
    used, selectors = _selected(estimator, features)
    return {
        "used": [name for name in features if name in used],
        "unused": [name for name in features if name not in used],
        "selectors": selectors,
    }


def _selected(estimator: Any, names: list[str]) -> tuple[set[str], list[dict[str, Any]]]:
    """Which of the columns it is given an estimator uses, and its selectors."""
    if not hasattr(estimator, "steps"):
        found = [_selected(part, names) for part in _parts(estimator)] or [_selected_by(estimator, names)]
        selectors: list[dict[str, Any]] = []
        for _, each in found:
            selectors += [one for one in each if one not in selectors]
        return set().union(*(used for used, _ in found)), selectors
    used, selectors, current = set(names), [], list(names)
    for name, step in estimator.steps:
        taken, found_here = _selected(step, current)
        selectors += [{**one, "step": one["step"] or name} for one in found_here]
        if current == names:
            used &= taken
        try:
            current = [str(column) for column in step.get_feature_names_out()]
        except Exception:  # a step that can't name its output ends what can be said
            break
    return used, selectors


def _selected_by(step: Any, names: list[str]) -> tuple[set[str], list[dict[str, Any]]]:
    if hasattr(step, "transformers_"):
        return {
            column
            for _, transformer, columns in step.transformers_
            if not (isinstance(transformer, str) and transformer == "drop")
            for column in _columns(columns, names)
        }, []
    if hasattr(step, "get_support"):
        kept = np.asarray(step.get_support(), dtype=bool)
        if len(kept) == len(names):
            pairs = list(zip(names, kept, strict=True))
            chosen = [column for column, keep in pairs if keep]
            dropped = [column for column, keep in pairs if not keep]
            return set(names), [{"step": "", "kept": chosen, "dropped": dropped}]
    return set(names), []


def _parts(estimator: Any) -> list[Any]:
    """The fitted estimators that one hands its rows to as they are."""
    for attribute in ("best_estimator_", "estimator_"):
        inner = getattr(estimator, attribute, None)
        if hasattr(inner, "get_params"):
            return [inner]
    calibrated = getattr(estimator, "calibrated_classifiers_", None)
    if calibrated:
        return [one.estimator for one in calibrated]
    # Of other ensembles the parts see columns by number, or a choice of them.
    return _members(estimator) if hasattr(estimator, "named_estimators_") else []


def _columns(columns: Any, features: list[str]) -> list[str]:
    if isinstance(columns, slice):
        return features[columns] if not isinstance(columns.start, str) else list(features)
    listed = [columns] if isinstance(columns, str | int) else list(columns)
    if listed and all(isinstance(one, bool | np.bool_) for one in listed):
        return [name for name, keep in zip(features, listed, strict=True) if keep]
    return [one if isinstance(one, str) else features[int(one)] for one in listed]


def _drawn_from(frozen: Any) -> str:
    """A distribution that a search draws from, as it was written: ``randint(1, 6)``."""
    given = [str(_value(one)) for one in frozen.args]
    given += [f"{name}={_value(one)}" for name, one in frozen.kwds.items()]
    return f"{frozen.dist.name}({', '.join(given)})"


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
    return _named(value)


def _named(value: Any) -> str:
    """A type's or a function's name, a distribution as it was written: a ``repr`` may hold an address."""
    if type(value).__module__.startswith("scipy.stats.") and hasattr(value, "dist"):
        return _drawn_from(value)
    named = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
