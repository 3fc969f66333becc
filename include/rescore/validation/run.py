"""Validation of a frozen table: the platform's checks, then the model's suite, then who is set aside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.folder import ModelFolder
from rescore.spec import ModelSpec
from rescore.validation import builtin_checks as builtin
from rescore.validation.gx_engine import Evaluation, evaluate, expectation_classes, is_row_level
from rescore.validation.report import ExpectationResult, ValidationReport, join_reasons
from rescore.validation.suite import columns_of, condition_columns_of, load_suite
from rescore.validation.wording import aggregate_message, failing, jsonable, row_message

__all__ = ["validate"]

#: Failing rows looked at for examples, and distinct examples shown.
_LOOK_AT, _SHOW = 1000, 3

#: These ask for names only; the values of columns nobody reads are not converted.
_NAMES_ONLY = {
    "expect_column_to_exist",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_table_columns_to_match_ordered_list",
    "expect_table_columns_to_match_set",
}
#: Fields of every expectation that say nothing about the rows.
_NOT_ABOUT_ROWS = {
    *("id", "meta", "notes", "rendered_content", "severity", "result_format", "catch_exceptions", "windows"),
}
_ROWS_ONLY = {"expect_table_row_count_to_be_between", "expect_table_row_count_to_equal"}


@dataclass(frozen=True)
class _Declared:
    """One expectation of the suite, with what is asked of it again and again."""

    expectation: Any
    worded_as: str
    about: list[str]
    reads: list[str]
    row_level: bool
    parameters: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.expectation.expectation_type)

    @property
    def subject(self) -> str | None:
        return ", ".join(self.about) or None


def validate(table: pa.Table, folder: ModelFolder) -> ValidationReport:
    """Check a table against the platform's expectations and the model's own suite.

    A row is *rejected* if a ``required`` feature is missing or a numeric one infinite: the model
    can't score it. It is *quarantined* if it fails a row-level expectation of severity
    ``warning`` that was not met; an expectation that is met within its ``mostly`` quarantines
    nothing. Severity ``critical`` is for :func:`rescore.validation.gate` to act on; ``info`` and
    failures that are not about rows are recorded only.

    Parameters
    ----------
    table : pa.Table
        The extract of one interval (exactly ``folder.spec.input_columns``), or a training
        snapshot. In a snapshot, expectations about a column or the table as a whole are
        evaluated interval by interval, for that is what their author declared them for, and must
        be met in each.
    folder : ModelFolder
        The model.

    Returns
    -------
    ValidationReport
        Positions are row indices of ``table``.

    Raises
    ------
    SpecError
        ``expectations.py`` is wrong; see :func:`load_suite`.
    """
    suite = load_suite(folder)
    declared = [_declare(expectation) for expectation in suite.expectations]
    found = builtin.check(table, folder.spec)
    results, quarantined = list(found.results), []
    for one, evaluation in zip(declared, _evaluate(table, declared), strict=True):
        result = _judge(one, evaluation, table, folder.spec)
        results.append(result)
        if not result.success and result.severity == "warning" and evaluation.positions is not None:
            reason = f"{one.subject} {failing(one.worded_as, one.parameters)}"
            quarantined.append((evaluation.positions, reason))
    rejected = join_reasons(found.rejected)
    reasons = join_reasons(quarantined)
    return ValidationReport.of(
        table.num_rows,
        tuple(results),
        quarantined={position: reasons[position] for position in reasons if position not in rejected},
        rejected=rejected,
        allowed_fraction=folder.spec.validation.max_quarantined_fraction,
    )


def _declare(expectation: Any) -> _Declared:
    own: Any = type(expectation)
    core = next(cls for cls in own.__mro__ if cls.__module__.startswith("great_expectations."))
    # What an own class fixes is a default there, yet says as much as a parameter given.
    parameters = {
        name: getattr(expectation, name)
        for name in own.__fields__
        if name not in _NOT_ABOUT_ROWS
        and (name not in core.__fields__ or getattr(expectation, name) != core.__fields__[name].default)
    }
    about = columns_of(expectation)
    return _Declared(
        expectation,
        # An own class that narrows a known one reads like the known one.
        worded_as=str(core.expectation_type or own.expectation_type),
        about=about,
        reads=list(dict.fromkeys([*about, *condition_columns_of(expectation)])),
        row_level=is_row_level(expectation),
        parameters=parameters,
    )


def _evaluate(table: pa.Table, declared: list[_Declared]) -> list[Evaluation]:
    """Evaluate what can be evaluated; what needs a column that is not there fails with an error."""
    found: dict[int, Evaluation] = {}
    whole: list[int] = []
    for number, one in enumerate(declared):
        absent = [name for name in one.reads if name not in table.column_names]
        if absent:
            found[number] = Evaluation(False, error=f"the table has no column {', '.join(absent)}")
        elif not table.num_rows and one.about and one.kind not in _NAMES_ONLY:
            found[number] = Evaluation(True, positions=np.array([], dtype=np.int64))
        else:
            whole.append(number)
    if builtin.is_snapshot(table) and table.num_rows:
        by_interval = [number for number in whole if not declared[number].row_level]
        whole = [number for number in whole if declared[number].row_level]
        found |= _interval_by_interval(table, {number: declared[number] for number in by_interval})
    found |= _run(table, {number: declared[number] for number in whole})
    return [found[number] for number in range(len(declared))]


def _run(table: pa.Table, declared: dict[int, _Declared]) -> dict[int, Evaluation]:
    found: dict[int, Evaluation] = {}
    names = {number for number, one in declared.items() if one.kind in _NAMES_ONLY}
    for numbers, rows in ((names, table.slice(0, 0)), (declared.keys() - names, table)):
        ordered = sorted(numbers)
        wanted = [(declared[number].expectation, _needs(declared[number], table)) for number in ordered]
        if wanted:
            found |= dict(zip(ordered, evaluate(rows, wanted), strict=True))
    return found


def _needs(one: _Declared, table: pa.Table) -> list[str]:
    """The columns an expectation reads, in the table's order."""
    if one.kind in _ROWS_ONLY and not one.reads:
        return []
    classes = expectation_classes()
    about_columns = isinstance(one.expectation, (*classes.row_level, classes.column_aggregate))
    condition = getattr(one.expectation, "row_condition", None)
    readable = condition is None or not hasattr(condition, "pass_through_filter")
    if about_columns and readable and one.kind not in _NAMES_ONLY:
        return [name for name in table.column_names if name in one.reads]
    return list(table.column_names)


