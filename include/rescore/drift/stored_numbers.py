"""How a reference profile writes numbers and moments, and reads them again."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

__all__ = ["floats", "iso", "rounded"]

Floats = npt.NDArray[np.float64]


def rounded(values: Floats | None) -> list[float | None] | None:
    """Six digits of each; None for what is not finite."""
    if values is None:
        return None
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]


def floats(stored: list[float | None] | None) -> Floats | None:
    """Inverse of :func:`rounded`."""
    if stored is None:
        return None
    return np.asarray([math.nan if value is None else value for value in stored], dtype=np.float64)


def iso(micros: int) -> str:
    """A moment in ISO 8601 from microseconds since 1970 UTC."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()
