"""How a draft cuts a table's rows into intervals: also where a month, or a year, has one row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rescore.authoring.rhythm import rhythm_of
from rescore.source import ColumnFacts, TableFacts


@pytest.mark.parametrize(
    ("rows", "days", "cron", "trained_on", "held_out"),
    [
        (60 * 400, 400, "0 0 * * *", 90, 15),
        (4 * 400, 400, "0 0 * * 1", 42, 7),  # four a day
        (600, 600 * 30.44, "0 0 1 * *", 450, 75),  # one a month, for fifty years
        (200, 200 * 91.3, "0 0 1 * *", 449, 74),  # one a quarter
        (100, 100 * 365.24, "0 0 1 1 *", 75, 12),  # one a year
        (3, 2, "0 * * * *", 36, 6),
    ],
)
def test_a_draft_trains_on_enough_rows_however_few_an_interval_has(
    rows: int, days: float, cron: str, trained_on: int, held_out: int
) -> None:
    start = datetime(1920, 1, 1, tzinfo=UTC)
    event = ColumnFacts("at", "timestamptz", True, 0, rows, start, start + timedelta(days=days), ())
    made = rhythm_of(TableFacts("public", "measured", rows, (event,), (), ()), event)
    assert (made.cron, made.intervals, made.holdout) == (cron, trained_on, held_out)
