"""Great Expectations, held so that it leaves no trace: the only place that drives it.

An in-memory context with analytics and progress bars off, no file, no network; a context that a
notebook had set is put back. Each set of columns is converted to pandas, checked and dropped by
itself: Great Expectations copies the frame for every check, so one wide frame costs time and
memory in proportion to all its columns.
"""

from __future__ import annotations

import functools
import gc
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.shown_text import number_of
from rescore.validation.rows import EXACT, Rows

if TYPE_CHECKING:
    import pandas as pd


#: Positions, not values: the values are read from Arrow, and asking Great Expectations for index
#: columns takes time per failing row (15 s where positions take .3 s).
_RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "include_unexpected_rows": False,
    "exclude_unexpected_values": True,
    "partial_unexpected_count": 0,
    "return_unexpected_index_query": False,
}

#: Where our number of the expectation travels with it: results come back in another order.
_NUMBER = "rescore_number"


#: What whole numbers are called of 64 bits.
_WHOLE = frozenset({"int", "int64"})
#: Cells of frames done with after which they are freed, which takes about .15 s of CPU.
_HELD_CELLS = 8_000_000


@dataclass(frozen=True)
class Evaluation:
    """What Great Expectations said of one expectation.

    Attributes
    ----------
    success : bool
        Whether it was met.
    observed : Any
        The value looked at, None for row-level expectations.
    positions : ndarray of int64 or None
        Rows that fail it, ascending; None where it is not about rows.
    error : str or None
        Why it could not be evaluated.
    """

    success: bool
    observed: Any = None
    positions: np.ndarray | None = None
    error: str | None = None


@dataclass(frozen=True)
class Question:
    """One expectation and what it has to be shown.

    Attributes
    ----------
    expectation : great_expectations Expectation
        What is asked.
    columns : tuple of str
        Those it reads, in the table's order; all have to exist.
    skips_nulls_of : tuple of str
        Of these it looks at no row with a NULL.
    row_level : bool
        Whether it asks about every row.
    as_in_pandas : bool
        Whether it is shown what pyarrow makes of the columns by itself, instead of :func:`to_frame`.
    of_type : bool
        Whether it asks for a type.
    """

    expectation: Any
    columns: tuple[str, ...]
    skips_nulls_of: tuple[str, ...]
    row_level: bool
    as_in_pandas: bool = False
    of_type: bool = False


def expectation_classes() -> Any:
    """Great Expectations' base classes, imported when first asked for."""
    great_expectations()
    from great_expectations.expectations import expectation

    return SimpleNamespace(
        Expectation=expectation.Expectation,
        row_level=(
            expectation.ColumnMapExpectation,
            expectation.ColumnPairMapExpectation,
            expectation.MulticolumnMapExpectation,
        ),
        column_aggregate=expectation.ColumnAggregateExpectation,
    )


def great_expectations() -> Any:
    """The library itself, imported when first asked for."""
    # On import Great Expectations sends all warnings of the process to logging.
    showwarning = warnings.showwarning
    import great_expectations as gx

    if warnings.showwarning is not showwarning:
        logging.captureWarnings(False)
    return gx


@contextmanager
def ephemeral_context() -> Iterator[Any]:
    """A context in memory as the current one, and the one there was before put back afterwards."""
    great_expectations()
    from great_expectations.data_context.data_context.context_factory import project_manager
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )
    from great_expectations.exceptions.exceptions import DataContextRequiredError

    try:
        earlier = project_manager.get_current_project()
    except DataContextRequiredError:
        earlier = None
    # Built directly: get_context() would look for a cloud account, a project folder and make a
    # temporary folder for a documentation site.
    context = EphemeralDataContext(
        DataContextConfig(store_backend_defaults=InMemoryStoreBackendDefaults(), analytics_enabled=False)
    )
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    project_manager.set_project(context)
    try:
        yield context
    finally:
        project_manager.set_project(earlier)


def evaluate(rows: Rows, questions: Sequence[Question]) -> list[Evaluation]:
    """Evaluate expectations on a table, of which the columns that they read are in memory.

    Returns
    -------
    list of Evaluation
        In the order given. One that could not be evaluated has an ``error`` and is not a success.
    """
    by_columns: dict[tuple[str, ...], list[int]] = {}
    for number, question in enumerate(questions):
        by_columns.setdefault(question.columns, []).append(number)
    evaluations: dict[int, Evaluation] = {}
    held = 0
    with ephemeral_context() as context:
        for columns, numbers in by_columns.items():
            table = pa.table({name: rows.column(name) for name in columns})
            groups: dict[tuple[tuple[str, ...], bool], dict[int, Question]] = {}
            for number in numbers:
                shown = _to_drop(table, questions[number]), questions[number].as_in_pandas
                groups.setdefault(shown, {})[number] = _of_any_width(questions[number], table)
            for (without_null, _), asked in groups.items():
                evaluations |= _evaluate_group(context, table, rows.num_rows, without_null, asked)
                held += rows.num_rows * len(columns)
                if held > _HELD_CELLS:  # validator, engine and what they computed hold one another
                    gc.collect()
                    held = 0
    silent = Evaluation(False, error="Great Expectations gave no result for it")
    return [evaluations.get(number, silent) for number in range(len(questions))]


def to_frame(table: pa.Table, rows: int) -> pd.DataFrame:
    """A table of ``rows`` rows as a pandas frame whose index is the row position.

    NULL and NaN become one in pandas. Whole numbers stay whole where NULLs would make them
    inexact floats; text has pandas' own ``str`` dtype (measured at a third of the time that
    objects take).
    """
    import pandas as pd

    return pd.DataFrame(
        {name: to_series(table.column(name)) for name in table.column_names},
        index=pd.RangeIndex(rows),  # a table without columns has none
    )


