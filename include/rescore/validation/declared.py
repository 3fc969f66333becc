"""One expectation of a suite, with what has to be known of it before it is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rescore.validation.gx_engine import Question, expectation_classes
from rescore.validation.suite import columns_of, condition_columns_of

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
    """One expectation, with what is asked of it again and again.

    Attributes
    ----------
    expectation : great_expectations Expectation
        As the suite has it.
    worded_as : str
        The known type that an own class narrows: it reads like that one.
    about, reads : list of str
        The columns it is about; those and the ones of its row condition.
    row_level : bool
        Whether it asks a question of every row.
    parameters : dict
        What it was called with.
    """

    expectation: Any
    worded_as: str
    about: list[str]
    reads: list[str]
    row_level: bool
    parameters: dict[str, Any]

    @property
    def kind(self) -> str:
        """Great Expectations' name of it."""
        return str(self.expectation.expectation_type)

    @property
    def subject(self) -> str | None:
        """The columns it is about, for people; None for the table."""
        return ", ".join(self.about) or None

    @property
    def names_only(self) -> bool:
        """Whether it looks at the columns' names and at no row."""
        return self.kind in _NAMES_ONLY

    @cached_property
    def _condition_is_free_text(self) -> bool:
        return hasattr(self.parameters.get("row_condition"), "pass_through_filter")

    @cached_property
    def row_by_row(self) -> bool:
        """Whether each row can be judged without the others, so that many intervals can be at once."""
        return (
            self.worded_as in _ROW_BY_ROW
            and type(self.expectation)._validate.__module__.startswith("great_expectations.")
            and type(self.expectation).map_metric
            == getattr(_core_class(self.expectation), "map_metric", None)
            and self.parameters.get("mostly", 1) == 1
            and not self._condition_is_free_text
        )

    @cached_property
    def skips_nulls_of(self) -> list[str]:
        """The columns of which it leaves out every row with a NULL, so that they need not be looked at."""
        if self.kind != self.worded_as or self.worded_as in _ABOUT_NULLS or self._condition_is_free_text:
            return []
        if len(self.about) == 1 and not self.names_only:
            return self.about
        ignored = getattr(self.expectation, "ignore_row_if", None)
        return self.about if ignored in {"either_value_is_missing", "any_value_is_missing"} else []

    def question(self, names: Sequence[str]) -> Question:
        """What Great Expectations is to be asked about a table of these columns."""
        return Question(self.expectation, self._needs(names), tuple(self.skips_nulls_of), self.row_level)

    def _needs(self, names: Sequence[str]) -> tuple[str, ...]:
        """The columns it reads of those there are, in their order."""
        if self.kind in _ROW_COUNT_ONLY and not self.reads:
            return ()
        classes = expectation_classes()
        about_columns = isinstance(self.expectation, (*classes.row_level, classes.column_aggregate))
        if about_columns and not self._condition_is_free_text and not self.names_only:
            return tuple(name for name in names if name in self.reads)
        return tuple(names)


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
    about = columns_of(expectation)
    return Declared(
        expectation,
        worded_as=str(core.expectation_type or own.expectation_type),
        about=about,
        reads=list(dict.fromkeys([*about, *condition_columns_of(expectation)])),
        row_level=isinstance(expectation, expectation_classes().row_level),
        parameters=parameters,
    )


def _core_class(expectation: Any) -> Any:
    return next(cls for cls in type(expectation).__mro__ if cls.__module__.startswith("great_expectations."))
