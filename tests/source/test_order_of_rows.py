"""The order in which rows happen to lie is chance: no result depends on it unseen."""
# ruff: noqa: E501 - functions and queries as they are written

from __future__ import annotations

import psycopg2
import pytest

from rescore.errors import SpecError
from rescore.source import labels, read_past_filter, turned_round, turned_views
from rescore.source.inspection import reading
from rescore.source.turned_views import put_before
from tests.source.conftest import DAY, EXTRACT, LABELS, MakeModel, Source
from tests.source.test_refusals import selecting
from tests.source.test_volatility import freeze

OWN = """
CREATE FUNCTION put(text, text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1 || $2';
CREATE AGGREGATE glued(text) (SFUNC = put, STYPE = text, INITCOND = '');
CREATE AGGREGATE summed(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE VIEW first_one AS SELECT note FROM parcel LIMIT 1;
CREATE FUNCTION some_note() RETURNS text STABLE LANGUAGE sql AS 'SELECT note FROM parcel LIMIT 1';
"""


@pytest.mark.parametrize(
    ("column", "expression", "named"),
    [
        ("note", "(SELECT note FROM parcel p LIMIT 1)", "LIMIT without ORDER BY"),
        ("note", "(SELECT note FROM parcel p FETCH FIRST ROW ONLY)", "LIMIT without ORDER BY"),
        ("note", "(SELECT note FROM parcel p OFFSET 1)", "OFFSET without ORDER BY"),
        ("note", "(SELECT note FROM parcel p OFFSET 1 + 0 LIMIT 1)", "LIMIT without ORDER BY"),
        ("size", "(SELECT count(*)::int FROM parcel p GROUP BY note LIMIT 1)", "LIMIT without ORDER BY"),
        ("size", "(SELECT DISTINCT size FROM parcel p LIMIT 1)", "LIMIT without ORDER BY"),
        ("size", "((SELECT size FROM parcel LIMIT 1) UNION ALL (SELECT 1 WHERE false))", "LIMIT without ORDER BY"),
        ("size", "(SELECT sum(n)::int FROM (SELECT DISTINCT ON (carrier) size AS n FROM parcel) q)", "DISTINCT ON"),
        (
            "size",
            "(SELECT sum(n)::int FROM (SELECT DISTINCT ON (carrier) carrier c, size AS n FROM parcel ORDER BY 1) q)",
            "DISTINCT ON",
        ),
        ("size", "(SELECT sum(n)::int FROM (SELECT DISTINCT ON (carrier) p.size AS n FROM parcel p ORDER BY p.carrier) q)",
         "DISTINCT ON"),
        ("size", "(SELECT sum(n)::int FROM (SELECT DISTINCT ON (p.carrier) p.size AS n FROM parcel p ORDER BY carrier) q)",
         "DISTINCT ON"),
        ("note", "(SELECT array_agg(note) FROM parcel p)::text", "array_agg() without ORDER BY"),
        ("note", "(SELECT string_agg(note, ',') FROM parcel p)", "string_agg() without ORDER BY"),
        ("note", "(SELECT pg_catalog.json_agg(note) FROM parcel p)::text", "json_agg() without ORDER BY"),
        ("note", "(SELECT JSONB_OBJECT_AGG(carrier, note) FROM parcel p)::text", "jsonb_object_agg() without"),
        ("note", "(SELECT JSON_ARRAYAGG(note) FROM parcel p)::text", "JSON_ARRAYAGG without ORDER BY"),
        ("size", "(SELECT any_value(size) FROM parcel p)", "any_value() without ORDER BY"),
        ("note", "(SELECT glued(note) FROM parcel p)", "glued() without ORDER BY"),
        ("note", "(ARRAY(SELECT note FROM parcel p))[1]", "ARRAY(SELECT …) without ORDER BY"),
        ("note", "string_agg(note, '') OVER (PARTITION BY carrier)", "string_agg() over rows in no order"),
        ("size", "(row_number() OVER ())::int", "row_number() over rows in no order"),
        ("size", "first_value(size) OVER (PARTITION BY note)", "first_value() over rows in no order"),
        ("size", "(SELECT max(n) FROM (SELECT lag(size) OVER w AS n FROM parcel WINDOW w AS (PARTITION BY note)) q)",
         "lag() over rows in no order"),
        ("size", "(SELECT sum(n)::int FROM (SELECT size AS n FROM parcel UNION ALL SELECT 1 FROM parcel LIMIT 2) q)",
         "LIMIT without ORDER BY"),
        ("size", "(ARRAY(SELECT size FROM parcel UNION ALL SELECT 1 FROM parcel))[1]", "ARRAY(SELECT …) without"),
        ("size", "(count(*) OVER (PARTITION BY note ROWS UNBOUNDED PRECEDING))::int", "count() over rows in no order"),
        ("size", "(SELECT max(n)::int FROM (SELECT sum(size) OVER (w ROWS 1 PRECEDING) AS n"
         " FROM parcel WINDOW w AS (PARTITION BY note)) q)", "sum() over rows in no order"),
        ("note", "(SELECT note FROM first_one)", "LIMIT without ORDER BY"),
        ("note", "some_note()", "LIMIT without ORDER BY"),
    ],
)  # fmt: skip
def test_rows_in_no_order_are_refused(
    source: Source, make_model: MakeModel, column: str, expression: str, named: str
) -> None:
    source.run(OWN)
    with pytest.raises(SpecError) as caught:
        freeze(source, make_model(selecting(**{column: expression})))
    assert caught.value.what.startswith(named)
    assert "the order in which rows happen to lie" in caught.value.what
    assert "extract.sql line 1, column " in (caught.value.where or "")
    assert "ORDER BY" in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("column", "expression"),
    [
        ("note", "(SELECT p.note FROM parcel p ORDER BY p.parcel LIMIT 1)"),
        ("fragile", "EXISTS (SELECT note FROM parcel p LIMIT 1)"),
        ("size", "(SELECT 1 FROM parcel p LIMIT 1)"),
        ("size", "(sum(size) OVER (PARTITION BY note ORDER BY parcel ROWS BETWEEN 6 PRECEDING AND CURRENT ROW))::int"),
        ("size", "(count(*) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))::int"),
        ("size", "(SELECT max(size) FROM parcel p LIMIT 1)"),
        ("size", "(SELECT sum(n)::int FROM (SELECT size AS n FROM parcel p OFFSET 0) q)"),
        ("size", "(SELECT sum(n)::int FROM (SELECT size AS n FROM parcel p LIMIT ALL) q)"),
        ("size", "(SELECT count(*)::int FROM (SELECT DISTINCT ON (size) size FROM parcel p) q)"),
        ("size", "(SELECT sum(n)::int FROM (SELECT DISTINCT ON (carrier) size AS n FROM parcel"
         " ORDER BY carrier, parcel) q)"),
        ("size", "(SELECT count(*)::int FROM (SELECT DISTINCT ON (size) p.size FROM parcel p ORDER BY p.size) q)"),
        ("size", "(SELECT sum(n)::int FROM (SELECT DISTINCT ON (p.depot) o.parcel AS n FROM parcel p JOIN outcome o"
         " USING (depot) ORDER BY depot, o.parcel) q)"),
        ("note", "(SELECT string_agg(note, ',' ORDER BY p.parcel) FROM parcel p)"),
        ("note", "(SELECT string_agg(DISTINCT note, ',') FROM parcel p)"),
        ("note", "(SELECT glued(note ORDER BY p.parcel) FROM parcel p)"),
        ("size", "(SELECT summed(size) FROM parcel p)"),
        ("size", "(SELECT count(DISTINCT note)::int + max(size) + bit_or(size) FROM parcel p)"),
        ("weight", "(SELECT percentile_cont(.5) WITHIN GROUP (ORDER BY weight) FROM parcel p)"),
        ("weight", "(SELECT avg(weight) FROM parcel p)"),
        ("note", "(SELECT string_agg(upper(word), ' ') FROM unnest(string_to_array(note, ' ')) word)"),
        ("note", "array_to_string(ARRAY(SELECT upper(w) FROM unnest(string_to_array(note, ' ')) w), ' ')"),
        ("fragile", "parcel = ANY (ARRAY(SELECT p.parcel FROM parcel p))"),
        ("size", "(SELECT max(n)::int FROM (SELECT row_number() OVER w AS n FROM parcel"
         " WINDOW v AS (PARTITION BY depot), w AS (v ORDER BY parcel)) q)"),
        ("size", "(rank() OVER (PARTITION BY depot))::int"),
        ("note", "(SELECT range_agg(int4range(1, 2))::text FROM parcel p)"),
    ],
)  # fmt: skip
def test_what_no_order_can_change_is_not(
    source: Source, make_model: MakeModel, column: str, expression: str
) -> None:
    source.run(OWN)
    source.send(2)
    assert freeze(source, make_model(selecting(**{column: expression}))) == 2


