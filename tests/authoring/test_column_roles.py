"""What a column becomes in a draft, by its facts alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import yaml

from rescore.authoring.column_roles import Drafted, find_event, find_known_by, find_target, target_kind_of
from rescore.authoring.new_model import _schema_and_table
from rescore.errors import ParameterError
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


@pytest.mark.parametrize(("distinct", "asked"), [(7, True), (13, False)])
def test_few_whole_numbers_may_be_classes(distinct: int, asked: bool) -> None:
    decide: list[str] = []
    label = ColumnFacts("PID", "int4", True, 0, distinct, 0.0, 6.0, ())
    assert target_kind_of(label, decide)[0] == "regression"
    assert decide == ["target.kind: regression; if its 7 whole numbers are classes, multiclass"] * asked


def test_a_level_is_read_back_from_the_draft_as_it_is() -> None:
    label = ColumnFacts("state", "text", True, 0, 2, None, None, ("ok", "not\nok"))
    kind, positive, _ = target_kind_of(label, [])
    assert (kind, yaml.safe_load(f"positive: {positive}")["positive"]) == ("binary", "not\nok")


@pytest.mark.parametrize("written", ["recordedAt", "RecordedAt", "Recorded At", "RECORDED_AT", "recorded-at"])
def test_names_are_known_however_they_are_spelled(written: str) -> None:
    table = TableFacts("Bank Data", "Loans", 4_000, (moment("openedAt"), moment(written)), (), ())
    assert find_known_by(table) == (written,)
    assert find_event(table, None, (written,)) == table.columns[0]
    rewritten = TableFacts("Bank Data", "Loans", 4_000, (*table.columns, moment("updatedAt")), (), ())
    assert find_known_by(rewritten) == ()


def test_a_usual_range_is_written_in_few_digits() -> None:
    amount = ColumnFacts("amount", "numeric", True, 0, 9, 35.17, 114_283.11, ())
    assert Drafted("amount", amount, "x", "numeric").usual_range == (0.0, 171_410.0)
    number = ColumnFacts("n", "int8", True, 0, 9, 1_000_000_001.0, 1_000_000_005.0, ())
    assert Drafted("n", number, "x", "numeric").usual_range == (999_999_999.0, 1_000_000_007.0)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"Bank Data"."Loans"', ("Bank Data", "Loans")),
        ('public."Loans"', ("public", "Loans")),
        ('"a"".b".c', ('a".b', "c")),
        ("Bank Data.Loans", ("Bank Data", "Loans")),
        ("shop.a.b", ("shop", "a.b")),
    ],
)
def test_a_table_is_named_as_in_sql_or_as_it_is(written: str, meant: tuple[str, str]) -> None:
    assert _schema_and_table(written, "--table") == meant


def test_a_range_that_no_float_holds_is_not_drafted() -> None:
    wide = ColumnFacts("x", "float8", True, 0, 9, -1.7e308, 1.7e308, ())
    assert Drafted("x", wide, "x", "numeric").usual_range is None


@pytest.mark.parametrize(
    ("kind", "nulls", "distinct", "says"),
    [
        ("text", 4_000, 0, "--target won is NULL in every row"),
        ("float8", 4_000, 0, "--target won is NULL in every row"),
        ("text", 0, 1, "--target won has one value only"),
        ("text", 5, 900, "--target won is a text of 900 values in 4,000 rows"),
        ("uuid", 0, 4_000, "--target won is uuid"),
        ("json", 0, None, "--target won is json"),
    ],
)
def test_a_target_that_nothing_can_be_learnt_of_is_refused_by_name(
    kind: str, nulls: int, distinct: int | None, says: str
) -> None:
    won = ColumnFacts("won", kind, False, nulls, distinct, None, None, ())
    with pytest.raises(ParameterError) as caught:
        find_target(TableFacts("shop", "bid", 4_000, (won,), (), ()), "won", set())
    assert caught.value.what == says
    many = ColumnFacts("won", "text", False, 0, 40, None, None, ("a", "b"))
    assert find_target(TableFacts("shop", "bid", 4_000, (many,), (), ()), "won", set()) is many