def _of_any_width(question: Question, table: pa.Table) -> Question:
    """Whoever asks for ``int64`` asks for whole numbers: Postgres' narrower ones are some, too."""
    expectation = question.expectation
    if not question.of_type or not pa.types.is_integer(kind := table.column(expectation.column).type):
        return question
    one, listed = getattr(expectation, "type_", None), getattr(expectation, "type_list", None)
    wider: dict[str, Any] = {"type_": str(kind)} if one in _WHOLE else {}
    if listed and not _WHOLE.isdisjoint(listed):
        wider = {"type_list": [*listed, str(kind)]}
    return replace(question, expectation=expectation.copy(update=wider)) if wider else question


def _to_drop(table: pa.Table, question: Question) -> tuple[str, ...]:
    """Columns whose rows with a NULL the expectation is not shown.

    It would leave them out itself, but pandas would have made other values of the rest by then: whole
    numbers beside a NULL are floats, and the text of one is '5.0'.
    """
    return tuple(
        name
        for name in question.skips_nulls_of
        if table.column(name).null_count and pa.types.is_integer(table.column(name).type)
    )


def _evaluate_group(
    context: Any,
    table: pa.Table,
    rows: int,
    without_null: tuple[str, ...],
    asked: Mapping[int, Question],
) -> dict[int, Evaluation]:
    """Evaluate on one frame what reads the same columns of the same rows."""
    positions = None
    if without_null:
        present = functools.reduce(pc.and_, (pc.is_valid(table.column(name)) for name in without_null))
        positions = np.flatnonzero(present.to_numpy())
        table, rows = table.filter(present), len(positions)
    as_in_pandas = any(question.as_in_pandas for question in asked.values())  # then all are
    frame = table.to_pandas() if as_in_pandas else to_frame(table, rows)
    evaluations: dict[int, Evaluation] = {}
    try:
        evaluations |= _run(context, frame, asked)
    except Exception:  # one that can't even be planned takes its whole group down
        for number, question in asked.items():
            try:
                evaluations |= _run(context, frame, {number: question})
            except Exception as error:
                evaluations[number] = Evaluation(False, error=f"{type(error).__name__}: {error}")
    if positions is None:
        return evaluations
    return {
        number: one if one.positions is None else replace(one, positions=positions[one.positions])
        for number, one in evaluations.items()
    }


def to_series(column: pa.ChunkedArray) -> pd.Series[Any]:
    """One column of :func:`to_frame`."""
    if pa.types.is_integer(column.type):
        # Great Expectations is fast for int64 and float64 only.
        column = column.cast(pa.int64())
        extremes = pc.min_max(column).as_py()
        inexact = column.null_count and any(
            abs(extreme) > EXACT for extreme in extremes.values() if extreme is not None
        )
        return column.to_pandas(integer_object_nulls=bool(inexact))  # type: ignore[no-any-return]
    return column.to_pandas()  # type: ignore[no-any-return]


def _run(context: Any, frame: pd.DataFrame, asked: Mapping[int, Question]) -> dict[int, Evaluation]:
    from great_expectations.core.batch import Batch
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from great_expectations.validator.validator import Validator

    # Not through a data source and a batch definition: they digest the frame twice, in more time
    # than all expectations take, and keep every frame until the context goes.
    data: Any = frame
    validator = Validator(
        execution_engine=PandasExecutionEngine(), data_context=context, batches=[Batch(data=data)]
    )
    numbered = [
        question.expectation.copy(update={"meta": {_NUMBER: number}, "id": None}).configuration
        for number, question in asked.items()
    ]
    results = validator.graph_validate(
        configurations=validator.process_expectations_for_validation(numbered, None),
        runtime_configuration={"result_format": dict(_RESULT_FORMAT), "catch_exceptions": True},
    )
    evaluations = {}
    for result in results:
        number = result.expectation_config.meta[_NUMBER]  # type: ignore[union-attr]
        evaluations[number] = _read(result, row_level=asked[number].row_level, rows=len(frame))
    return evaluations


def _read(result: Any, *, row_level: bool, rows: int) -> Evaluation:
    error = _error(result.exception_info)
    if error is not None:
        return Evaluation(False, error=error)
    detail = result.result or {}
    observed = detail.get("observed_value")
    listed = detail.get("unexpected_index_list")
    if not row_level or (listed is None and observed is not None):
        # A type check on a typed column is answered for the column, not row by row.
        return Evaluation(bool(result.success), observed=observed)
    positions = np.array(sorted(listed or []), dtype=np.int64)
    count = int(detail.get("unexpected_count") or 0)
    if len(positions) != count or (count and not 0 <= positions[0] <= positions[-1] < rows):
        return Evaluation(
            False,
            error=f"{number_of(count, 'row')} failed, but Great Expectations named "
            f"{len(positions):,} of them",
        )
    return Evaluation(bool(result.success), positions=positions)


def _error(info: Any) -> str | None:
    """The first message in an ``exception_info``, which is one exception or several by metric."""
    if not info:
        return None
    if "raised_exception" in info:
        return _line(info["exception_message"]) if info["raised_exception"] else None
    messages = []
    for entry in info.values():
        inner = entry.get("exception_info", entry)
        messages.append(_line(inner.get("exception_message")))
    return min(messages, default="unknown error")


def _line(message: Any) -> str:
    return " ".join(str(message or "unknown error").split())[:500]
