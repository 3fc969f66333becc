"""What the platform expects of every extract, checked on Arrow: keys, times, and values a model can score.

The source refuses bad keys and times before a table is frozen; they are recorded here again, for
an auditor reads the report and not our code. Arrow keeps NULL and NaN apart, pandas does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.spec import ModelSpec
from rescore.validation.report import ExpectationResult, Severity
from rescore.validation.wording import row_message

__all__ = ["BuiltInChecks", "check"]

_LARGEST_EXACT = 2**53


@dataclass
class BuiltInChecks:
    """The platform's results, and the rows that the model can't score.

    Attributes
    ----------
    results : list of ExpectationResult
        One per check.
    rejected : list of (ndarray of int64, str)
        Row positions and the reason that holds for them.
    """

    results: list[ExpectationResult] = field(default_factory=list)
    rejected: list[tuple[np.ndarray, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _ValueCheck:
    """A question asked of every value of some columns.

    ``reason`` says why a row is rejected; empty where a failure is only recorded.
    """

    kind: str
    severity: Severity
    fails: Callable[[pa.ChunkedArray], pa.ChunkedArray]
    what: str
    reason: str
    fine: str


def _missing(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # A NaN reaches the model as a missing value, like a NULL.
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))


def _if_float(test: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> Callable[..., pa.ChunkedArray]:
    """``test``, which is false of every value of another type."""
    return lambda column: test(column) if pa.types.is_floating(column.type) else pa.repeat(False, len(column))


def _inexact(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers that float64, in which a model computes, may not hold as they are."""
    if not pa.types.is_int64(column.type):
        return pa.repeat(False, len(column))
    return pc.or_(pc.greater(column, _LARGEST_EXACT), pc.less(column, -_LARGEST_EXACT))


_REQUIRED = _ValueCheck(
    "expect_column_values_to_not_be_null", "warning", _missing, "missing though required: rejected",
    "{} is required and missing", "none of the {} required features is missing",
)  # fmt: skip
_FINITE = _ValueCheck(
    "expect_column_values_to_be_finite", "warning", _if_float(pc.is_inf), "infinite: rejected",
    "{} is infinite", "none of the {} numeric features is infinite",
)  # fmt: skip
_EXACT = _ValueCheck(
    "expect_column_values_to_be_between", "warning", _inexact,
    "beyond 2**53, too large to be exact: rejected", "{} is too large to be exact (beyond 2**53)",
    "none of the {} numeric features is too large to be exact",
)  # fmt: skip
_NOT_A_NUMBER = _ValueCheck(
    "expect_column_values_to_not_be_nan", "info", _if_float(pc.is_nan),
    "NaN, not NULL; the model takes both for missing", "", "none of the {} numeric features is NaN",
)  # fmt: skip


def check(table: pa.Table, spec: ModelSpec) -> BuiltInChecks:
    """Run every built-in check; columns that are absent fail the first check and are skipped after.

    Parameters
    ----------
    table : pa.Table
        An extract of one interval.
    spec : ModelSpec
        The model.
    """
    checks = BuiltInChecks([_columns(table, spec), _row_count(table, spec)])
    key = list(spec.source.key)
    checks.results += [
        _rows_result(
            table, "expect_column_values_to_not_be_null", name, "critical",
            table.column(name).null_count, "missing",
        )
        for name in [*key, spec.source.event_time]
        if name in table.column_names
    ]  # fmt: skip
    if set(key) <= set(table.column_names):
        checks.results.append(_unique(table, key))
    numeric = [feature.name for feature in spec.features if feature.kind == "numeric"]
    required = [feature.name for feature in spec.features if feature.required]
    for names, question in (
        (required, _REQUIRED),
        (numeric, _FINITE),
        (numeric, _NOT_A_NUMBER),
    ):
        if names:
            checks.results += _check_values(table, names, question, checks.rejected)
    exact = _check_values(table, numeric, _EXACT, checks.rejected)
    checks.results += [one for one in exact if not one.success]  # so rare that nobody asks
    return checks


