"""One expectation of a suite, with what has to be known of it before it is evaluated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rescore.validation.gx_engine import Question, expectation_classes
from rescore.validation.report import Severity
from rescore.validation.suite import columns_of, condition_columns_of
from rescore.validation.wording import recorded

__all__ = ["Declared", "declare"]

#: These ask for names only; the values of columns nobody reads are not converted.
_NAMES_ONLY = {
    "expect_column_to_exist",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_table_columns_to_match_ordered_list",
    "expect_table_columns_to_match_set",
}
_ROW_COUNT_ONLY = {"expect_table_row_count_to_be_between", "expect_table_row_count_to_equal"}
#: These are about the NULLs themselves; every other expectation about a column leaves them out.
_ABOUT_NULLS = {
    "expect_column_values_to_be_null",
    "expect_column_values_to_not_be_null",
    "expect_column_proportion_of_non_null_values_to_be_between",
}
#: Their answer depends on what pandas makes of the whole column, to the last bit of a float.
_OF_FLOATS_AS_IN_PANDAS = {
    "expect_column_mean_to_be_between",
    "expect_column_stdev_to_be_between",
    "expect_column_value_z_scores_to_be_less_than",
}
#: Their answer depends on the type that pandas gives a column; a NULL makes no whole number a float.
_OF_TYPE = {
    "expect_column_type_to_be",
    "expect_column_values_to_be_in_type_list",
    "expect_column_values_to_be_of_type",
}
#: Whether a row fails these depends on that row alone, not on the rows beside it.
_ROW_BY_ROW = {
    "expect_column_value_lengths_to_be_between",
    "expect_column_value_lengths_to_equal",
    "expect_column_values_to_be_between",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_null",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_match_regex_list",
    "expect_column_values_to_match_strftime_format",
    "expect_column_values_to_not_be_in_set",
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_not_match_regex",
    "expect_column_values_to_not_match_regex_list",
    "expect_column_pair_values_a_to_be_greater_than_b",
    "expect_column_pair_values_to_be_equal",
    "expect_column_pair_values_to_be_in_set",
    "expect_multicolumn_sum_to_equal",
    "expect_select_column_values_to_be_unique_within_record",
}
#: Fields of every expectation that say nothing about the rows.
_NOT_ABOUT_ROWS = {
    *("id", "meta", "notes", "rendered_content", "severity", "result_format", "catch_exceptions", "windows"),
}


@dataclass(frozen=True)
class Declared:
    """One expectation, with what is asked of it again and again, as plain values.

    Attributes
    ----------
    kind : str
        Great Expectations' name of it.
    worded_as : str
        The known type that an own class narrows: it reads like that one.
    severity : {"critical", "warning", "info"}
        What a failure does.
    about, reads : list of str
        The columns it is about; those and the ones of its row condition.
    row_level : bool
        Whether it asks a question of every row.
    row_by_row : bool
        Whether each row can be judged without the others, so that many intervals can be at once.
    skips_nulls_of : list of str
        The columns of which it leaves out every row with a NULL, so that they need not be looked at.
    needs_every_column : bool
        Whether it may look at columns that it does not name.
    plain : bool
        Whether it is one of Great Expectations' own, without a row condition, and ``parameters`` are the very
        ones it was given.
    parameters : dict
        What it was called with, as JSON has it; a row condition as its text.
    """

    kind: str
    worded_as: str
    severity: Severity
    about: list[str]
    reads: list[str]
    row_level: bool
    row_by_row: bool
    skips_nulls_of: list[str]
    needs_every_column: bool
    plain: bool
    parameters: dict[str, Any]

    @property
    def subject(self) -> str | None:
        """The columns it is about, for people; None for the table."""
        return ", ".join(self.about) or None

    @property
    def names_only(self) -> bool:
        """Whether it looks at the columns' names and at no row."""
        return self.kind in _NAMES_ONLY

    def question(self, expectation: Any, names: Sequence[str]) -> Question:
        """What Great Expectations is to be asked about a table of these columns."""
        return Question(
            expectation,
            self.needs(names),
            tuple(self.skips_nulls_of),
            row_level=self.row_level,
            as_in_pandas=self.worded_as in _OF_FLOATS_AS_IN_PANDAS | _OF_TYPE,
            of_type=self.worded_as in _OF_TYPE,
        )

    def needs(self, names: Sequence[str]) -> tuple[str, ...]:
        """The columns it reads of those there are, in their order."""
        return (
            tuple(names) if self.needs_every_column else tuple(name for name in names if name in self.reads)
        )


def declare(expectation: Any) -> Declared:
    """Read what has to be known of an expectation off it."""
    own: Any = type(expectation)
    core = _core_class(expectation)
    # What an own class fixes is a default there, yet says as much as a parameter given.
    parameters = {
        name: getattr(expectation, name)
        for name in own.__fields__
        if name not in _NOT_ABOUT_ROWS
        and (name not in core.__fields__ or getattr(expectation, name) != core.__fields__[name].default)
    }
    kind = str(expectation.expectation_type)
    worded_as = str(core.expectation_type or own.expectation_type)
    about = columns_of(expectation)
    classes = expectation_classes()
    condition = parameters.get("row_condition")
    if condition is not None:
        parameters["row_condition"] = repr(condition)
    free_text = hasattr(condition, "pass_through_filter")
    kept = recorded(parameters)
    return Declared(
        kind=kind,
        worded_as=worded_as,
        severity=expectation.severity.value,
        about=about,
        reads=list(dict.fromkeys([*about, *condition_columns_of(expectation)])),
        row_level=isinstance(expectation, classes.row_level),
        row_by_row=worded_as in _ROW_BY_ROW
        and own._validate.__module__.startswith("great_expectations.")
        and own.map_metric == getattr(core, "map_metric", None)
        and parameters.get("mostly", 1) == 1
        and not free_text,
        skips_nulls_of=[]
        if kind != worded_as or worded_as in _ABOUT_NULLS | _OF_FLOATS_AS_IN_PANDAS or free_text
        else _skips_nulls_of(expectation, kind, about),
        needs_every_column=free_text
        or kind in _NAMES_ONLY
        or not (
            isinstance(expectation, (*classes.row_level, classes.column_aggregate)) or kind in _ROW_COUNT_ONLY
        ),
        plain=own is core and condition is None and repr(json.loads(json.dumps(kept))) == repr(parameters),
        parameters=kept,
    )


def _skips_nulls_of(expectation: Any, kind: str, about: list[str]) -> list[str]:
    if len(about) == 1 and kind not in _NAMES_ONLY:
        return about
    ignored = getattr(expectation, "ignore_row_if", None)
    return about if ignored in {"either_value_is_missing", "any_value_is_missing"} else []


def _core_class(expectation: Any) -> Any:
    return next(cls for cls in type(expectation).__mro__ if cls.__module__.startswith("great_expectations."))
