"""What the platform expects of every extract, checked on Arrow: keys, times, and values a model can score.

The source refuses bad keys and times before a table is frozen; they are recorded here again, for
an auditor reads the report and not our code. Arrow keeps NULL and NaN apart, pandas does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.shown_text import number_of
from rescore.spec import ModelSpec
from rescore.validation.report import ExpectationResult, Severity
from rescore.validation.rows import EXACT, Rows
from rescore.validation.wording import row_message

__all__ = ["BuiltInChecks"]


@dataclass(frozen=True)
class _ValueCheck:
    """A question asked of every value of some columns.

    ``concerns`` says of which types. ``reason`` says why a row is rejected; empty where a failure is only
    recorded.
    """

    kind: str
    severity: Severity
    concerns: Callable[[pa.DataType], bool]
    fails: Callable[[pa.Array], pa.Array]
    what: str
    reason: str
    fine: str


def _missing(column: pa.Array) -> pa.Array:
    # A NaN reaches the model as a missing value, like a NULL.
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))


def _inexact(column: pa.Array) -> pa.Array:
    """Whole numbers that float64, in which a model computes, may not hold as they are."""
    return pc.or_(pc.greater(column, EXACT), pc.less(column, -EXACT))


_REQUIRED = _ValueCheck(
    "expect_column_values_to_not_be_null", "warning", lambda _: True, _missing,
    "missing though required: rejected", "{} is required and missing",
    "none of the {} required features is missing",
)  # fmt: skip
_FINITE = _ValueCheck(
    "expect_column_values_to_be_finite", "warning", pa.types.is_floating, pc.is_inf, "infinite: rejected",
    "{} is infinite", "none of the {} numeric features is infinite",
)  # fmt: skip
_EXACT = _ValueCheck(
    "expect_column_values_to_be_between", "warning", pa.types.is_int64, _inexact,
    "beyond 2**53, too large to be exact: rejected", "{} is too large to be exact (beyond 2**53)",
    "none of the {} numeric features is too large to be exact",
)  # fmt: skip
_NOT_A_NUMBER = _ValueCheck(
    "expect_column_values_to_not_be_nan", "info", pa.types.is_floating, pc.is_nan,
    "NaN, not NULL; the model takes both for missing", "", "none of the {} numeric features is NaN",
)  # fmt: skip


class _ValuesThatFail:
    """What was found so far of one question in one column."""

    def __init__(self, question: _ValueCheck) -> None:
        self._question = question
        self._positions: list[np.ndarray] = []
        self.count = 0

    def see(self, column: pa.Array, start: int) -> None:
        """Look at the next values, the first of them at position ``start``."""
        fails = pc.fill_null(self._question.fails(column), False)
        failing = pc.sum(fails).as_py()
        if failing:
            self.count += failing
            if self._question.reason:  # else nobody asks where
                self._positions.append(np.flatnonzero(fails.to_numpy(zero_copy_only=False)) + start)

    def positions(self) -> np.ndarray:
        """Where they are; of a question whose failures are only counted, nothing."""
        return np.concatenate(self._positions)


class BuiltInChecks:
    """Every built-in check, of rows that are shown to it a leaf at a time.

    Columns that are absent fail the first check and are skipped after.

    Parameters
    ----------
    schema : pa.Schema
        The columns of an extract of one interval.
    spec : ModelSpec
        The model.

    Attributes
    ----------
    names : list of str
        The columns that are looked at.
    rejected : list of (ndarray of int64, str)
        Once the results were asked for: positions of rows that the model can't score, and the reason.
    """

    def __init__(self, schema: pa.Schema, spec: ModelSpec) -> None:
        self._spec = spec
        self.rejected: list[tuple[np.ndarray, str]] = []
        numeric = [feature.name for feature in spec.features if feature.kind == "numeric"]
        required = [feature.name for feature in spec.features if feature.required]
        self._asked = [(_REQUIRED, required), (_FINITE, numeric), (_NOT_A_NUMBER, numeric), (_EXACT, numeric)]
        self._found = {
            (question.kind, name): _ValuesThatFail(question)
            for question, names in self._asked
            for name in names
            if name in schema.names and question.concerns(schema.field(name).type)
        }
        self._nulls = {name: 0 for name in [*spec.source.key, spec.source.event_time] if name in schema.names}
        has_key = set(spec.source.key) <= set(schema.names)
        self._order = _KeyOrder(spec.source.key) if has_key else None
        self.names = list(dict.fromkeys([*self._nulls, *(name for _, name in self._found)]))

    def see(self, leaf: pa.RecordBatch, start: int) -> None:
        """Look at the next rows, the first of them at position ``start``."""
        for name in self._nulls:
            self._nulls[name] += leaf.column(name).null_count
        if self._order:
            self._order.see(leaf)
        for (_, name), found in self._found.items():
            found.see(leaf.column(name), start)

    def results(self, rows: Rows) -> list[ExpectationResult]:
        """One result per check, once all of ``rows`` were seen."""
        spec = self._spec
        results = [_columns(rows, spec), _row_count(rows, spec)]
        results += [
            _rows_result(rows, "expect_column_values_to_not_be_null", name, "critical", missing, "missing")
            for name, missing in self._nulls.items()
        ]
        if self._order:
            results.append(_unique(rows, list(spec.source.key), self._order))
        for question, names in self._asked:
            found = list(self._values(rows, question, names))
            if question is _EXACT:
                found = [one for one in found if not one.success]  # so rare that nobody asks
            results += found
        return results

    def _values(self, rows: Rows, question: _ValueCheck, names: Sequence[str]) -> Iterator[ExpectationResult]:
        """One result for each column with a value that fails; one for all where there is none."""
        clean = True
        for name in names:
            found = self._found.get((question.kind, name))
            if found is None or not found.count:
                continue
            clean = False
            if question.reason:
                self.rejected.append((found.positions(), question.reason.format(name)))
            yield _rows_result(rows, question.kind, name, question.severity, found.count, question.what)
        if clean and names:
            yield ExpectationResult(
                type=question.kind,
                column=None,
                severity=question.severity,
                success=True,
                message=question.fine.format(len(names)),
                origin="platform",
            )


class _KeyOrder:
    """Whether each row's key is above the one before, which proves that keys are unique.

    Rows come in key order, so this is nearly always the answer and needs no hash table. Arrow
    compares text by its UTF-8 bytes, as ``COLLATE "C"`` does.
    """

    def __init__(self, key: Sequence[str]) -> None:
        self._key = key
        self._last: list[pa.Array] = []
        self.increases = True

    def see(self, leaf: pa.RecordBatch) -> None:
        """Look at the next rows."""
        columns = [leaf.column(name) for name in self._key]
        if self.increases and leaf.num_rows:
            self.increases = _strictly_increasing(columns) and (
                not self._last
                or _strictly_increasing(
                    [
                        pa.concat_arrays([last, column.slice(0, 1)])
                        for last, column in zip(self._last, columns, strict=True)
                    ]
                )
            )
            self._last = [column.slice(leaf.num_rows - 1) for column in columns]


def _columns(rows: Rows, spec: ModelSpec) -> ExpectationResult:
    expected, got = list(spec.input_columns), rows.column_names
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


def _row_count(rows: Rows, spec: ModelSpec) -> ExpectationResult:
    empty_is_fine = spec.schedule.empty == "publish"
    count = rows.num_rows
    message = number_of(count, "row")
    if not count:
        message = "no row at all" + (" (schedule.empty: publish allows it)" if empty_is_fine else "")
    return ExpectationResult(
        type="expect_table_row_count_to_be_between",
        column=None,
        severity="critical",
        success=count > 0 or empty_is_fine,
        message=message,
        observed=count,
        origin="platform",
        parameters={"min_value": 0 if empty_is_fine else 1},
    )


def _unique(rows: Rows, key: list[str], order: _KeyOrder) -> ExpectationResult:
    repeated = 0
    if not order.increases:  # then all keys have to be in memory
        keys = pa.table({name: rows.column(name) for name in key})
        repeated = rows.num_rows - keys.group_by(key).aggregate([]).num_rows
    kind = "expect_column_values_to_be_unique" if len(key) == 1 else "expect_compound_columns_to_be_unique"
    what = "with the key of another row" if repeated else "with a key that occurs twice"
    return _rows_result(rows, kind, ", ".join(key), "critical", repeated, what)


def _strictly_increasing(columns: Sequence[pa.Array]) -> bool:
    rows = len(columns[0])
    undecided = np.ones(max(rows - 1, 0), dtype=bool)
    for column in columns:
        if column.null_count:
            return False
        below, above = column.slice(0, max(rows - 1, 0)), column.slice(1)
        increases = pc.less(below, above).to_numpy(zero_copy_only=False)
        equal = pc.equal(below, above).to_numpy(zero_copy_only=False)
        if bool((undecided & ~increases & ~equal).any()):
            return False
        undecided &= equal
    return not undecided.any()


def _rows_result(
    rows: Rows, kind: str, column: str, severity: Severity, unexpected: int, what: str
) -> ExpectationResult:
    count = rows.num_rows
    return ExpectationResult(
        type=kind,
        column=column,
        severity=severity,
        success=not unexpected,
        message=row_message(column, count, unexpected, what, [], None),
        unexpected_count=unexpected,
        unexpected_fraction=unexpected / count if count else 0.0,
        origin="platform",
    )