def test_labels_are_in_an_order_too(source: Source, make_model: MakeModel) -> None:
    source.send(2)
    with pytest.raises(SpecError, match="LIMIT without ORDER BY") as caught:
        labels(source.url, make_model(labels=LABELS.rstrip(";\n") + " LIMIT 1"), [DAY], DAY.end)
    assert "labels.sql" in (caught.value.where or "")


def test_ties_are_found_by_turning_the_rows_round(source: Source, make_model: MakeModel) -> None:
    source.send(40)
    latest = "(SELECT p.note FROM parcel p WHERE p.recorded_at <= :as_of ORDER BY p.{} LIMIT 1)"
    tied = read_past_filter(source.url, make_model(selecting(note=latest.format("size"))), DAY, DAY.end)
    assert tied.none  # what the order alone changes is no leak
    assert tied.turned is not None
    assert (tied.turned.changed, tied.turned.columns) == (40, ("note",))
    assert not tied.turned.only_rounding
    total = read_past_filter(
        source.url, make_model(selecting(note=latest.format("size, p.parcel"))), DAY, DAY.end
    )
    assert total.none
    assert total.turned is not None
    assert total.turned.none
    counted = "(SELECT count(*)::int + max(p.size) FROM parcel p WHERE p.recorded_at <= :as_of)"
    for folder in (make_model(), make_model(selecting(size=counted))):  # no order counts in these
        assert read_past_filter(source.url, folder, DAY, DAY.end).turned is None


