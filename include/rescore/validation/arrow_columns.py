"""Questions about a column or the table as a whole, answered on Arrow, or by pandas on one column."""

from __future__ import annotations

import math
from collections.abc import Callable
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
from rescore.validation.gx_engine import Evaluation, to_series
from rescore.validation.rows import Rows

__all__ = ["TABLE_JUDGES"]


class _Whole(Judge):
    """Compare what pandas computes of a whole column with the bounds."""

    def __init__(
        self, schema: pa.Schema, parameters: Parameters, computes: Callable[[Any], Any], *, of_floats: bool
    ) -> None:
        self._name, self._within, self._computes = parameters["column"], bounds(parameters), computes
        self._of_floats = of_floats
        if not is_number(schema.field(self._name).type):
            raise Unsure

    def answer(self, rows: Rows) -> Evaluation:
        column = rows.column(self._name)
        if pa.types.is_integer(column.type) and not self._of_floats:
            column = column.drop_null()  # or pandas would make floats of the rest
        if not len(column) - column.null_count:
            raise Unsure
        # Where a sum of floats is rounded, the place of each NULL counts.
        values = column.to_pandas() if self._of_floats else to_series(column)
        del column  # or it would be held beside what pandas makes of it
        return _compare(self._computes(values), self._within)


class _Distinct(Judge):
    """Compare how many values are distinct, of all that are there, with the bounds."""

    def __init__(self, schema: pa.Schema, parameters: Parameters, *, share: bool) -> None:
        self.names = (parameters["column"],)
        self._within, self._share = bounds(parameters), share
        kind = schema.field(parameters["column"]).type
        if not (is_number(kind) or pa.types.is_string(kind)):
            raise Unsure
        self._kind = pa.large_string() if pa.types.is_string(kind) else kind
        self._values = [pa.array([], self._kind)]
        self._held = self._settled = self._present = self._not_null = 0

    def see(self, leaf: pa.RecordBatch, start: int) -> None:
        column = leaf.column(self.names[0]).drop_null()
        self._not_null += len(column)
        if pa.types.is_floating(column.type):
            column = pc.add(column.filter(pc.invert(pc.is_nan(column))), 0.0)  # -0.0 is 0.0
        self._present += len(column)
        self._values.append(column.unique().cast(self._kind))
        self._held += len(self._values[-1])
        if self._held > 2 * self._settled + len(leaf):  # so rarely that each value is compared a few times
            self._settle()

    def _settle(self) -> None:
        self._values = [pa.concat_arrays(self._values).unique()]
        self._held = self._settled = len(self._values[0])

    def answer(self, rows: Rows) -> Evaluation:
        if not self._not_null:
            raise Unsure
        self._settle()
        share = self._settled / self._present if self._present else math.nan
        return _compare(share if self._share else self._settled, self._within)


def _compare(observed: Any, within: Callable[[Any], Any]) -> Evaluation:
    if not is_finite(observed.item() if isinstance(observed, np.generic) else observed):
        raise Unsure
    return Evaluation(bool(within(observed)), observed=observed)


def _aggregate(computes: Callable[[Any], Any], *, of_floats: bool = False) -> MakeJudge:
    return lambda schema, parameters: _Whole(schema, parameters, computes, of_floats=of_floats)


def _distinct(*, share: bool) -> MakeJudge:
    return lambda schema, parameters: _Distinct(schema, parameters, share=share)


class _OfTable(Judge):
    """Judge the table by its names and how many rows it has."""

    def __init__(self, judge: Callable[[Rows, Parameters], Evaluation], parameters: Parameters) -> None:
        self._judge, self._parameters = judge, parameters

    def answer(self, rows: Rows) -> Evaluation:
        return self._judge(rows, self._parameters)


def _of_table(judge: Callable[[Rows, Parameters], Evaluation]) -> MakeJudge:
    return lambda schema, parameters: _OfTable(judge, parameters)


def _row_count(rows: Rows, parameters: Parameters) -> Evaluation:
    return Evaluation(bool(bounds(parameters)(rows.num_rows)), observed=rows.num_rows)


def _row_count_equals(rows: Rows, parameters: Parameters) -> Evaluation:
    return Evaluation(rows.num_rows == _whole(parameters["value"]), observed=rows.num_rows)


def _column_count_equals(rows: Rows, parameters: Parameters) -> Evaluation:
    columns = len(rows.column_names)
    return Evaluation(columns == _whole(parameters["value"]), observed=columns)


def _ordered_columns(rows: Rows, parameters: Parameters) -> Evaluation:
    expected = parameters.get("column_list")
    if not isinstance(expected, list):
        raise Unsure
    return Evaluation(rows.column_names == expected, observed=list(rows.column_names))


def _column_exists(rows: Rows, parameters: Parameters) -> Evaluation:
    if parameters.get("column_index") is not None:
        raise Unsure
    return Evaluation(parameters["column"] in rows.column_names)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise Unsure
    return value


#: How each kind is judged.
TABLE_JUDGES: dict[str, MakeJudge] = {
    "expect_column_max_to_be_between": _aggregate(lambda values: values.max()),
    "expect_column_mean_to_be_between": _aggregate(lambda values: values.mean(), of_floats=True),
    "expect_column_median_to_be_between": _aggregate(lambda values: values[~values.isnull()].median()),
    "expect_column_min_to_be_between": _aggregate(lambda values: values.min()),
    "expect_column_proportion_of_unique_values_to_be_between": _distinct(share=True),
    "expect_column_stdev_to_be_between": _aggregate(lambda values: values.std(), of_floats=True),
    "expect_column_sum_to_be_between": _aggregate(lambda values: values.sum()),
    "expect_column_to_exist": _of_table(_column_exists),
    "expect_column_unique_value_count_to_be_between": _distinct(share=False),
    "expect_table_column_count_to_equal": _of_table(_column_count_equals),
    "expect_table_columns_to_match_ordered_list": _of_table(_ordered_columns),
    "expect_table_row_count_to_be_between": _of_table(_row_count),
    "expect_table_row_count_to_equal": _of_table(_row_count_equals),
}
