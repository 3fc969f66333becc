"""The query reads the copies of exactly the relations that it names, whatever they are called."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from rescore.source import UntimedRows, count_untimed, extract, read_past_filter, untimed
from rescore.source.session import Session
from rescore.source.untimed import untimed_rows
from tests.source.conftest import DAY, EXTRACT, SPEC, MakeModel, Source


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


def test_a_parent_alone_is_copied_alone(source: Source, make_model: MakeModel) -> None:
    """`ONLY` and the star say whether tables that inherit are read; a copy has no heirs of its own."""
    source.send(5)
    source.run(
        "CREATE TABLE heir () INHERITS (parcel);"
        " INSERT INTO heir SELECT depot, parcel + 100, sent_at, weight, size, carrier, fragile,"
        " promised, note, recorded_at FROM ONLY parcel"
    )
    for written, rows in (("ONLY (parcel)", 5), ("ONLY parcel", 5), ("parcel *", 10), ("public.parcel*", 10)):
        query = EXTRACT.replace("FROM parcel", f"FROM {written}")
        assert written in query
        leak = read_past_filter(source.url, make_model(query), DAY, DAY.end)
        assert (leak.none, leak.rows) == (True, rows)


@pytest.mark.parametrize(
    ("open_end", "holds"),
    [
        (None, "(valid_to IS NULL OR valid_to > :as_of)"),
        ("infinity", "valid_to > :as_of"),
        ("9999-12-31Z", "valid_to > :as_of"),
        ("9999-12-31Z", "COALESCE(NULLIF(valid_to, '9999-12-31Z'), 'infinity') > :as_of"),
    ],
)
def test_the_end_of_a_version_that_still_holds_is_what_the_table_uses(
    source: Source, make_model: MakeModel, open_end: str | None, holds: str
) -> None:
    source.send(10)
    source.run(
        "ALTER TABLE parcel RENAME recorded_at TO valid_from; ALTER TABLE parcel ADD valid_to timestamptz"
    )
    source.run("UPDATE parcel SET valid_to = %s", open_end)
    later = DAY.end + timedelta(days=3)  # a version that ended since, which was not known then
    source.run("UPDATE parcel SET valid_to = %s WHERE parcel = 4", later)
    source.run(
        "INSERT INTO parcel SELECT depot, parcel, sent_at, weight + 1, size, carrier, fragile, promised,"
        " note,"
        " valid_to, %s FROM parcel WHERE parcel = 4",
        open_end,
    )
    known_by = {**SPEC["source"], "known_by": {"valid_range": ["valid_from", "valid_to"]}}
    query = EXTRACT.replace("recorded_at <= :as_of", f"valid_from <= :as_of AND {holds}")
    leak = read_past_filter(source.url, make_model(query, source=known_by), DAY, DAY.end)
    assert (leak.rows, leak.none) == (10, True)
    leak = read_past_filter(
        source.url,
        make_model(query.replace(":as_of AND", "'2024-06-01Z' AND"), source=known_by),
        DAY,
        DAY.end,
    )
    assert (leak.rows, leak.none) == (11, False)


BETWEEN = """
WITH p AS (SELECT * FROM public.parcel q WHERE q.sent_at BETWEEN :interval_start AND :interval_end)
SELECT depot, parcel, sent_at, weight, size, carrier, fragile, promised, note FROM p
"""


def test_rows_without_a_moment_are_counted_whenever_an_interval_is_extracted(
    source: Source, make_model: MakeModel, tmp_path: Path
) -> None:
    source.send(5)
    assert count_untimed(source.url, make_model(), DAY) == []
    source.run("UPDATE parcel SET sent_at = NULL WHERE parcel < 2")
    expected = (UntimedRows("public.parcel.sent_at", 2),)
    for query in (EXTRACT, BETWEEN):
        frozen = extract(source.url, make_model(query), DAY, DAY.end, tmp_path / "input.parquet")
        assert (frozen.rows, frozen.untimed) == (3, expected)
    # What the query does not compare with the interval may be NULL.
    source.run("UPDATE parcel SET carrier = NULL, weight = NULL")
    assert count_untimed(source.url, make_model(), DAY) == [*expected]


@pytest.mark.parametrize(
    "asked",
    [
        "COALESCE(sent_at, promised) >= :interval_start AND COALESCE(sent_at, promised) < :interval_end",
        "(sent_at IS NULL OR sent_at >= :interval_start AND sent_at < :interval_end)",
    ],
)
def test_rows_that_a_query_takes_without_a_moment_are_in_an_interval(
    source: Source, make_model: MakeModel, asked: str
) -> None:
    source.send(3)
    source.run("UPDATE parcel SET sent_at = NULL WHERE parcel = 1")
    query = EXTRACT.replace("sent_at >= :interval_start AND sent_at < :interval_end", asked)
    assert asked in query
    assert count_untimed(source.url, make_model(query), DAY) == []


def test_a_count_that_takes_too_long_keeps_no_row_back(
    source: Source, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.send(50_000)
    monkeypatch.setattr(untimed, "_MAX_TIME", timedelta(milliseconds=1))
    frozen = extract(source.url, make_model(), DAY, DAY.end, tmp_path / "input.parquet")
    assert (frozen.rows, frozen.untimed) == (50_000, (UntimedRows("public.parcel.sent_at", None),))


def test_a_connection_lost_at_the_count_keeps_no_row_back(source: Source, make_model: MakeModel) -> None:
    folder = make_model()
    with Session(source.url, folder.spec.source) as session:
        [row] = session.ask("SELECT pg_backend_pid() AS pid")
        source.run("SELECT pg_terminate_backend(%s)", row["pid"])
        [found] = untimed_rows(session, folder, DAY)
    assert "could not be counted" in str(found)


def test_a_column_declared_not_null_is_not_counted(
    source: Source, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.send(50_000)
    source.run("ALTER TABLE parcel ALTER sent_at SET NOT NULL")
    monkeypatch.setattr(untimed, "_MAX_TIME", timedelta(milliseconds=1))
    assert count_untimed(source.url, make_model(), DAY) == []


SHOP = """
CREATE SCHEMA shop; CREATE SCHEMA crm;
CREATE TABLE shop.orders (
  customer text, order_id int8, ordered_at timestamptz, amount float8, items int4, channel text, vip bool,
  note text, birth date, late bool, outcome text, recorded_at timestamptz);