TIED = """
CREATE VIEW latest AS SELECT DISTINCT ON (depot) depot, note, recorded_at FROM parcel ORDER BY depot, size;
CREATE VIEW of_latest AS SELECT depot, note, recorded_at FROM latest;
CREATE VIEW told_apart AS
    SELECT DISTINCT ON (depot) depot, note, recorded_at FROM parcel ORDER BY depot, size, parcel;
CREATE VIEW plain AS SELECT depot, note, recorded_at FROM parcel WHERE parcel = 7;
"""


@pytest.mark.parametrize(
    ("view", "changed"), [("latest", 40), ("of_latest", 40), ("told_apart", 0), ("plain", None)]
)
def test_ties_inside_views_are_found_too(
    source: Source, make_model: MakeModel, view: str, changed: int | None
) -> None:
    source.run(TIED)
    source.send(40)
    source.run("UPDATE parcel SET size = 1, note = parcel::text, recorded_at = sent_at")
    latest = f"(SELECT v.note FROM {view} v WHERE v.depot = parcel.depot AND v.recorded_at <= :as_of)"
    found = read_past_filter(source.url, make_model(selecting(note=latest)), DAY, DAY.end)
    assert found.none
    assert (None if found.turned is None else found.turned.changed) == changed


FUNCTIONS = """
CREATE FUNCTION tied() RETURNS text STABLE LANGUAGE sql AS 'SELECT note FROM parcel ORDER BY size LIMIT 1';
CREATE FUNCTION inside() RETURNS text STABLE LANGUAGE plpgsql AS
    'DECLARE found_note text; BEGIN SELECT p.note INTO found_note FROM parcel p ORDER BY p.size LIMIT 1;
     RETURN found_note; END';
CREATE FUNCTION around() RETURNS text STABLE LANGUAGE sql AS 'SELECT inside()';
CREATE FUNCTION total() RETURNS text STABLE LANGUAGE sql AS
    'SELECT note FROM parcel ORDER BY size, parcel LIMIT 1';
CREATE FUNCTION of_no_table() RETURNS text STABLE LANGUAGE sql AS 'SELECT max(x) FROM (VALUES (''a'')) t(x)';
"""


@pytest.mark.parametrize(
    ("function", "changed"),
    [("tied", 40), ("inside", 40), ("around", 40), ("total", 0), ("of_no_table", None)],
)
def test_ties_inside_functions_are_found_too(
    source: Source, make_model: MakeModel, function: str, changed: int | None
) -> None:
    source.run(FUNCTIONS)
    source.send(40)
    source.run("UPDATE parcel SET size = 1, note = parcel::text, recorded_at = sent_at")
    folder = make_model(selecting(note=f"{function}()"))
    found = read_past_filter(source.url, folder, DAY, DAY.end)
    assert (None if found.turned is None else found.turned.changed) == changed
    assert source.run("SELECT count(*) FROM parcel") == [(40,)]