def _interval_by_interval(table: pa.Table, declared: dict[int, _Declared]) -> dict[int, Evaluation]:
    """Evaluate on each interval of a snapshot; the first interval that fails speaks for all."""
    found: dict[int, Evaluation] = {}
    if not declared:
        return found
    starts = table.column("interval_start")
    for start in pc.unique(starts).sort():
        rows = table.filter(pc.equal(starts, start))
        part = f"the interval from {jsonable(start.as_py())}"
        for number, evaluation in _run(rows, declared).items():
            if number not in found or (found[number].success and not evaluation.success):
                found[number] = replace(evaluation, part=None if evaluation.success else part)
    return found


def _judge(one: _Declared, evaluation: Evaluation, table: pa.Table, spec: ModelSpec) -> ExpectationResult:
    severity = one.expectation.severity.value
    rows, message = table.num_rows, ""
    unexpected = 0
    if evaluation.error is not None:
        where = f"{one.subject}: " if one.subject else ""
        message = (
            f"{where}'{one.kind}' could not be evaluated: {evaluation.error} "
            f"(declared {severity}; what can't be checked blocks the run)"
        )
        severity = "critical"
    elif evaluation.positions is not None:
        unexpected = len(evaluation.positions)
        message = row_message(
            one.subject or "table",
            rows,
            unexpected,
            failing(one.worded_as, one.parameters),
            _examples(one, evaluation.positions, table, spec),
            one.parameters.get("mostly"),
        )
    else:
        message = aggregate_message(one.worded_as, one.subject, evaluation.observed, one.parameters)
    if evaluation.part is not None:
        message += f", in {evaluation.part}"
    description = one.parameters.get("description")
    if description:
        message += f" — {description}"
    return ExpectationResult(
        type=one.kind,
        column=one.subject,
        severity=severity,
        success=evaluation.success,
        observed=jsonable(evaluation.observed),
        unexpected_count=unexpected,
        unexpected_fraction=unexpected / rows if rows else 0.0,
        message=message,
        parameters=_recorded(one.parameters),
        error=evaluation.error,
    )


def _recorded(parameters: dict[str, Any]) -> dict[str, Any]:
    condition = parameters.get("row_condition")
    shown = {**parameters, "row_condition": repr(condition)} if condition is not None else parameters
    recorded: dict[str, Any] = jsonable(shown)
    return recorded


def _examples(one: _Declared, positions: np.ndarray, table: pa.Table, spec: ModelSpec) -> list[str]:
    """A few distinct values of failing rows, in row order; never of columns that may name a person."""
    free_text = {feature.name for feature in spec.features if feature.kind == "text"}
    personal = {*spec.source.key, *spec.source.subject, *free_text}
    if not len(positions) or not one.about or personal & set(one.about):
        return []
    rows = table.select(one.about).take(pa.array(positions[:_LOOK_AT])).to_pylist()
    shown = ["/".join(_shown(row[name]) for name in one.about) for row in rows]
    if set(shown) == {"missing"}:
        return []
    return list(dict.fromkeys(shown))[:_SHOW]


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    text = f"{value:.7g}" if isinstance(value, float) else str(jsonable(value))
    return text if len(text) <= 40 else f"{text[:37]}…"
