"""What the judges on Arrow share: what a judge is, when it is not sure, which numbers are certain."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from rescore.validation.gx_engine import Evaluation
from rescore.validation.rows import EXACT, Rows

__all__ = [
    "Judge",
    "MakeJudge",
    "Parameters",
    "Unsure",
    "bounds",
    "is_finite",
    "is_number",
]

Parameters = Mapping[str, Any]


class Unsure(Exception):
    """What Great Expectations would say of this is not known here."""


class Judge:
    """What answers one question: it sees all rows of some columns, or asks for a whole column afterwards."""

    names: tuple[str, ...] = ()

    def see(self, leaf: pa.RecordBatch, start: int) -> None:
        """Look at the next rows."""

    def answer(self, rows: Rows) -> Evaluation:
        """Judge, once all rows were seen."""
        raise NotImplementedError


#: Makes the judge of one expectation from the schema of its rows and its parameters.
MakeJudge = Callable[[pa.Schema, Parameters], Judge]


def bounds(parameters: Parameters) -> Callable[[Any], Any]:
    """Whether values lie within ``min_value`` and ``max_value``, which have to be finite numbers."""
    low, high = parameters.get("min_value"), parameters.get("max_value")
    if (low is None and high is None) or not all(is_finite(one) for one in (low, high) if one is not None):
        raise Unsure
    if low is not None and high is not None and low > high:
        raise Unsure  # an error, of Great Expectations' words
    above: Callable[[Any, Any], Any] = operator.gt if parameters.get("strict_min") else operator.ge
    below: Callable[[Any, Any], Any] = operator.lt if parameters.get("strict_max") else operator.le

    def within(values: Any) -> Any:
        if low is None:
            return below(values, high)
        return above(values, low) if high is None else above(values, low) & below(values, high)

    return within


def is_number(kind: pa.DataType) -> bool:
    """Whether pandas makes int64 or float64 of the type without a loss."""
    small = pa.types.is_integer(kind) and not pa.types.is_uint64(kind)
    return bool(small or pa.types.is_float64(kind))


def is_finite(value: Any) -> bool:
    """Whether it is a number that float64 holds exactly."""
    return type(value) in {int, float} and math.isfinite(value) and abs(value) <= EXACT