def test_tables_of_functions_are_copied_with_their_indexes_and_only_so_large(
    source: Source, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.run(FUNCTIONS)
    source.send(40)
    source.run("CREATE UNIQUE INDEX by_parcel ON parcel (parcel, sent_at); ANALYZE parcel")
    with reading(source.url, read_only=False) as cursor:
        assert put_before(cursor, [("public", "parcel")]) == ()
        cursor.execute(
            "SELECT c.reltuples, i.indisunique, c.relnamespace = pg_my_temp_schema()"
            " FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid WHERE c.oid = 'parcel'::regclass"
        )
        assert cursor.fetchall() == [(40, True, True)]
        cursor.execute("SELECT parcel FROM parcel ORDER BY ctid LIMIT 2")
        turned = cursor.fetchall()
    assert turned == source.run("SELECT parcel FROM parcel ORDER BY ctid DESC LIMIT 2")
    monkeypatch.setattr(turned_views, "MOST_ROWS", 39)
    source.run("UPDATE parcel SET size = 1, note = parcel::text, recorded_at = sent_at")
    found = read_past_filter(source.url, make_model(selecting(note="tied()")), DAY, DAY.end)
    assert found.turned is not None
    assert (found.turned.none, found.turned.too_large) == (True, ("public.parcel",))


def test_a_view_whose_tables_this_role_may_not_read_is_checked_as_it_is(
    source: Source, make_model: MakeModel
) -> None:
    source.run(TIED)
    source.send(4)
    source.run(
        "DROP ROLE IF EXISTS view_guest; CREATE ROLE view_guest LOGIN PASSWORD 'guest';"
        " CREATE VIEW shown AS SELECT * FROM parcel; GRANT SELECT ON latest, shown TO view_guest"
    )
    try:
        guest = psycopg2.extensions.make_dsn(source.url, user="view_guest", password="guest")
        latest = "(SELECT v.note FROM latest v WHERE v.recorded_at <= :as_of)"
        extract = selecting(note=latest).replace("FROM parcel", "FROM shown")
        found = read_past_filter(guest, make_model(extract), DAY, DAY.end)
        assert found.none
        assert found.turned is not None
    finally:
        source.run("DROP OWNED BY view_guest; DROP ROLE view_guest")


def test_sums_of_floats_are_told_from_ties(source: Source, make_model: MakeModel) -> None:
    source.send(400)
    mean = "(SELECT avg(p.weight{}) FROM parcel p WHERE p.recorded_at <= :as_of)"
    found = read_past_filter(source.url, make_model(selecting(weight=mean.format(""))), DAY, DAY.end)
    assert found.none
    assert found.turned is not None
    assert (found.turned.columns, found.turned.only_rounding) == (("weight",), True)
    no_history = {
        "key": ["depot", "parcel"],
        "event_time": "sent_at",
        "connection": "parcels",
        "known_by": "none",
    }
    for order, same in (("", False), (" ORDER BY p.weight", True)):
        training = {"intervals": 3, "seed": 1, "from": "frozen_inputs"}
        folder = make_model(selecting(weight=mean.format(order)), source=no_history, training=training)
        turned = turned_round(source.url, folder, DAY, DAY.end)
        assert turned is not None
        assert turned.none == same


def test_keys_that_differ_in_blanks_are_compared_each_by_itself(
    source: Source, make_model: MakeModel
) -> None:
    source.run(
        "ALTER TABLE parcel ALTER depot TYPE bpchar; INSERT INTO parcel (depot, parcel, sent_at, size, recorded_at)"
        " SELECT depot, 1, %s, size, %s FROM (VALUES ('a'::bpchar, 1), ('a '::bpchar, 2)) v(depot, size)",
        DAY.start, DAY.start,
    )  # fmt: skip
    leak = read_past_filter(source.url, make_model(), DAY, DAY.end)
    assert (leak.none, leak.rows) == (True, 2)
    past = EXTRACT.replace("recorded_at <= :as_of", "true")
    source.run("UPDATE parcel SET recorded_at = %s WHERE depot::text || '|' = 'a|' AND size = 2", DAY.end)
    leak = read_past_filter(source.url, make_model(past), DAY, DAY.start)
    assert (leak.rows, leak.only_seen, leak.changed) == (2, 1, 0)
