"""Questions about every row, answered on Arrow a leaf at a time."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.validation.arrow_base import (
    Judge,
    MakeJudge,
    Parameters,
    Unsure,
    bounds,
    is_finite,
    is_number,
)
from rescore.validation.gx_engine import Evaluation
from rescore.validation.rows import EXACT, Rows

__all__ = ["ROW_JUDGES"]

Mask = np.ndarray[Any, np.dtype[np.bool_]]


class _EachRow(Judge):
    """Ask ``judge`` which rows of a leaf are looked at, and which of them fail."""

    def __init__(
        self, names: Sequence[str], parameters: Parameters, judge: Callable[..., tuple[Mask, Mask]]
    ) -> None:
        self.names = tuple(names)
        self._mostly = parameters.get("mostly", 1)
        if not isinstance(self._mostly, int | float):
            raise Unsure
        self._judge = judge
        self._failing: list[np.ndarray[Any, np.dtype[np.int64]]] = [np.array([], dtype=np.int64)]
        self._looked_at = 0

    def see(self, leaf: pa.RecordBatch, start: int) -> None:
        considered, fails = self._judge(*(leaf.column(name) for name in self.names))
        self._looked_at += int(considered.sum())
        positions = np.flatnonzero(considered & fails)
        if len(positions):
            self._failing.append(positions + start)

    def answer(self, rows: Rows) -> Evaluation:
        failing = np.concatenate(self._failing)
        looked_at = float(self._looked_at)
        success = looked_at == 0 or (looked_at - float(len(failing))) / looked_at >= self._mostly
        return Evaluation(success, positions=failing)


def _mask(array: pa.Array) -> Mask:
    found: Mask = array.to_numpy(zero_copy_only=False)
    return found


def _present(array: pa.Array) -> Mask:
    """Rows that pandas holds a value of: a NaN is none."""
    return ~_mask(pc.is_null(array, nan_is_null=pa.types.is_floating(array.type)))


def _nulls(wanted: bool) -> MakeJudge:
    def judge(schema: pa.Schema, parameters: Parameters) -> Judge:
        name = parameters["column"]
        if not _is_plain(schema.field(name).type) and not _is_moment(schema.field(name).type):
            raise Unsure

        def of_leaf(column: pa.Array) -> tuple[Mask, Mask]:
            present = _present(column)
            return np.ones(len(present), dtype=bool), present if wanted else ~present

        return _EachRow([name], parameters, of_leaf)

    return judge


def _between(schema: pa.Schema, parameters: Parameters) -> Judge:
    name, within = parameters["column"], bounds(parameters)
    if not is_number(schema.field(name).type):
        raise Unsure

    def of_leaf(column: pa.Array) -> tuple[Mask, Mask]:
        present = _present(column)
        return present, ~within(_numbers(column))

    return _EachRow([name], parameters, of_leaf)


def _in_set(wanted: bool) -> MakeJudge:
    def judge(schema: pa.Schema, parameters: Parameters) -> Judge:
        name, values = parameters["column"], parameters.get("value_set")
        kind = schema.field(name).type
        if not isinstance(values, list) or not values:
            raise Unsure
        if pa.types.is_string(kind) and all(type(one) is str for one in values):
            known = pa.array(values, pa.string())
        elif pa.types.is_boolean(kind) and all(type(one) is bool for one in values):
            known = pa.array(values, pa.bool_())
        elif is_number(kind) and all(is_finite(one) for one in values):
            known = None
        else:
            raise Unsure

        def of_leaf(column: pa.Array) -> tuple[Mask, Mask]:
            if known is not None:
                found = _mask(pc.is_in(column, value_set=known))
            else:
                numbers = _numbers(column)
                found = np.isin(numbers, np.array(values, dtype=np.float64))
            return _present(column), found != wanted

        return _EachRow([name], parameters, of_leaf)

    return judge


def _of_text(fails: Callable[[Any, Parameters], Any], needs: tuple[str, ...]) -> MakeJudge:
    """Judge text by its distinct values: ``fails`` gets them as a pandas series of ``str``."""

    def judge(schema: pa.Schema, parameters: Parameters) -> Judge:
        name = parameters["column"]
        if not pa.types.is_string(schema.field(name).type) or not any(one in parameters for one in needs):
            raise Unsure

        def of_leaf(column: pa.Array) -> tuple[Mask, Mask]:
            distinct = column.drop_null().unique()
            if not len(distinct):
                nothing = np.zeros(len(column), dtype=bool)
                return nothing, nothing
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of groups in a pattern
                    failing = np.asarray(fails(distinct.to_pandas().astype(str), parameters), dtype=bool)
            except Exception:  # a pattern that is none: Great Expectations says so
                raise Unsure from None
            found = pc.is_in(column, value_set=distinct.filter(pa.array(failing)))
            return _present(column), _mask(found)

        return _EachRow([name], parameters, of_leaf)

    return judge


def _unlike(text: Any, parameters: Parameters) -> Any:
    return ~text.str.contains(parameters["regex"])


def _like(text: Any, parameters: Parameters) -> Any:
    return text.str.contains(parameters["regex"])


def _other_length(text: Any, parameters: Parameters) -> Any:
    if not is_finite(parameters["value"]):
        raise Unsure
    return text.str.len() != parameters["value"]


def _length_outside(text: Any, parameters: Parameters) -> Any:
    return ~bounds(parameters)(text.str.len().to_numpy())


def _pair(compares: Callable[[Any, Any], Any]) -> MakeJudge:
    def judge(schema: pa.Schema, parameters: Parameters) -> Judge:
        names = [parameters["column_A"], parameters["column_B"]]
        ignored = parameters.get("ignore_row_if", "both_values_are_missing")
        if ignored not in {"both_values_are_missing", "either_value_is_missing", "neither"}:
            raise Unsure
        if not all(is_number(schema.field(name).type) for name in names):
            raise Unsure
        holds = operator.ge if compares is operator.gt and parameters.get("or_equal") else compares

        def of_leaf(*columns: pa.Array) -> tuple[Mask, Mask]:
            columns = (columns[0], columns[-1])  # which may be the same one
            left, right = (_present(column) for column in columns)
            if ignored == "neither":
                considered = np.ones(len(left), dtype=bool)
            else:
                considered = left | right if ignored == "both_values_are_missing" else left & right
            met = holds(*(_numbers(column) for column in columns))
            return considered, ~(met & left & right)

        return _EachRow(list(dict.fromkeys(names)), parameters, of_leaf)

    return judge


def _is_plain(kind: pa.DataType) -> bool:
    return bool(is_number(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind))


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date32(kind))


def _numbers(array: pa.Array) -> Any:
    """The values as float64, those that are missing as NaN; whole numbers only where that is exact."""
    if pa.types.is_integer(array.type):
        extremes = pc.min_max(array).as_py()
        if any(abs(one) > EXACT for one in extremes.values() if one is not None):
            raise Unsure
        array = array.cast(pa.float64())
    return array.to_numpy(zero_copy_only=False)


#: How each kind is judged.
ROW_JUDGES: dict[str, MakeJudge] = {
    "expect_column_pair_values_a_to_be_greater_than_b": _pair(operator.gt),
    "expect_column_pair_values_to_be_equal": _pair(operator.eq),
    "expect_column_value_lengths_to_be_between": _of_text(_length_outside, ("min_value", "max_value")),
    "expect_column_value_lengths_to_equal": _of_text(_other_length, ("value",)),
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_be_in_set": _in_set(True),
    "expect_column_values_to_be_null": _nulls(True),
    "expect_column_values_to_match_regex": _of_text(_unlike, ("regex",)),
    "expect_column_values_to_not_be_in_set": _in_set(False),
    "expect_column_values_to_not_be_null": _nulls(False),
    "expect_column_values_to_not_match_regex": _of_text(_like, ("regex",)),
}
