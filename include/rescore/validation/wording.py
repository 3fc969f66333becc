"""Expectations and what was observed, in words a newcomer understands.

Works on an expectation's type name and parameters; an unknown type gets a sentence made of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rescore.json_values import json_value
from rescore.shown_text import number_of

__all__ = ["aggregate_message", "failing", "percent", "recorded", "row_message"]

#: Values shown of a set or a list; the rest is counted.
MAX_VALUES = 8

Parameters = Mapping[str, Any]


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal; never "0.0 %" of something that occurs."""
    if 0 < fraction < 0.0005:
        return "under 0.1 %"
    return f"{100 * fraction:.1f} %"


def recorded(value: Any) -> Any:
    """What an expectation was asked or saw, as JSON has it; NaN and infinity as text."""
    return json_value(value, not_finite=str)


def failing(kind: str, parameters: Parameters) -> str:
    """What is true of a row that fails, like ``outside [0, 150]``."""
    describe = _FAILING.get(kind)
    text = describe(parameters) if describe else f"not as {_called(kind, parameters)} says"
    condition = parameters.get("row_condition")
    return f"{text} (where {condition})" if condition is not None else text


def row_message(
    subject: str, rows: int, unexpected: int, what: str, examples: list[str], mostly: float | None
) -> str:
    """The sentence of a row-level expectation."""
    if not unexpected:
        return f"{subject}: none of {number_of(rows, 'row')} {what}"
    text = f"{subject}: {unexpected:,} of {number_of(rows, 'row')} ({percent(unexpected / rows)}) {what}"
    if examples:
        text += f"; e.g. {', '.join(examples)}"
    if mostly is not None:
        text += f"; at least {percent(mostly)} of the rows with a value must be right"
    return text


def aggregate_message(kind: str, subject: str | None, observed: Any, parameters: Parameters) -> str:
    """The sentence of an expectation about a column or the table as a whole."""
    noun = _AGGREGATES.get(kind)
    shown = "no value" if observed is None else _one(observed)
    if noun and ("min_value" in parameters or "max_value" in parameters):
        text = f"{noun} is {shown}, expected {_within(parameters)}"
    else:
        text = f"{noun or _words(kind)}: {shown}, expected {_arguments(parameters) or 'no such thing'}"
    condition = parameters.get("row_condition")
    if condition is not None:
        text += f" (where {condition})"
    return f"{subject}: {text}" if subject else text


def _one(value: Any) -> str:
    value = recorded(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list):
        return _values(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_one(item)}" for key, item in value.items())
    return str(value)


def _bound(value: Any) -> str:
    value = recorded(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _values(values: Any) -> str:
    listed = recorded(values if values is not None else [])
    listed = listed if isinstance(listed, list) else [listed]
    shown = ", ".join(_bound(value) for value in listed[:MAX_VALUES])
    more = len(listed) - MAX_VALUES
    return "{" + shown + (f", and {more:,} more" if more > 0 else "") + "}"


def _interval(p: Parameters) -> str:
    left = "(" if p.get("strict_min") else "["
    right = ")" if p.get("strict_max") else "]"
    return f"{left}{_bound(p['min_value'])}, {_bound(p['max_value'])}{right}"


def _within(p: Parameters) -> str:
    low, high = p.get("min_value"), p.get("max_value")
    if low is not None and high is not None:
        return f"within {_interval(p)}"
    if low is not None:
        return f"{'more than' if p.get('strict_min') else 'at least'} {_bound(low)}"
    return f"{'less than' if p.get('strict_max') else 'at most'} {_bound(high)}"


def _outside(p: Parameters) -> str:
    low, high = p.get("min_value"), p.get("max_value")
    if low is not None and high is not None:
        return f"outside {_interval(p)}"
    if low is not None:
        return f"{'not above' if p.get('strict_min') else 'below'} {_bound(low)}"
    return f"{'not below' if p.get('strict_max') else 'above'} {_bound(high)}"


def _words(kind: str) -> str:
    return kind.removeprefix("expect_").removeprefix("column_").replace("_", " ")


#: Parameters that a message names elsewhere, or that say nothing about the data.
_NAMED = {"column", "column_A", "column_B", "column_list", "mostly", "row_condition", "condition_parser"}


def _arguments(parameters: Parameters) -> str:
    return ", ".join(f"{key}={_one(value)}" for key, value in parameters.items() if key not in _NAMED)


def _called(kind: str, parameters: Parameters) -> str:
    arguments = _arguments(parameters)
    return f"'{_words(kind)}'" + (f" ({arguments})" if arguments else "")


_FAILING: dict[str, Callable[[Parameters], str]] = {
    "expect_column_values_to_be_between": _outside,
    "expect_column_values_to_be_in_set": lambda p: f"not in {_values(p.get('value_set'))}",
    "expect_column_values_to_not_be_in_set": lambda p: f"in {_values(p.get('value_set'))}",
    "expect_column_values_to_not_be_null": lambda _: "missing",
    "expect_column_values_to_be_null": lambda _: "not missing",
    "expect_column_values_to_be_unique": lambda _: "not unique",
    "expect_compound_columns_to_be_unique": lambda _: "not unique together",
    "expect_select_column_values_to_be_unique_within_record": lambda _: "equal within the row",
    "expect_column_values_to_be_increasing": lambda _: "not above the row before",
    "expect_column_values_to_be_decreasing": lambda _: "not below the row before",
    "expect_column_values_to_match_regex": lambda p: f"not like /{p.get('regex')}/",
    "expect_column_values_to_not_match_regex": lambda p: f"like /{p.get('regex')}/",
    "expect_column_values_to_match_strftime_format": lambda p: f"not like {p.get('strftime_format')}",
    "expect_column_value_lengths_to_be_between": lambda p: f"with a length {_outside(p)}",
    "expect_column_value_lengths_to_equal": lambda p: f"with a length other than {p.get('value')}",
    "expect_column_values_to_be_of_type": lambda p: f"not of type {p.get('type_')}",
    "expect_column_values_to_be_in_type_list": lambda p: f"of no type in {_values(p.get('type_list'))}",
    "expect_column_value_z_scores_to_be_less_than": lambda p: (
        f"{_bound(p.get('threshold'))} or more standard deviations from the mean"
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": lambda p: (
        f"with {p['column_A']} {'below' if p.get('or_equal') else 'not above'} {p['column_B']}"
    ),
    "expect_column_pair_values_to_be_equal": lambda p: f"with {p['column_A']} other than {p['column_B']}",
    "expect_multicolumn_sum_to_equal": lambda p: f"with a sum other than {_bound(p.get('sum_total'))}",
}

_AGGREGATES = {
    "expect_column_min_to_be_between": "minimum",
    "expect_column_max_to_be_between": "maximum",
    "expect_column_mean_to_be_between": "mean",
    "expect_column_median_to_be_between": "median",
    "expect_column_stdev_to_be_between": "standard deviation",
    "expect_column_sum_to_be_between": "sum",
    "expect_column_unique_value_count_to_be_between": "number of distinct values",
    "expect_column_proportion_of_unique_values_to_be_between": "proportion of distinct values",
    "expect_column_proportion_of_non_null_values_to_be_between": "proportion of values not missing",
    "expect_table_row_count_to_be_between": "number of rows",
    "expect_table_row_count_to_equal": "number of rows",
    "expect_table_column_count_to_be_between": "number of columns",
    "expect_table_column_count_to_equal": "number of columns",
    "expect_table_columns_to_match_set": "columns",
    "expect_table_columns_to_match_ordered_list": "columns",
}
