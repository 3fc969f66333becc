"""Hyperparameters as YAML 1.1 reads them, which is not always as they were meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from typing import Any

__all__ = ["numbers_as_text"]

#: YAML 1.1 wants a point and a signed exponent: to it ``1e-3`` is a text.
_MEANT_AS_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def numbers_as_text(hyperparameters: Any) -> list[str]:
    """The texts among hyperparameters that were meant as numbers, each with how to write it.

    Returns
    -------
    list of str
        Like ``learning_rate is the text '1e-3' to YAML: write 0.001``.
    """
    return [
        f"{name} is the text {text!r} to YAML: write {_as_yaml(float(text))}"
        for name, text in _texts(hyperparameters, "")
        if _MEANT_AS_NUMBER.fullmatch(text) and isfinite(float(text))
    ]


def _as_yaml(number: float) -> str:
    """A form that YAML 1.1 reads as this number."""
    digits, _, exponent = repr(number).partition("e")
    if not exponent:
        return digits
    return f"{digits}{'' if '.' in digits else '.0'}e{exponent}"


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{name}[{index}]")
