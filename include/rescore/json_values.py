"""Values as JSON has them: what documents, the store and what Great Expectations saw are written as."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

__all__ = ["json_bytes", "json_value"]


def _in_words(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def json_value(  # noqa: PLR0911 - one for each kind of value
    value: Any, *, not_finite: Callable[[float], Any] = _in_words
) -> Any:
    """Copy ``value`` with only what JSON has.

    Numpy's scalars and arrays become plain ones, sets sorted lists, dates ISO 8601. A zero character, which
    Postgres' text can't hold, becomes U+FFFD. What is left is written with ``str``.

    Parameters
    ----------
    value : Any
        A value, or mappings and sequences of them.
    not_finite : callable, optional
        What becomes of NaN and the infinities. Default: the words ``NaN``, ``Infinity`` and ``-Infinity``,
        which ``float()`` reads back.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else not_finite(float(value))
    if isinstance(value, Mapping):
        return {str(json_value(key)): json_value(item, not_finite=not_finite) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    if hasattr(value, "tolist"):  # numpy
        return json_value(value.tolist(), not_finite=not_finite)
    if isinstance(value, list | tuple):
        return [json_value(item, not_finite=not_finite) for item in value]
    return value.isoformat() if isinstance(value, date) else str(value)


def json_bytes(value: Any) -> bytes:
    """JSON of one form, so that equal values have equal bytes.

    Raises
    ------
    ValueError
        It holds NaN or an infinity.
    """
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False)
    return (text + "\n").encode()
