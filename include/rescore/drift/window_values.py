"""What is told of a window's rows besides counts: one score a row, their spread, its stratum."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

__all__ = ["one_score", "spread", "stratum_of"]

Floats = npt.NDArray[np.float64]


def one_score(scores: npt.NDArray[Any]) -> Floats:
    """One number per row, shape (n_rows,): of class probabilities, shape (n_rows, n_classes), the largest."""
    values = np.asarray(scores, dtype=np.float64)
    return values.max(axis=1) if values.ndim == 2 else values


def stratum_of(days: Floats, timezone: str) -> str:
    """``weekend`` if the middle one of these moments (days since 1970, UTC; shape (n,)) is on one there."""
    there = days[np.isfinite(days)]
    if there.size == 0:
        return "weekday"
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=float(np.sort(there)[there.size // 2]))
    return "weekend" if moment.astimezone(ZoneInfo(timezone)).weekday() >= 5 else "weekday"


def spread(values: Floats) -> float:
    """Standard deviation of what is finite in ``values``, shape (n,), in their unit; NaN if nothing is."""
    there = values[np.isfinite(values)]
    return float(there.std()) if there.size else math.nan
