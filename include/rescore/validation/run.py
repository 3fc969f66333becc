"""Validation of frozen rows: the platform's checks, then the model's suite, then who is set aside."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from rescore.folder import ModelFolder
from rescore.spec import ModelSpec
from rescore.validation import arrow_engine
from rescore.validation.builtin_checks import BuiltInChecks
from rescore.validation.declared import Declared
from rescore.validation.declared_suite import HERE, DeclaredSuite, Suites
from rescore.validation.gx_engine import Evaluation
from rescore.validation.report import ExpectationResult, Validation, join_reasons
from rescore.validation.rows import Observer, Rows
from rescore.validation.wording import aggregate_message, failing, recorded, row_message

__all__ = ["validate", "validate_each"]

#: Failing rows looked at for examples, and distinct examples shown.
_MAX_ROWS_FOR_EXAMPLES, _MAX_EXAMPLES = 1000, 3
_NO_ROW = np.array([], dtype=np.int64)
#: What these observe is a number of rows or values, a share, or a name of a column.
_NAME_NOBODY = {
    "expect_column_proportion_of_non_null_values_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_to_exist",
    "expect_column_unique_value_count_to_be_between",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_table_columns_to_match_ordered_list",
    "expect_table_columns_to_match_set",
    "expect_table_row_count_to_be_between",
    "expect_table_row_count_to_equal",
}


def validate(rows: Rows, folder: ModelFolder, *, suites: Suites = HERE) -> Validation:
    """Check the rows of one interval against the platform's expectations and the model's own suite.

    A row is *rejected* if a ``required`` feature is missing or a numeric one infinite: the model
    can't score it. It is *quarantined* if it fails a row-level expectation of severity
    ``warning`` that was not met; an expectation that is met within its ``mostly`` quarantines
    nothing. Severity ``critical`` is for :func:`rescore.validation.gate` to act on; ``info`` and
    failures that are not about rows are recorded only.

    Parameters
    ----------
    rows : Rows
        The extract of one interval (exactly ``folder.spec.input_columns``): a table, or the table in a frozen
        file, whose rows are then read once, a leaf at a time, and proved by that.
    folder : ModelFolder
        The model.
    suites : Suites, optional
        Where ``expectations.py`` runs, and where suites that were read are kept. Default: it runs here.

    Returns
    -------
    Validation
        Positions are row indices of ``rows``.

    Raises
    ------
    SpecError
        ``expectations.py`` is wrong; see :func:`load_suite`.
    """
    with suites.of(folder) as suite:
        return _judge(rows, folder.spec, suite, {})


def validate_each(
    tables: Sequence[pa.Table], folder: ModelFolder, *, suites: Suites = HERE
) -> list[Validation]:
    """Check the rows of many intervals, each by itself, as :func:`validate` does.

    What judges every row without the others is evaluated on all intervals at once, since starting
    Great Expectations on a table costs more than a thousand rows of it.

    Parameters
    ----------
    tables : sequence of pa.Table
        The extracts, of the same columns.
    folder : ModelFolder
        The model.
    suites : Suites, optional
        As for :func:`validate`.

    Returns
    -------
    list of Validation
        One for each table, in their order; what ``validate`` of that table alone gives.
    """
    with suites.of(folder) as suite:
        together = _evaluate_together(tables, suite) if len(tables) > 1 else [{} for _ in tables]
        return [
            _judge(table, folder.spec, suite, evaluations)
            for table, evaluations in zip(tables, together, strict=True)
        ]


def _ask(
    rows: Rows, suite: DeclaredSuite, numbers: Sequence[int], beside: Sequence[Observer] = ()
) -> dict[int, Evaluation]:
    """Evaluate expectations by number: on Arrow where that is the same, else Great Expectations does."""
    plain = [number for number in numbers if suite.declared[number].plain]
    questions = [(suite.declared[number].kind, suite.declared[number].parameters) for number in plain]
    answers = dict(zip(plain, arrow_engine.evaluate(rows, questions, beside), strict=True))
    evaluations = {number: answer for number, answer in answers.items() if answer is not None}
    left = [number for number in numbers if number not in evaluations]
    if left:
        evaluations |= dict(zip(left, suite.ask(rows, left), strict=True))
    return evaluations


def _evaluate_together(tables: Sequence[pa.Table], suite: DeclaredSuite) -> list[dict[int, Evaluation]]:
    """Evaluate on all tables at once what judges row by row; for each table, by number, what it says."""
    whole = pa.concat_tables(tables)
    names = whole.column_names
    numbers = [
        number for number, one in enumerate(suite.declared) if one.row_by_row and set(one.reads) <= set(names)
    ]
    bounds = np.cumsum([0, *(table.num_rows for table in tables)])
    shares: list[dict[int, Evaluation]] = [{} for _ in tables]
    for number, evaluation in _ask(whole, suite, numbers).items():
        if evaluation.positions is None:  # an error, perhaps of one table's rows: each is asked by itself
            continue
        cuts = np.searchsorted(evaluation.positions, bounds)
        for share, start, first, last in zip(shares, bounds, cuts, cuts[1:], strict=False):
            share[number] = Evaluation(first == last, positions=evaluation.positions[first:last] - start)
    return shares


def _evaluate(
    rows: Rows, suite: DeclaredSuite, done: Collection[int], checks: BuiltInChecks
) -> dict[int, Evaluation]:
    """Evaluate the rest on one table; what needs a column that is not there fails with an error."""
    evaluations: dict[int, Evaluation] = {}
    on_names: list[int] = []
    on_rows: list[int] = []
    for number, one in enumerate(suite.declared):
        absent = [name for name in one.reads if name not in rows.column_names]
        if number in done:
            continue
        if absent:
            evaluations[number] = Evaluation(False, error=f"the table has no column {', '.join(absent)}")
        elif one.names_only:
            on_names.append(number)
        elif not rows.num_rows and one.about:
            evaluations[number] = Evaluation(True, positions=_NO_ROW)
        else:
            on_rows.append(number)
    # All rows pass by here, and nowhere else.
    evaluations |= _ask(rows, suite, on_rows, beside=[checks])
    return evaluations | _ask(rows.schema.empty_table(), suite, on_names)


def _judge(rows: Rows, spec: ModelSpec, suite: DeclaredSuite, done: Mapping[int, Evaluation]) -> Validation:
    """Turn what is evaluated into results, and into a reason for each row that is set aside."""
    checks = BuiltInChecks(rows.schema, spec)
    evaluations = {**done, **_evaluate(rows, suite, done.keys(), checks)}
    results, quarantined = checks.results(rows), []
    for number, one in enumerate(suite.declared):
        positions = evaluations[number].positions
        result = _result(one, evaluations[number], rows, spec)
        results.append(result)
        if not result.success and result.severity == "warning" and positions is not None:
            quarantined.append((positions, f"{one.subject} {failing(one.worded_as, one.parameters)}"))
    rejected = join_reasons(checks.rejected)
    reasons = join_reasons(quarantined)
    return Validation(
        rows.num_rows,
        tuple(results),
        quarantined={position: reasons[position] for position in reasons if position not in rejected},
        rejected=rejected,
        allowed_fraction=spec.validation.max_quarantined_fraction,
    )


def _result(one: Declared, evaluation: Evaluation, rows: Rows, spec: ModelSpec) -> ExpectationResult:
    evaluation = _naming_nobody(one, evaluation, spec)
    severity = one.severity
    count = rows.num_rows
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
            count,
            unexpected,
            failing(one.worded_as, one.parameters),
            _examples(one, evaluation.positions, rows, spec),
            one.parameters.get("mostly"),
        )
    else:
        message = aggregate_message(one.worded_as, one.subject, evaluation.observed, one.parameters)
    description = one.parameters.get("description")
    if description:
        message += f" — {description}"
    return ExpectationResult(
        type=one.kind,
        column=one.subject,
        severity=severity,
        success=evaluation.success,
        observed=recorded(evaluation.observed),
        unexpected_count=unexpected,
        unexpected_fraction=unexpected / count if count else 0.0,
        message=message,
        parameters=one.parameters,
        error=evaluation.error,
    )


def _personal(spec: ModelSpec) -> set[str]:
    """The columns whose values may name a person: reports are kept, and no erasure looks into them."""
    free_text = {feature.name for feature in spec.features if feature.kind == "text"}
    return {*spec.source.key, *spec.source.subject, *free_text}


def _naming_nobody(one: Declared, evaluation: Evaluation, spec: ModelSpec) -> Evaluation:
    """The evaluation without what may be a person's value: most common ones, extremes, errors that quote."""
    # Without columns it is somebody's own class, which may have looked at any.
    names_nobody = one.about and not _personal(spec) & set(one.reads)
    if one.kind in _NAME_NOBODY or names_nobody:
        return evaluation
    observed = None if evaluation.observed is None else "not shown, for it may name a person"
    error = evaluation.error
    if error is not None:
        kind = re.match(r"[A-Za-z]*(Error|Exception)(?=: )", error)
        error = f"{kind[0] if kind else 'an error'}; what it said may quote a row and is not kept"
    return replace(evaluation, observed=observed, error=error)


def _examples(one: Declared, positions: np.ndarray, rows: Rows, spec: ModelSpec) -> list[str]:
    """A few distinct values of failing rows, in row order; never of columns that may name a person."""
    if not len(positions) or not one.about or _personal(spec) & set(one.about):
        return []
    failing = rows.select(one.about).take(pa.array(positions[:_MAX_ROWS_FOR_EXAMPLES])).to_pylist()
    shown = ["/".join(_shown(row[name]) for name in one.about) for row in failing]
    if set(shown) == {"missing"}:
        return []
    return list(dict.fromkeys(shown))[:_MAX_EXAMPLES]


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    text = f"{value:.7g}" if isinstance(value, float) else str(recorded(value))
    return text if len(text) <= 40 else f"{text[:37]}…"
