"""What a pipeline must not hold: chance without a seed, functions without a name, caches; nor change."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import FunctionType
from typing import Any

import sklearn

from rescore.errors import RefusedTypeError, TrainingError, UnseededEstimatorError

__all__ = ["drop_caches", "refuse_nameless", "refuse_settings", "refuse_unseeded"]

#: scikit-learn's settings before the code of any model ran.
_SETTINGS = sklearn.get_config()


def refuse_unseeded(estimator: Any) -> None:
    """Refuse ``random_state=None`` anywhere in an estimator's parameters.

    Splitters that do not shuffle draw nothing and pass.

    Raises
    ------
    UnseededEstimatorError
        Names every such parameter as ``set_params`` would (``model__random_state``).
    """
    unseeded = [
        f"{name} of {type(owner).__name__}"
        for name, owner in _parameters(estimator)
        if name.rpartition("__")[2] == "random_state" and _seed(owner) is None
    ]
    if unseeded:
        raise UnseededEstimatorError(
            f"{unseeded[0]} is None: every fit would be another",
            where="build() in pipeline.py",
            expected="random_state=seed wherever there is a random_state",
            fix="pass build's seed on to each of them",
            examples=unseeded,
            data={"parameters": [one.partition(" of ")[0] for one in unseeded]},
        )


def refuse_nameless(estimator: Any) -> None:
    """Refuse lambdas and functions or classes defined inside functions: no package can hold them.

    Raises
    ------
    RefusedTypeError
        Names the parameter.
    """
    for name, value in _values(estimator):
        inner = value.func if isinstance(value, partial) else value
        defined = getattr(inner, "__qualname__", "") if isinstance(inner, FunctionType | type) else ""
        if not defined:
            defined = type(inner).__qualname__
        if "<" in defined:
            what = "a lambda" if "<lambda>" in defined else f"defined inside a function ({defined})"
            raise RefusedTypeError(
                f"{name or type(inner).__name__} is {what}: a package can't hold it",
                where="build() in pipeline.py",
                expected="functions and classes defined at the top level of a module of the model folder",
                fix="give it a name there",
                data={"parameter": name},
            )


def refuse_settings() -> None:
    """Refuse code that changed scikit-learn's settings: a package is scored where nobody changes them.

    The settings are as they were afterwards.

    Raises
    ------
    TrainingError
        Names the settings that were changed.
    """
    changed = [name for name, value in sklearn.get_config().items() if value != _SETTINGS[name]]
    if changed:
        sklearn.set_config(**_SETTINGS)
        raise TrainingError(
            f"pipeline.py changes scikit-learn's setting {', '.join(changed)} for the whole process",
            where="pipeline.py",
            expected="settings on the steps of the pipeline: scoring has those of scikit-learn",
            fix="take sklearn.set_config out; a step has set_output(transform='pandas') of its own",
            data={"settings": changed},
        )


def drop_caches(estimator: Any) -> None:
    """Set ``memory`` to None everywhere, in place: the second training would read what the first one fitted.

    Two trainings that give the same bytes would then be no proof that the fit is deterministic.
    """
    cached = {
        name: None
        for name, value in _deep(estimator).items()
        if name.rpartition("__")[2] == "memory" and value is not None
    }
    if cached:
        estimator.set_params(**cached)


def _parameters(estimator: Any) -> Iterator[tuple[str, Any]]:
    """Each ``random_state`` parameter by name, with the object that has it.

    Of what a search tries, splitters alone: it may give its candidates their seeds.
    """
    named = {"", *_deep(estimator)}
    for name, part in _values(estimator):
        has_one = name in named and "random_state" in _given(part)
        shuffles = hasattr(part, "split") and getattr(part, "shuffle", True)
        if not isinstance(part, type) and (has_one or (shuffles and hasattr(part, "random_state"))):
            yield f"{name}__random_state" if name else "random_state", part


def _seed(owner: Any) -> Any:
    """What ``random_state`` is: an attribute, but for CatBoost, which keeps what it was given elsewhere."""
    return getattr(owner, "random_state", _given(owner).get("random_state"))


def _given(part: Any) -> dict[str, Any]:
    has_them = hasattr(part, "get_params") and not isinstance(part, type)
    return part.get_params(deep=False) if has_them else {}


def _values(estimator: Any) -> Iterator[tuple[str, Any]]:
    """Every parameter by its name, then what containers among them hold, each object once."""
    waiting = [("", estimator), *_deep(estimator).items()]
    seen: set[int] = set()
    while waiting:
        name, value = waiting.pop(0)
        if isinstance(value, str | int | float | None) or id(value) in seen:
            continue
        seen.add(id(value))
        yield name, value
        if isinstance(value, dict):
            waiting.extend((f"{name}[{key!r}]", item) for key, item in value.items())
        elif isinstance(value, list | tuple):
            waiting.extend((f"{name}[{index}]", item) for index, item in enumerate(value))
        elif name.endswith("]"):
            waiting.extend((f"{name}__{key}", item) for key, item in _given(value).items())


def _deep(estimator: Any) -> dict[str, Any]:
    return dict(estimator.get_params(deep=True))
