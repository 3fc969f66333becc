"""What a column becomes in a draft, by its facts alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rescore.authoring.column_roles import find_event
from rescore.source import ColumnFacts, TableFacts

FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 31, tzinfo=UTC)


def moment(name: str, *, later: timedelta = timedelta(), nulls: int = 0) -> ColumnFacts:
    return ColumnFacts(name, "timestamptz", not nulls, nulls, 4_000, FIRST + later, LAST + later, ())


@pytest.mark.parametrize(
    ("later", "event"),
    [
        (timedelta(days=2), "Seen At"),  # what comes after its record is a plan, or what became of it
        (timedelta(minutes=-5), "Left At"),  # of two moments that rows had by then, the one that all have
    ],
)
def test_what_lies_after_rows_were_known_is_no_event(later: timedelta, event: str) -> None:
    columns = (
        moment("Seen At", nulls=2),
        moment("Left At", later=later),
        moment("recorded_at", later=timedelta(minutes=1)),
    )
    table = TableFacts("Odd", "Visits 2024", 4_000, columns, (), ())
    found = find_event(table, None, ("recorded_at",))
    assert found is not None
    assert found.name == event