def _columns(table: pa.Table, spec: ModelSpec) -> ExpectationResult:
    expected, got = list(spec.input_columns), table.column_names
    message = f"columns are the {len(expected)} declared ones, in order"
    if got != expected:
        missing = [name for name in expected if name not in got]
        extra = [name for name in got if name not in expected]
        what = [f"missing {', '.join(missing)}"] if missing else []
        what += [f"not declared {', '.join(extra)}"] if extra else []
        message = f"columns differ from model.yaml: {'; '.join(what) or 'their order'}"
    return ExpectationResult(
        type="expect_table_columns_to_match_ordered_list",
        column=None,
        severity="critical",
        success=got == expected,
        message=message,
        observed=got,
        origin="platform",
    )


def _row_count(table: pa.Table, spec: ModelSpec) -> ExpectationResult:
    empty_is_fine = spec.schedule.empty == "publish"
    rows = table.num_rows
    message = f"{rows:,} rows"
    if not rows:
        message = "no row at all" + (" (schedule.empty: publish allows it)" if empty_is_fine else "")
    return ExpectationResult(
        type="expect_table_row_count_to_be_between",
        column=None,
        severity="critical",
        success=rows > 0 or empty_is_fine,
        message=message,
        observed=rows,
        origin="platform",
        parameters={"min_value": 0 if empty_is_fine else 1},
    )


def _unique(table: pa.Table, key: list[str]) -> ExpectationResult:
    repeated = 0
    if not _strictly_increasing(table, key):
        repeated = table.num_rows - table.select(key).group_by(key).aggregate([]).num_rows
    kind = "expect_column_values_to_be_unique" if len(key) == 1 else "expect_compound_columns_to_be_unique"
    what = "with the key of another row" if repeated else "with a key that occurs twice"
    return _rows_result(table, kind, ", ".join(key), "critical", repeated, what)


def _strictly_increasing(table: pa.Table, key: list[str]) -> bool:
    """Whether each row's key is above the one before, which proves that keys are unique.

    Rows come in key order, so this is nearly always the answer and needs no hash table. Arrow
    compares text by its UTF-8 bytes, as ``COLLATE "C"`` does.
    """
    rows = table.num_rows
    if rows < 2:
        return True
    undecided = np.ones(rows - 1, dtype=bool)
    for name in key:
        column = table.column(name)
        if column.null_count:
            return False
        below, above = column.slice(0, rows - 1), column.slice(1)
        increases = pc.less(below, above).to_numpy()
        equal = pc.equal(below, above).to_numpy()
        if bool((undecided & ~increases & ~equal).any()):
            return False
        undecided &= equal
    return not undecided.any()


def _check_values(
    table: pa.Table, names: list[str], question: _ValueCheck, rejected: list[tuple[np.ndarray, str]]
) -> Iterator[ExpectationResult]:
    """One result for each column with a value that fails; one for all where there is none."""
    clean = True
    for name in names:
        if name not in table.column_names:
            continue
        positions = np.flatnonzero(pc.fill_null(question.fails(table.column(name)), False).to_numpy(False))
        if not len(positions):
            continue
        clean = False
        if question.reason:
            rejected.append((positions, question.reason.format(name)))
        yield _rows_result(table, question.kind, name, question.severity, len(positions), question.what)
    if clean:
        yield ExpectationResult(
            type=question.kind,
            column=None,
            severity=question.severity,
            success=True,
            message=question.fine.format(len(names)),
            origin="platform",
        )


def _rows_result(
    table: pa.Table, kind: str, column: str, severity: Severity, unexpected: int, what: str
) -> ExpectationResult:
    rows = table.num_rows
    return ExpectationResult(
        type=kind,
        column=column,
        severity=severity,
        success=not unexpected,
        message=row_message(column, rows, unexpected, what, [], None),
        unexpected_count=unexpected,
        unexpected_fraction=unexpected / rows if rows else 0.0,
        origin="platform",
    )