INSERT INTO shop.orders SELECT 'c' || (i % 37), i, moment, i % 50, 1 + i % 9, 'web', i % 3 = 0, 'order',
  date '1960-02-29', i % 5 = 0, 'good', moment + interval '5 minutes'
FROM generate_series(0, 99) i,
  LATERAL (SELECT timestamptz '2024-03-01Z' + i * interval '10 minutes' AS moment) m;
CREATE TABLE public.channel (code text, label text);
CREATE TABLE crm.orders AS SELECT order_id, amount*2 AS worth, recorded_at FROM shop.orders;
"""
SHOP_SPEC = {
    "source": {
        "connection": "shop",
        "key": ["customer", "order_id"],
        "event_time": "ordered_at",
        "known_by": {"column": "recorded_at"},
    },
    "features": [
        {"name": "amount", "kind": "numeric"},
        {"name": "items", "kind": "numeric"},
        {"name": "channel", "kind": "categorical"},
        {"name": "vip", "kind": "boolean"},
        {"name": "note", "kind": "text"},
    ],
}
#: A column called as a table that exists, after a comma; two tables of one name in two schemas.
SHOP_QUERIES = {
    "a": """
SELECT customer, order_id, ordered_at, amount, items, channel, vip, note
FROM shop.orders WHERE ordered_at >= :interval_start AND ordered_at < :interval_end AND recorded_at <= :as_of
""",
    "b": """
SELECT o.customer, o.order_id, o.ordered_at, c.worth AS amount, o.items, o.channel, o.vip, o.note FROM shop.orders o JOIN crm.orders c ON c.order_id = o.order_id AND c.recorded_at <= :as_of WHERE o.ordered_at >= :interval_start AND o.ordered_at < :interval_end AND o.recorded_at <= :as_of
""",  # noqa: E501 - as it was written
}


def test_a_shop_whose_columns_and_tables_share_names_is_checked(
    source: Source, make_model: MakeModel
) -> None:
    source.run(SHOP)
    read = {"a": ("shop.orders",), "b": ("crm.orders", "shop.orders")}
    try:
        for which, query in SHOP_QUERIES.items():
            leak = read_past_filter(source.url, make_model(query, **SHOP_SPEC), DAY, DAY.end)
            assert (leak.none, leak.rows, tuple(sorted(leak.filtered))) == (True, 100, read[which])
            past = re.sub(r"(\w\.)?recorded_at <= :as_of", "true", query)
            leak = read_past_filter(source.url, make_model(past, **SHOP_SPEC), DAY, DAY.start)
            assert (leak.rows, leak.only_seen) == (100, 100)
    finally:
        source.run("DROP SCHEMA shop CASCADE; DROP SCHEMA crm CASCADE")
