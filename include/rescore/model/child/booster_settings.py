"""Settings under which a booster gives the same trees each time, made before it is fitted.

One thread, as every fit has; and for LightGBM that it adds in one order: left to itself it measures which of
two ways of adding is faster. What a pipeline declares to the contrary is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rescore.errors import SpecError, UnseededEstimatorError
from rescore.model.boosters import library_of
from rescore.model.runtime.artifact import walk

__all__ = ["settle_boosters"]

_LIGHTGBM_THREADS = ("n_jobs", "num_threads", "num_thread", "nthread", "nthreads")
_CATBOOST_SEEDS = ("random_seed", "random_state")
_CATBOOST_WORDS = ("logging_level", "silent", "verbose", "verbose_eval")


def settle_boosters(estimator: Any) -> None:
    """Set one thread and one order of adding in every booster of an estimator that is not fitted yet.

    Raises
    ------
    UnseededEstimatorError
        A CatBoost model has no seed: it would take 0, whatever ``training.seed`` says.
    SpecError
        One is to run on a graphics processor, or LightGBM is told not to be deterministic.
    """
    for path, part in walk(estimator):
        library = library_of(part)
        if library is not None:
            _SETTLE[library](path or "the estimator itself", part, part.get_params(deep=False))


def _lightgbm(path: str, part: Any, given: dict[str, Any]) -> None:
    for name in ("device", "device_type"):
        _refuse_other(path, part, name, given.get(name, "cpu"), "cpu")
    _refuse_other(path, part, "deterministic", given.get("deterministic", True), True)
    settled: dict[str, Any] = {name: 1 for name in _LIGHTGBM_THREADS if name in given}
    settled["deterministic"] = True
    if not (given.get("force_row_wise") or given.get("force_col_wise")):
        settled["force_col_wise"] = True
    part.set_params(**settled)


def _xgboost(path: str, part: Any, given: dict[str, Any]) -> None:
    if given.get("device") is not None:
        _refuse_other(path, part, "device", given["device"], "cpu")
    part.set_params(n_jobs=1, **({"nthread": 1} if "nthread" in given else {}))


def _catboost(path: str, part: Any, given: dict[str, Any]) -> None:
    _refuse_other(path, part, "task_type", given.get("task_type") or "CPU", "CPU")
    if all(given.get(name) is None for name in _CATBOOST_SEEDS):
        raise UnseededEstimatorError(
            f"{type(part).__name__} has no random_state: it would not follow training.seed",
            where=f"build() in pipeline.py: {path}",
            expected="random_state=seed",
            fix="pass build's seed on to it",
            data={"parameters": ["random_state"]},
        )
    settled: dict[str, Any] = {"thread_count": 1, "allow_writing_files": False}
    if all(given.get(name) is None for name in _CATBOOST_WORDS):
        settled["verbose"] = False  # or it prints a line for each tree
    part.set_params(**settled)


def _refuse_other(path: str, part: Any, name: str, found: Any, wanted: Any) -> None:
    same = found == wanted or (isinstance(wanted, str) and str(found).lower() == wanted.lower())
    if not same:
        raise SpecError(
            f"{name} of {type(part).__name__} is {found!r}: two fits need not give the same model",
            where=f"build() in pipeline.py: {path}",
            expected=f"{name}={wanted!r}",
            fix=f"leave {name} out, or set it to {wanted!r}",
            data={"parameter": name},
        )


_SETTLE: dict[str, Callable[[str, Any, dict[str, Any]], None]] = {
    "catboost": _catboost,
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
}
