"""The query reads the copies of exactly the relations that it names, whatever they are called."""

from __future__ import annotations

from rescore.source import UntimedRows, read_past_filter, untimed_rows
from tests.source.conftest import DAY, EXTRACT, MakeModel, Source


def test_a_column_called_as_a_table_stays_a_column(source: Source, make_model: MakeModel) -> None:
    source.send(5)
    source.run("CREATE TABLE carrier (name text); CREATE TABLE size (n int)")
    leak = read_past_filter(source.url, make_model(), DAY, DAY.end)
    assert leak.none
    assert leak.rows == 5
    assert (leak.filtered, leak.unfiltered) == (("public.parcel",), ())


def test_a_step_called_as_a_table_is_no_table(source: Source, make_model: MakeModel) -> None:
    source.send(5)
    source.run("CREATE TABLE seen AS SELECT * FROM parcel LIMIT 0")
    query = f"WITH seen AS ({EXTRACT}) SELECT * FROM seen"
    leak = read_past_filter(source.url, make_model(query), DAY, DAY.end)
    assert leak.filtered == ("public.parcel",)
    assert leak.rows == 5


def test_two_tables_of_one_name(source: Source, make_model: MakeModel) -> None:
    source.send(5)
    source.run(
        "DROP SCHEMA IF EXISTS shop CASCADE; DROP SCHEMA IF EXISTS crm CASCADE; CREATE SCHEMA shop;"
        " CREATE SCHEMA crm; CREATE TABLE shop.parcel AS SELECT * FROM parcel;"
        " CREATE TABLE crm.parcel AS SELECT depot AS place, parcel AS number, carrier AS by FROM parcel"
    )
    query = """
    SELECT shop.parcel.depot, shop.parcel.parcel, sent_at, weight, size, crm.parcel.by AS carrier, fragile,
           promised, note
    FROM shop.parcel JOIN crm.parcel ON crm.parcel.number = shop.parcel.parcel
    WHERE sent_at >= :interval_start AND sent_at < :interval_end
    """
    leak = read_past_filter(source.url, make_model(query), DAY, DAY.start)
    assert (leak.filtered, leak.unfiltered) == (("shop.parcel",), ("crm.parcel",))
    assert (leak.rows, leak.only_seen) == (5, 5)  # nothing filters by recorded_at
    source.run("DROP SCHEMA shop CASCADE; DROP SCHEMA crm CASCADE")


def test_rows_without_a_moment_are_counted(source: Source, make_model: MakeModel) -> None:
    source.send(5)
    assert untimed_rows(source.url, make_model(), DAY) == []
    source.run("UPDATE parcel SET sent_at = NULL WHERE parcel < 2")
    source.run("UPDATE parcel SET recorded_at = NULL")  # compared with :as_of, not with the interval
    expected = [UntimedRows("public.parcel.sent_at", 2, 5)]
    assert untimed_rows(source.url, make_model(), DAY) == expected
    between = """
    WITH p AS (SELECT * FROM public.parcel q WHERE q.sent_at BETWEEN :interval_start AND :interval_end)
    SELECT depot, parcel, sent_at, weight, size, carrier, fragile, promised, note FROM p
    """
    assert untimed_rows(source.url, make_model(between), DAY) == expected
