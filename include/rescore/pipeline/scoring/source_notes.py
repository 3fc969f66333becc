"""What a validation says of the source: rows in no interval, and a clock that is hours off.

Rows without a moment are counted when a run extracts, and said when it is validated. Between the two the
counts stand with the frozen input, since nothing but the extraction reads the source. Neither stops a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rescore.pipeline.context import Context
from rescore.source import FrozenTable, HoursApart, UntimedRows, hours_apart
from rescore.spec import ModelSpec
from rescore.store import ExtractedRun
from rescore.validation import ExpectationResult

__all__ = ["source_notes", "untimed_details"]


def untimed_details(untimed: Sequence[UntimedRows]) -> dict[str, Any]:
    """What is kept with the frozen input; nothing where there is nothing to say."""
    counted = [{"column": each.column, "rows": each.rows} for each in untimed]
    return {"untimed": counted} if counted else {}


def source_notes(
    ctx: Context, run: ExtractedRun, rows: FrozenTable, spec: ModelSpec
) -> list[ExpectationResult]:
    """Results of severity ``info``, in front of what is expected of the rows.

    Parameters
    ----------
    ctx : Context
        Store.
    run : ExtractedRun
        The run.
    rows : FrozenTable
        Its frozen rows.
    spec : ModelSpec
        The model.
    """
    untimed = (_without_moment(each) for each in _untimed(ctx, run))
    return [*untimed, *(_hours_off(each) for each in hours_apart(rows, spec))]


def _untimed(ctx: Context, run: ExtractedRun) -> list[UntimedRows]:
    found = ctx.store.snapshots.of_model(run.model, kind="input", digest=run.input_digest)
    mine = (each for each in found if (each.interval, each.as_of) == (run.interval, run.as_of))
    details = next((each.details for each in mine), {})
    return [UntimedRows(each["column"], each["rows"]) for each in details.get("untimed", [])]


def _without_moment(untimed: UntimedRows) -> ExpectationResult:
    """A column whose NULLs leave rows out of every interval."""
    return ExpectationResult(
        type="expect_column_values_to_not_be_null",
        column=untimed.column,
        severity="info",
        success=False,
        message=f"in the source, {untimed}",
        observed=untimed.rows,
        origin="platform",
    )


def _hours_off(apart: HoursApart) -> ExpectationResult:
    """An event time that is hours away from an hour beside it."""
    return ExpectationResult(
        type="expect_column_pair_values_to_be_equal",
        column=f"{apart.event_time}, {apart.feature}",
        severity="info",
        success=False,
        message=f"{apart} If so, {apart.fix}",
        observed=apart.hours,
        origin="platform",
    )
