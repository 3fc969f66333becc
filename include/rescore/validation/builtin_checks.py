"""What the platform expects of every table, checked on Arrow: keys, times, and values a model can score.

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

__all__ = ["SNAPSHOT_COLUMNS", "BuiltIn", "check", "is_snapshot"]

#: What a training snapshot has in front of an extract's columns.
SNAPSHOT_COLUMNS = ("interval_start", "interval_end")

_Finding = tuple[np.ndarray, str]


@dataclass
class BuiltIn:
    """The platform's results, and the rows that the model can't score.

    Attributes
    ----------
    results : list of ExpectationResult
        One per check.
    rejected : list of (ndarray of int, str)
        Row positions and the reason that holds for them.
    """

    results: list[ExpectationResult] = field(default_factory=list)
    rejected: list[_Finding] = field(default_factory=list)


def is_snapshot(table: pa.Table) -> bool:
    """Whether the table is a training snapshot rather than the extract of one interval."""
    return tuple(table.column_names[: len(SNAPSHOT_COLUMNS)]) == SNAPSHOT_COLUMNS


def check(table: pa.Table, spec: ModelSpec) -> BuiltIn:
    """Run every built-in check; columns that are absent fail the first check and are skipped after.

    Parameters
    ----------
    table : pa.Table
        An extract (``spec.input_columns``) or a training snapshot (``interval_start``,
        ``interval_end``, ``spec.input_columns``, target).
    spec : ModelSpec
        The model.
    """
    found = BuiltIn()
    snapshot = is_snapshot(table)
    found.results.append(_columns(table, spec, snapshot=snapshot))
    found.results.append(_row_count(table, spec, snapshot=snapshot))
    key = ["interval_start", *spec.source.key] if snapshot else list(spec.source.key)
    never_null = [*key, spec.source.event_time, *([spec.target.name] if snapshot else [])]
    present = set(table.column_names)
    for name in never_null:
        if name in present:
            found.results.append(_never_null(table, name))
    if present.issuperset(key):
        found.results.append(_unique(table, key))
    _required(table, spec, found)
    _finite(table, spec, found)
    _not_a_number(table, spec, found)
    return found


def _columns(table: pa.Table, spec: ModelSpec, *, snapshot: bool) -> ExpectationResult:
    expected = list(spec.input_columns)
    if snapshot:
        expected = [*SNAPSHOT_COLUMNS, *expected, spec.target.name]
    got = table.column_names
    message = f"columns are the {len(expected)} declared ones, in order"
    if got != expected:
        missing = [name for name in expected if name not in got]
        extra = [name for name in got if name not in expected]
        what = [f"missing {', '.join(missing)}"] if missing else []
        what += [f"not declared {', '.join(extra)}"] if extra else []
        message = f"columns differ from model.yaml: {'; '.join(what) or 'their order'}"
    return _result(
        "expect_table_columns_to_match_ordered_list",
        None,
        "critical",
        success=got == expected,
        message=message,
        observed=got,
    )


def _row_count(table: pa.Table, spec: ModelSpec, *, snapshot: bool) -> ExpectationResult:
    empty_is_fine = spec.schedule.empty == "publish" and not snapshot
    rows = table.num_rows
    message = f"{rows:,} rows"
    if not rows:
        message = "no row at all" + (" (schedule.empty: publish allows it)" if empty_is_fine else "")
    return _result(
        "expect_table_row_count_to_be_between",
        None,
        "critical",
        success=rows > 0 or empty_is_fine,
        message=message,
        observed=rows,
        parameters={"min_value": 0 if empty_is_fine else 1},
    )


def _never_null(table: pa.Table, name: str) -> ExpectationResult:
    return _row_result(
        table,
        "expect_column_values_to_not_be_null",
        name,
        "critical",
        table.column(name).null_count,
        "missing",
    )


def _unique(table: pa.Table, key: list[str]) -> ExpectationResult:
    rows = table.num_rows
    repeated = 0
    if not _strictly_increasing(table, key):
        repeated = rows - table.select(key).group_by(key).aggregate([]).num_rows
    kind = "expect_column_values_to_be_unique" if len(key) == 1 else "expect_compound_columns_to_be_unique"
    what = "with the key of another row" if repeated else "with a key that occurs twice"
    return _row_result(table, kind, ", ".join(key), "critical", repeated, what)


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


def _required(table: pa.Table, spec: ModelSpec, found: BuiltIn) -> None:
    required = [feature.name for feature in spec.features if feature.required]

    def missing(column: pa.ChunkedArray) -> pa.ChunkedArray:
        # A NaN reaches the model as a missing value, like a NULL.
        return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))

    if required:
        found.results += _scan(
            table,
            required,
            missing,
            found.rejected,
            kind="expect_column_values_to_not_be_null",
            severity="warning",
            what="missing though required: rejected",
            reason="{} is required and missing",
            fine=f"none of the {len(required)} required features is missing",
        )


def _finite(table: pa.Table, spec: ModelSpec, found: BuiltIn) -> None:
    numeric = [feature.name for feature in spec.features if feature.kind == "numeric"]
    if numeric:
        found.results += _scan(
            table,
            numeric,
            pc.is_inf,
            found.rejected,
            kind="expect_column_values_to_be_finite",
            severity="warning",
            what="infinite: rejected",
            reason="{} is infinite",
            fine=f"none of the {len(numeric)} numeric features is infinite",
        )


def _not_a_number(table: pa.Table, spec: ModelSpec, found: BuiltIn) -> None:
    numeric = [feature.name for feature in spec.features if feature.kind == "numeric"]
    if numeric:
        found.results += _scan(
            table,
            numeric,
            pc.is_nan,
            None,
            kind="expect_column_values_to_not_be_nan",
            severity="info",
            what="NaN, not NULL; the model takes both for missing",
            reason="",
            fine=f"none of the {len(numeric)} numeric features is NaN",
        )


def _scan(
    table: pa.Table,
    names: list[str],
    test: Callable[[pa.ChunkedArray], pa.ChunkedArray],
    rejected: list[_Finding] | None,
    *,
    kind: str,
    severity: Severity,
    what: str,
    reason: str,
    fine: str,
) -> Iterator[ExpectationResult]:
    """One result for each column with a row that ``test`` is true of; one for all where there is none."""
    clean = True
    for name in names:
        if name not in table.column_names:
            continue
        column = table.column(name)
        if kind != "expect_column_values_to_not_be_null" and not pa.types.is_floating(column.type):
            continue
        positions = np.flatnonzero(pc.fill_null(test(column), False).to_numpy())
        if not len(positions):
            continue
        clean = False
        if rejected is not None:
            rejected.append((positions, reason.format(name)))
        yield _row_result(table, kind, name, severity, len(positions), what)
    if clean:
        yield _result(kind, None, severity, success=True, message=fine)


def _row_result(
    table: pa.Table, kind: str, column: str, severity: Severity, unexpected: int, what: str
) -> ExpectationResult:
    rows = table.num_rows
    return _result(
        kind,
        column,
        severity,
        success=not unexpected,
        message=row_message(column, rows, unexpected, what, [], None),
        unexpected=unexpected,
        fraction=unexpected / rows if rows else 0.0,
    )


def _result(
    kind: str,
    column: str | None,
    severity: Severity,
    *,
    success: bool,
    message: str,
    observed: object = None,
    parameters: dict[str, object] | None = None,
    unexpected: int = 0,
    fraction: float = 0.0,
) -> ExpectationResult:
    return ExpectationResult(
        type=kind,
        column=column,
        severity=severity,
        success=success,
        observed=observed,
        unexpected_count=unexpected,
        unexpected_fraction=fraction,
        message=message,
        origin="platform",
        parameters=parameters or {},
    )
