"""Reports as values that Postgres takes for jsonb."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

__all__ = ["jsonable"]


def jsonable(value: Any) -> Any:  # noqa: PLR0911 — one per kind of value
    """Copy ``value`` with only what JSON has.

    Numpy scalars and arrays become plain ones, dates ISO 8601. NaN and the infinities become the words
    ``NaN``, ``Infinity`` and ``-Infinity`` (``float()`` reads them back); a zero character, which
    Postgres' text can't hold, becomes U+FFFD. What is left is written with ``str``.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(jsonable(key)): jsonable(item) for key, item in value.items()}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if hasattr(value, "tolist"):  # numpy
        return jsonable(value.tolist())
    return str(value)
