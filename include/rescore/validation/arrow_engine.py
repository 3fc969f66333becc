"""Great Expectations' own questions, answered on Arrow without Great Expectations.

Its pandas engine copies a frame for every check and its import takes five seconds of processor time. What
most suites ask is answered here: the same verdict, the same positions and the same observed values, which a
test compares with Great Expectations' over generated rows. Everything that is not certain to be the same
(another type of column, an own class, a row condition, a bound that is a moment, an expectation that can't
be evaluated) is left to :mod:`rescore.validation.gx_engine`: the answer here is None.

Questions about every row are answered a leaf at a time, so that memory does not grow with the rows.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.validation.gx_engine import Evaluation, to_series

__all__ = ["KINDS", "evaluate"]

Parameters = Mapping[str, Any]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

#: Rows judged at a time.
_LEAF_ROWS = 65_536
#: Whole numbers beyond this are not exact as float64, which is what pandas may make of them.
_EXACT = 2**53


class _Unsure(Exception):
    """What Great Expectations would say of this is not known here."""


def evaluate(kind: str, parameters: Parameters, table: pa.Table) -> Evaluation | None:
    """Judge a table by one expectation.

    Parameters
    ----------
    kind : str
        Great Expectations' name of it; one of its own classes, without a row condition.
    parameters : mapping
        What it was given that is not its default.
    table : pa.Table
        All columns that it names are there.

    Returns
    -------
    Evaluation or None
        None if Great Expectations has to be asked.
    """
    judge = _JUDGES.get(kind)
    if judge is None:
        return None
    try:
        return judge(table, parameters)
    except _Unsure:
        return None


# --- questions about every row ---------------------------------------------------------------


def _rows(
    table: pa.Table,
    names: list[str],
    parameters: Parameters,
    judge: Callable[[list[pa.Array]], tuple[Mask, Mask]],
) -> Evaluation:
    """Ask ``judge`` which rows of a leaf are looked at, and which of them fail."""
    positions, looked_at = [], 0
    for start, columns in _leaves(table, names):
        considered, fails = judge(columns)
        looked_at += int(considered.sum())
        positions.append(np.flatnonzero(considered & fails) + start)
    failing = np.concatenate(positions) if positions else np.array([], dtype=np.int64)
    mostly = parameters.get("mostly", 1)
    if not isinstance(mostly, int | float):
        raise _Unsure
    success = looked_at == 0 or (float(looked_at) - float(len(failing))) / float(looked_at) >= mostly
    return Evaluation(success, positions=failing.astype(np.int64))


def _leaves(table: pa.Table, names: list[str]) -> Iterator[tuple[int, list[pa.Array]]]:
    for start in range(0, table.num_rows, _LEAF_ROWS):
        part = table.select(names).slice(start, _LEAF_ROWS)
        yield start, [_one(part.column(name)) for name in names]


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _mask(array: pa.Array | pa.ChunkedArray) -> Mask:
    found: Mask = array.to_numpy(zero_copy_only=False)
    return found


def _present(array: pa.Array) -> Mask:
    """Rows that pandas holds a value of: a NaN is none."""
    return ~_mask(pc.is_null(array, nan_is_null=pa.types.is_floating(array.type)))


def _nulls(wanted: bool) -> Callable[[pa.Table, Parameters], Evaluation]:
    def judge(table: pa.Table, parameters: Parameters) -> Evaluation:
        name = parameters["column"]
        if not _is_plain(table.column(name).type) and not _is_moment(table.column(name).type):
            raise _Unsure

        def of_leaf(columns: list[pa.Array]) -> tuple[Mask, Mask]:
            present = _present(columns[0])
            return np.ones(len(present), dtype=bool), present if wanted else ~present

        return _rows(table, [name], parameters, of_leaf)

    return judge


def _between(table: pa.Table, parameters: Parameters) -> Evaluation:
    name, within = parameters["column"], _bounds(parameters)
    if not _is_number(table.column(name).type):
        raise _Unsure

    def of_leaf(columns: list[pa.Array]) -> tuple[Mask, Mask]:
        present = _present(columns[0])
        return present, ~within(_numbers(columns[0]))

    return _rows(table, [name], parameters, of_leaf)


def _bounds(parameters: Parameters) -> Callable[[Any], Any]:
    """Whether values lie within ``min_value`` and ``max_value``, which have to be finite numbers."""
    low, high = parameters.get("min_value"), parameters.get("max_value")
    if (low is None and high is None) or not all(_is_finite(one) for one in (low, high) if one is not None):
        raise _Unsure
    if low is not None and high is not None and low > high:
        raise _Unsure  # an error, of Great Expectations' words
    above: Callable[[Any, Any], Any] = operator.gt if parameters.get("strict_min") else operator.ge
    below: Callable[[Any, Any], Any] = operator.lt if parameters.get("strict_max") else operator.le

    def within(values: Any) -> Any:
        if low is None:
            return below(values, high)
        return above(values, low) if high is None else above(values, low) & below(values, high)

    return within


def _in_set(wanted: bool) -> Callable[[pa.Table, Parameters], Evaluation]:
    def judge(table: pa.Table, parameters: Parameters) -> Evaluation:
        name, values = parameters["column"], parameters.get("value_set")
        kind = table.column(name).type
        if not isinstance(values, list) or not values:
            raise _Unsure
        if pa.types.is_string(kind) and all(type(one) is str for one in values):
            known = pa.array(values, pa.string())
        elif pa.types.is_boolean(kind) and all(type(one) is bool for one in values):
            known = pa.array(values, pa.bool_())
        elif _is_number(kind) and all(_is_finite(one) for one in values):
            known = None
        else:
            raise _Unsure

        def of_leaf(columns: list[pa.Array]) -> tuple[Mask, Mask]:
            if known is not None:
                found = _mask(pc.is_in(columns[0], value_set=known))
            else:
                numbers = _numbers(columns[0])
                found = np.isin(numbers, np.array(values, dtype=np.float64))
            return _present(columns[0]), found != wanted

        return _rows(table, [name], parameters, of_leaf)

    return judge


def _of_text(
    fails: Callable[[Any, Parameters], Any], needs: tuple[str, ...]
) -> Callable[[pa.Table, Parameters], Evaluation]:
    """Judge text by its distinct values: ``fails`` gets them as a pandas series of ``str``."""

    def judge(table: pa.Table, parameters: Parameters) -> Evaluation:
        name = parameters["column"]
        if not pa.types.is_string(table.column(name).type) or not any(one in parameters for one in needs):
            raise _Unsure

        def of_leaf(columns: list[pa.Array]) -> tuple[Mask, Mask]:
            distinct = columns[0].drop_null().unique()
            if not len(distinct):
                nothing = np.zeros(len(columns[0]), dtype=bool)
                return nothing, nothing
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of groups in a pattern
                    failing = np.asarray(fails(distinct.to_pandas().astype(str), parameters), dtype=bool)
            except Exception:  # a pattern that is none: Great Expectations says so
                raise _Unsure from None
            found = pc.is_in(columns[0], value_set=distinct.filter(pa.array(failing)))
            return _present(columns[0]), _mask(found)

        return _rows(table, [name], parameters, of_leaf)

    return judge


def _unlike(text: Any, parameters: Parameters) -> Any:
    return ~text.str.contains(parameters["regex"])


def _like(text: Any, parameters: Parameters) -> Any:
    return text.str.contains(parameters["regex"])


def _other_length(text: Any, parameters: Parameters) -> Any:
    if not _is_finite(parameters["value"]):
        raise _Unsure
    return text.str.len() != parameters["value"]


def _length_outside(text: Any, parameters: Parameters) -> Any:
    return ~_bounds(parameters)(text.str.len().to_numpy())


def _pair(compares: Callable[[Any, Any], Any]) -> Callable[[pa.Table, Parameters], Evaluation]:
    def judge(table: pa.Table, parameters: Parameters) -> Evaluation:
        names = [parameters["column_A"], parameters["column_B"]]
        ignored = parameters.get("ignore_row_if", "both_values_are_missing")
        if ignored not in {"both_values_are_missing", "either_value_is_missing", "neither"}:
            raise _Unsure
        if not all(_is_number(table.column(name).type) for name in names):
            raise _Unsure
        holds = operator.ge if compares is operator.gt and parameters.get("or_equal") else compares

        def of_leaf(columns: list[pa.Array]) -> tuple[Mask, Mask]:
            left, right = (_present(column) for column in columns)
            if ignored == "neither":
                considered = np.ones(len(left), dtype=bool)
            else:
                considered = left | right if ignored == "both_values_are_missing" else left & right
            met = holds(*(_numbers(column) for column in columns))
            return considered, ~(met & left & right)

        return _rows(
            table, list(dict.fromkeys(names)), parameters, lambda given: of_leaf([given[0], given[-1]])
        )

    return judge


# --- questions about a column or the table as a whole ----------------------------------------


def _aggregate(
    computes: Callable[[Any], Any], *, text: bool = False
) -> Callable[[pa.Table, Parameters], Evaluation]:
    """Compare what pandas computes of a column with the bounds."""

    def judge(table: pa.Table, parameters: Parameters) -> Evaluation:
        column, within = table.column(parameters["column"]), _bounds(parameters)
        if not (_is_number(column.type) or (text and pa.types.is_string(column.type))):
            raise _Unsure
        if pa.types.is_integer(column.type):
            column = column.drop_null()  # or pandas would make floats of the rest
        if not len(column) - column.null_count:
            raise _Unsure
        observed = computes(to_series(column))
        if not _is_finite(observed.item() if isinstance(observed, np.generic) else observed):
            raise _Unsure
        return Evaluation(bool(within(observed)), observed=observed)

    return judge


def _proportion_of_unique(values: Any) -> Any:
    present = int(values.notna().sum())
    return values.nunique() / present if present else math.nan


def _row_count(table: pa.Table, parameters: Parameters) -> Evaluation:
    return Evaluation(bool(_bounds(parameters)(table.num_rows)), observed=table.num_rows)


def _row_count_equals(table: pa.Table, parameters: Parameters) -> Evaluation:
    return Evaluation(table.num_rows == _whole(parameters["value"]), observed=table.num_rows)


def _column_count_equals(table: pa.Table, parameters: Parameters) -> Evaluation:
    return Evaluation(table.num_columns == _whole(parameters["value"]), observed=table.num_columns)


def _ordered_columns(table: pa.Table, parameters: Parameters) -> Evaluation:
    expected = parameters.get("column_list")
    if not isinstance(expected, list):
        raise _Unsure
    return Evaluation(table.column_names == expected, observed=list(table.column_names))


def _column_exists(table: pa.Table, parameters: Parameters) -> Evaluation:
    if parameters.get("column_index") is not None:
        raise _Unsure
    return Evaluation(parameters["column"] in table.column_names)


# --- values ----------------------------------------------------------------------------------


def _is_number(kind: pa.DataType) -> bool:
    small = pa.types.is_integer(kind) and not pa.types.is_uint64(kind)
    return bool(small or pa.types.is_float64(kind))


def _is_plain(kind: pa.DataType) -> bool:
    return bool(_is_number(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind))


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date32(kind))


def _is_finite(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and abs(value) <= _EXACT


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise _Unsure
    return value


def _numbers(array: pa.Array) -> Any:
    """The values as float64, those that are missing as NaN; whole numbers only where that is exact."""
    if pa.types.is_integer(array.type):
        extremes = pc.min_max(array).as_py()
        if any(abs(one) > _EXACT for one in extremes.values() if one is not None):
            raise _Unsure
        array = array.cast(pa.float64())
    return array.to_numpy(zero_copy_only=False)


_JUDGES: dict[str, Callable[[pa.Table, Parameters], Evaluation]] = {
    "expect_column_max_to_be_between": _aggregate(lambda values: values.max()),
    "expect_column_mean_to_be_between": _aggregate(lambda values: values.mean()),
    "expect_column_median_to_be_between": _aggregate(lambda values: values[~values.isnull()].median()),
    "expect_column_min_to_be_between": _aggregate(lambda values: values.min()),
    "expect_column_pair_values_a_to_be_greater_than_b": _pair(operator.gt),
    "expect_column_pair_values_to_be_equal": _pair(operator.eq),
    "expect_column_proportion_of_unique_values_to_be_between": _aggregate(_proportion_of_unique, text=True),
    "expect_column_stdev_to_be_between": _aggregate(lambda values: values.std()),
    "expect_column_sum_to_be_between": _aggregate(lambda values: values.sum()),
    "expect_column_to_exist": _column_exists,
    "expect_column_unique_value_count_to_be_between": _aggregate(lambda values: values.nunique(), text=True),
    "expect_column_value_lengths_to_be_between": _of_text(_length_outside, ("min_value", "max_value")),
    "expect_column_value_lengths_to_equal": _of_text(_other_length, ("value",)),
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_be_in_set": _in_set(True),
    "expect_column_values_to_be_null": _nulls(True),
    "expect_column_values_to_match_regex": _of_text(_unlike, ("regex",)),
    "expect_column_values_to_not_be_in_set": _in_set(False),
    "expect_column_values_to_not_be_null": _nulls(False),
    "expect_column_values_to_not_match_regex": _of_text(_like, ("regex",)),
    "expect_table_column_count_to_equal": _column_count_equals,
    "expect_table_columns_to_match_ordered_list": _ordered_columns,
    "expect_table_row_count_to_be_between": _row_count,
    "expect_table_row_count_to_equal": _row_count_equals,
}
#: What can be answered here.
KINDS = frozenset(_JUDGES)
