"""The fitted pipeline as an object: walking through it, and loading it from its file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from .errors import ScoreError
from .reader import UnknownNode, read

__all__ = ["force_one_job", "load_artifact", "walk"]


def walk(estimator: Any) -> Iterator[tuple[str, Any]]:
    """Every object with attributes that an estimator holds, itself first, with the path to it.

    Yields
    ------
    tuple of str and object
        A path like ``.steps[1][1].estimators_[0]``; each object once.
    """
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", estimator)]
    while waiting:
        path, value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        below: list[tuple[str, Any]] = []
        if isinstance(value, Mapping):
            below = [(f"{path}[{key!r}]", item) for key, item in value.items()]
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes | range):
            below = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        elif isinstance(value, np.ndarray):
            if value.dtype == object:
                below = [(f"{path}[{index}]", item) for index, item in enumerate(value.ravel().tolist())]
        elif hasattr(value, "__dict__") and not isinstance(value, type | ModuleType):
            yield path, value
            below = [(f"{path}.{name}", item) for name, item in vars(value).items()]
        waiting.extend(reversed([one for one in below if not isinstance(one[1], str | float | int | None)]))


def force_one_job(estimator: Any) -> None:
    """Set every ``n_jobs`` in an estimator to 1: its parameters, its parts, its fitted parts.

    Threads that add to one sum (a forest's predictions) add in the order in which they finish.
    ``None`` means one too, and stays; but for LightGBM, to which it means all processors. CatBoost predicts
    on all of them unless each call says otherwise.
    """
    for _, part in list(walk(estimator)):
        library = type(part).__module__.partition(".")[0]
        attributes = vars(part)
        if attributes.get("n_jobs") is not None or (library == "lightgbm" and "n_jobs" in attributes):
            part.n_jobs = 1
        if library == "catboost" and hasattr(part, "_base_predict"):
            part._base_predict = partial(_predict_on_one_thread, type(part)._base_predict, part)


def _predict_on_one_thread(predict: Any, part: Any, *arguments: Any) -> Any:
    """CatBoost's own ``_base_predict``, whose fifth argument is the number of threads."""
    pool, kind, first_tree, end_tree, _, *others = arguments
    return predict(part, pool, kind, first_tree, end_tree, 1, *others)


def load_artifact(content: bytes, types: Collection[str]) -> Any:
    """Load a skops file.

    Parameters
    ----------
    content : bytes
        The file.
    types : collection of str
        Every type and function that it may name.

    Raises
    ------
    ScoreError
        It holds another type, or a type can't be imported or built.
    """
    try:
        loaded = _read(content, types)
    except Exception as error:
        raise ScoreError(
            f"the fitted pipeline can't be loaded: {type(error).__name__}: {error}",
            expected="an artifact of no other types than its manifest lists",
            fix="define own classes and functions at the top level of pipeline.py, or restore the package",
        ) from error
    force_one_job(loaded)
    return loaded


def _read(content: bytes, types: Collection[str]) -> Any:
    try:
        return read(content, set(types))
    except UnknownNode:
        from skops.io import loads  # takes a second of processor time to import

        return loads(content, trusted=sorted(types))
