"""Rows of the source that are in no interval: counted when a run extracts, said when it is validated.

Between the two the counts stand with the frozen input, since nothing but the extraction reads the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rescore.pipeline.context import Context
from rescore.source import UntimedRows
from rescore.store import ExtractedRun
from rescore.validation import ExpectationResult

__all__ = ["untimed_details", "untimed_results"]


def untimed_details(untimed: Sequence[UntimedRows]) -> dict[str, Any]:
    """What is kept with the frozen input; nothing where there is nothing to say."""
    counted = [{"column": each.column, "rows": each.rows} for each in untimed]
    return {"untimed": counted} if counted else {}


def untimed_results(ctx: Context, run: ExtractedRun) -> list[ExpectationResult]:
    """A result of severity ``info`` for each column whose NULLs leave rows out of every interval."""
    found = ctx.store.snapshots.of_model(run.model, kind="input", digest=run.input_digest)
    mine = (each for each in found if (each.interval, each.as_of) == (run.interval, run.as_of))
    details = next((each.details for each in mine), {})
    untimed = [UntimedRows(each["column"], each["rows"]) for each in details.get("untimed", [])]
    return [
        ExpectationResult(
            type="expect_column_values_to_not_be_null",
            column=each.column,
            severity="info",
            success=False,
            message=f"in the source, {each}",
            observed=each.rows,
            origin="platform",
        )
        for each in untimed
    ]
