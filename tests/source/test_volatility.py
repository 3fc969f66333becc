"""Nothing but the data and the three names gets into a result: no clock, no session, no chance."""

from __future__ import annotations

import re

import psycopg2
import pytest

from rescore.errors import SourceQueryError, SpecError
from rescore.folder import ModelFolder
from rescore.source import extract, labels
from tests.source.conftest import DAY, EXTRACT, LABELS, MakeModel, Source
from tests.source.test_refusals import selecting

OURS = """
CREATE SCHEMA IF NOT EXISTS our;
CREATE OR REPLACE FUNCTION our.random(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE OR REPLACE FUNCTION fixed(int) RETURNS int STABLE LANGUAGE sql
    AS 'SELECT $1 + count(*)::int FROM outcome';
CREATE OR REPLACE FUNCTION hidden(int) RETURNS int STABLE LANGUAGE sql AS
    'SELECT $1 + extract(day FROM now())::int';
CREATE OR REPLACE FUNCTION atomic(int) RETURNS int STABLE LANGUAGE sql
    BEGIN ATOMIC SELECT $1 + extract(day FROM current_date)::int; END;
CREATE OR REPLACE FUNCTION returned(int) RETURNS date STABLE LANGUAGE sql RETURN current_date + $1;
CREATE OR REPLACE FUNCTION deeper(int) RETURNS int STABLE LANGUAGE plpgsql AS
    'BEGIN RETURN hidden($1); -- not now()
END';
CREATE OR REPLACE FUNCTION careful(int) RETURNS int STABLE LANGUAGE plpgsql AS
    'BEGIN -- never now()
RETURN fixed($1); END';
CREATE OR REPLACE FUNCTION careless(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE OR REPLACE FUNCTION plus_clock(int, int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT $1';
CREATE OPERATOR @@@ (LEFTARG = int, RIGHTARG = int, FUNCTION = plus_clock);
CREATE OR REPLACE FUNCTION said_to_be_fixed(int) RETURNS int IMMUTABLE LANGUAGE sql AS
    'SELECT $1 + extract(day FROM now())::int';
CREATE OR REPLACE FUNCTION said_so_too(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN RETURN $1 + extract(day FROM clock_timestamp()); END';
CREATE OR REPLACE FUNCTION said_so_of_two(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS
    'SELECT $1 + said_to_be_fixed($2)';
CREATE OPERATOR @+@ (LEFTARG = int, RIGHTARG = int, FUNCTION = said_so_of_two);
CREATE AGGREGATE ends_fixed(int) (SFUNC = int4pl, STYPE = int, FINALFUNC = said_to_be_fixed, INITCOND = '0');
CREATE AGGREGATE in_sum(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE FUNCTION due_in(int, since date DEFAULT current_date) RETURNS date STABLE LANGUAGE sql
    AS 'SELECT $2 + $1';
CREATE FUNCTION due_from(int, date DEFAULT 'today'::text::date) RETURNS date STABLE LANGUAGE sql
    AS 'SELECT $2 + $1';
CREATE FUNCTION due_since(int, since date DEFAULT '2024-01-01') RETURNS date STABLE LANGUAGE sql
    AS 'SELECT $2 + $1';
CREATE SEQUENCE IF NOT EXISTS counter;
CREATE TYPE grams AS (g float8);
CREATE FUNCTION weighed(float8) RETURNS grams STABLE LANGUAGE sql AS 'SELECT ROW($1)::grams';
CREATE FUNCTION scaled(int) RETURNS grams LANGUAGE sql AS 'SELECT ROW($1)::grams';
CREATE CAST (float8 AS grams) WITH FUNCTION weighed(float8);
CREATE AGGREGATE since_now(timestamptz) (SFUNC = timestamptz_larger, STYPE = timestamptz, INITCOND = 'now');
CREATE FUNCTION ends_so(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT said_to_be_fixed($1)';
CREATE AGGREGATE of_set(int ORDER BY int) (SFUNC = int4pl, STYPE = int, FINALFUNC = ends_so, INITCOND = '0');
CREATE OR REPLACE FUNCTION our.unseen() RETURNS date VOLATILE LANGUAGE sql AS 'SELECT NULL::date';
CREATE FUNCTION by_its_path() RETURNS date STABLE LANGUAGE sql SET search_path = our, public
    AS 'SELECT unseen()';
CREATE FUNCTION days_of(parcel) RETURNS int STABLE LANGUAGE sql AS 'SELECT hidden(($1).size)';
CREATE FUNCTION later(int, int) RETURNS bool STABLE LANGUAGE sql AS 'SELECT hidden($1) > $2';
CREATE OPERATOR @> (LEFTARG = int, RIGHTARG = int, FUNCTION = later);
CREATE DOMAIN past AS int CHECK (VALUE < extract(epoch FROM now()));
CREATE DOMAIN shelf AS int CHECK (VALUE < 1000 AND VALUE::text <> 'today');
CREATE TYPE stones AS (s float8);
CREATE FUNCTION counted(int) RETURNS stones STABLE LANGUAGE sql AS 'SELECT ROW(hidden($1))::stones';
CREATE CAST (int AS stones) WITH FUNCTION counted(int);
CREATE DOMAIN heap AS stones;
CREATE FUNCTION due_among(int, date DEFAULT current_date, VARIADIC int[] DEFAULT '{}') RETURNS date STABLE
    LANGUAGE sql AS 'SELECT $2';
CREATE FUNCTION halved(int, int DEFAULT 1) RETURNS int STABLE LANGUAGE sql AS 'SELECT $1';
CREATE OR REPLACE FUNCTION halved(int, int DEFAULT halved(1)) RETURNS int STABLE LANGUAGE sql
    AS 'SELECT CASE WHEN $1 > 1 THEN halved($1 / 2, $2) ELSE $2 END';
CREATE TABLE depots (place text);
CREATE FUNCTION note(depots) RETURNS text VOLATILE LANGUAGE sql AS 'SELECT clock_timestamp()::text';
CREATE FUNCTION carrier(anyelement) RETURNS text VOLATILE LANGUAGE sql AS 'SELECT clock_timestamp()::text';
CREATE VIEW clocked AS SELECT parcel, age(sent_at) AS old FROM parcel;
CREATE VIEW over_it AS SELECT * FROM clocked;
CREATE VIEW plain AS SELECT parcel, date_trunc('day', sent_at) AS day, 'today'::text AS word FROM parcel;
"""


def freeze(source: Source, folder: ModelFolder) -> int:
    return extract(source.url, folder, DAY, DAY.end, folder.path / "frozen.parquet").rows


@pytest.mark.parametrize(
    ("column", "expression", "named"),
    [
        ("promised", "now()::date", "now()"),
        ("promised", "NOW ()::date", "now()"),
        ("promised", "pg_catalog.now()::date", "now()"),
        ("promised", '"now"()::date', "now()"),
        ("promised", "current_date", "current_date"),
        ("promised", "CURRENT_TIMESTAMP(0)::date", "CURRENT_TIMESTAMP"),
        ("promised", "LOCALTIMESTAMP::date", "LOCALTIMESTAMP"),
        ("promised", "clock_timestamp()::date", "clock_timestamp()"),
        ("promised", "statement_timestamp()::date", "statement_timestamp()"),
        ("promised", "timeofday()::date", "timeofday()"),
        ("note", "age(sent_at)::text", "age()"),
        ("note", "age(promised)::text", "age()"),
        ("note", "gen_random_uuid()::text", "gen_random_uuid()"),
        ("weight", "random()", "random()"),
        ("size", "random(1, 6)", "random()"),
        ("size", "pg_backend_pid()", "pg_backend_pid()"),
        ("size", "nextval('counter')", "nextval()"),
        ("size", "txid_current()", "txid_current()"),
        ("note", "current_setting('timezone')", "current_setting()"),
        ("note", "current_user::text", "current_user"),
        ("note", "session_user::text", "session_user"),
        ("note", "current_schema::text", "current_schema"),
        ("note", "version()", "version()"),
        ("note", "inet_client_addr()::text", "inet_client_addr()"),
        ("promised", "'now'::timestamptz::date", "the moment 'now'"),
        ("promised", "'now'::text::timestamptz::date", "the moment 'now'"),
        ("promised", "timestamp 'today'::date", "the moment 'today'"),
        ("promised", "date ' TOMORROW '", "the moment ' TOMORROW '"),
        ("promised", "(timestamptz 'now()')::date", "the moment 'now()'"),
        ("size", "(SELECT count(*)::int FROM pg_stat_activity)", "pg_stat_get_activity()"),
        ("size", "(SELECT length(setting) FROM pg_settings WHERE name = 'port')", "pg_show_all_settings()"),
        ("note", "ctid::text", "the system column ctid"),
        ("note", "(SELECT ctid FROM (SELECT ctid::text AS ctid FROM parcel) q)", "the system column ctid"),
        ("promised", "CAST('yesterday 04:00' AS timestamp)::date", "the moment 'yesterday 04:00'"),
        ("promised", "date('now')", "the moment 'now'"),
        ("promised", "('now' || ' ')::date", "the moment 'now'"),
        ("promised", "COALESCE(promised, 'today')", "the constant 'today'"),
        ("promised", "greatest(promised, E'to\\x64ay')", "the constant 'today'"),
        ("fragile", "promised > 'today'", "the constant 'today'"),
        ("fragile", "sent_at BETWEEN 'yesterday' AND :as_of", "the constant 'yesterday'"),
        ("note", "age('now', sent_at)::text", "the constant 'now'"),
        ("fragile", "sent_at > ANY ('{today}')", "the constant '{today}'"),
        ("fragile", "promised = ANY ('{2024-03-01,today,now}')", "the constant '{2024-03-01,today,now}'"),
        ("fragile", "tstzrange(sent_at, NULL) && '[yesterday, now)'", "the constant '[yesterday, now)'"),
        ("fragile", "(promised, size) < ('today', 1)", "the constant 'today'"),
        ("promised", "due_in(size)", "CURRENT_DATE"),
        ("promised", "due_from(size)", "the moment 'today'"),
        ("size", "hidden(size)", "now()"),
        ("size", "atomic(size)", "CURRENT_DATE"),
        ("promised", "returned(size)", "CURRENT_DATE"),
        ("size", "deeper(size)", "now()"),
        ("size", "said_to_be_fixed(size)", "now()"),
        ("size", "said_so_too(size)", "clock_timestamp()"),
        ("size", "size @+@ 1", "now()"),
        ("size", "(SELECT ends_fixed(size) FROM parcel)", "now()"),
        ("promised", "(SELECT since_now(sent_at)::date FROM parcel)", "the moment 'now'"),
        ("size", "(SELECT of_set(3) WITHIN GROUP (ORDER BY size) FROM parcel)", "now()"),
        ("promised", "by_its_path()", "unseen()"),
        ("size", "parcel.days_of", "now()"),
        ("note", "(SELECT d.note FROM depots d)", "note()"),
        ("note", "(SELECT (d).note FROM depots d)", "note()"),
        ("note", "(SELECT d.note FROM (SELECT * FROM depots) d)", "note()"),
        ("note", "(WITH parcel AS (SELECT * FROM depots) SELECT parcel.note FROM parcel)", "note()"),
        ("note", "(SELECT d.note FROM depots p (note), depots d)", "note()"),
        ("fragile", "size @> ANY (SELECT 3)", "now()"),
        ("size", "size::past::int", "now()"),
        ("weight", "(size::heap).s", "now()"),
        ("promised", "due_among(1)", "CURRENT_DATE"),
        ("size", "careless(size)", "careless()"),
        ("size", "size @@@ 1", "operator @@@"),
        ("note", "(SELECT max(old)::text FROM clocked)", "age()"),
        ("note", "(SELECT max(old)::text FROM public.over_it)", "age()"),
    ],
)  # fmt: skip
def test_the_clock_the_session_and_chance_are_refused(
    source: Source, make_model: MakeModel, column: str, expression: str, named: str
) -> None:
    source.run(OURS)
    with pytest.raises(SpecError) as caught:
        freeze(source, make_model(selecting(**{column: expression})))
    assert re.match(
        rf"{re.escape(named)} (may )?depends? on the clock, the session or chance", caught.value.what
    )
    assert "extract.sql line 1, column " in (caught.value.where or "")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("column", "expression"),
    [
        ("note", "age(:as_of, sent_at)::text"),
        ("note", "'now()'"),
        ("note", "'today'"),
        ("note", "COALESCE(note, 'now')"),
        ("fragile", "note = 'today' OR note IN ('now', 'tomorrow')"),
        ("note", "'today'::text"),
        ("fragile", "note = ANY ('{now,today}') OR note LIKE '(today%'"),
        ("promised", "due_in(size, promised)"),
        ("promised", "due_since(size)"),
        ("promised", "due_among(1, promised)"),
        ("size", "halved(size, 2)"),
        ("size", "size::shelf::int"),
        ("fragile", "parcel.size BETWEEN 1 AND 2 OR CASE parcel.size WHEN 3 THEN true END"),
        ("note", "to_char(sent_at, 'YYYY-MM-DD') || concat(size, '-', sent_at)"),
        ("promised", "date_trunc('day', sent_at + interval '1 month')::date"),
        ("promised", "(sent_at AT TIME ZONE 'Europe/Paris')::date"),
        ("weight", "extract(epoch FROM sent_at - :interval_start)::float8"),
        ("promised", "to_date('2024-01-01', 'YYYY-MM-DD')"),
        ("promised", "make_timestamptz(2024, 1, 1, 0, 0, 0)::date"),
        ("note", "json_build_object('a', size)::text"),
        ("size", "our.random(1)"),
        ("size", "fixed(size)"),
        ("weight", "(weight::grams).g"),
        ("size", "careful(size)"),
        ("size", "(SELECT in_sum(size) FROM parcel)"),
        ("size", "(row_number() OVER (ORDER BY parcel))::int"),
        ("size", "COALESCE(lag(size) OVER (ORDER BY parcel), 1)"),
        ("note", "(SELECT max(day)::text FROM plain)"),
        ("size", "(SELECT xmin FROM (SELECT 1 AS xmin) box)"),
        ("size", "(WITH now AS (SELECT 1 AS current_date) SELECT now.current_date FROM now)"),
        ("note", "parcel.note || public.parcel.carrier || (SELECT max((p).note) FROM parcel p)"),
        ("note", "(SELECT max(d.note) FROM depots d (note))"),
        ("note", "(SELECT max(p.note) FROM parcel p JOIN depots d ON p.note = d.place AND p.carrier > '')"),
        ("note", "(SELECT max(q.note) FROM (SELECT p.* FROM parcel p, depots d) q)"),
        ("note", "(SELECT max(q.note) FROM (SELECT place AS note FROM depots UNION SELECT '') q)"),
        ("note", "(WITH parcel AS (SELECT * FROM parcel) SELECT max(parcel.note) FROM parcel)"),
        (
            "note",
            "(WITH RECURSIVE r AS (SELECT carrier FROM parcel UNION SELECT r.* FROM r WHERE r.carrier = '')"
            " SELECT max((SELECT r.carrier)) FROM r)",
        ),
        ("weight", "sum(weight) OVER (ORDER BY parcel RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)"),
    ],
)
def test_what_depends_on_data_alone_is_not(
    source: Source, make_model: MakeModel, column: str, expression: str
) -> None:
    source.run(OURS)
    source.send(2)
    assert freeze(source, make_model(selecting(**{column: expression}))) == 2


def test_a_function_that_nobody_declared_is_named_with_what_its_owner_can_say(
    source: Source, make_model: MakeModel
) -> None:
    source.run(OURS)
    source.send(2)
    folder = make_model(selecting(size="careless(size)"))
    with pytest.raises(SpecError) as caught:
        freeze(source, folder)
    assert "declared VOLATILE, as every function is whose CREATE FUNCTION says nothing" in caught.value.what
    [statement] = re.findall(r"ALTER FUNCTION \S+ STABLE", caught.value.fix or "")
    source.run(statement)
    assert freeze(source, folder) == 2


def test_a_cast_is_a_call(source: Source, make_model: MakeModel) -> None:
    source.run(OURS)
    source.send(2)
    folder = make_model(selecting(weight="(weight::grams).g"))
    source.run("ALTER FUNCTION weighed(float8) VOLATILE")
    with pytest.raises(SpecError, match=r"the cast to grams by weighed\(\) may depend"):
        freeze(source, folder)
    # Where a cast needs no naming, a query need not name it either.
    source.run("ALTER FUNCTION weighed(float8) STABLE; CREATE CAST (int AS grams) WITH FUNCTION scaled(int)")
    assert freeze(source, make_model()) == 2
    source.run("DROP CAST (int AS grams); CREATE CAST (int AS grams) WITH FUNCTION scaled(int) AS IMPLICIT")
    with pytest.raises(SpecError, match=r"the cast to grams by scaled\(\)"):
        freeze(source, make_model())


def test_row_security_may_ask_who_reads_and_nothing_else(source: Source, make_model: MakeModel) -> None:
    source.send(4)
    source.run(
        "DROP ROLE IF EXISTS policy_guest; CREATE ROLE policy_guest LOGIN PASSWORD 'guest';"
        " GRANT SELECT ON ALL TABLES IN SCHEMA public TO policy_guest;"
        " ALTER TABLE parcel ENABLE ROW LEVEL SECURITY;"
        " CREATE POLICY own ON parcel FOR SELECT USING (current_user = 'policy_guest' AND parcel > 0);"
        " CREATE POLICY others ON parcel FOR SELECT TO pg_monitor USING (sent_at < now());"
    )
    try:
        guest = psycopg2.extensions.make_dsn(source.url, user="policy_guest", password="guest")
        folder = make_model()
        destination = folder.path / "frozen.parquet"
        assert extract(guest, folder, DAY, DAY.end, destination).rows == 3
        assert freeze(source, folder) == 4  # the owner sees every row, whatever the policies say
        source.run("CREATE POLICY late ON parcel AS RESTRICTIVE FOR SELECT USING (sent_at < now())")
        assert freeze(source, folder) == 4
        with pytest.raises(SpecError, match=r"now\(\) depends on the clock") as caught:
            extract(guest, folder, DAY, DAY.end, destination)
        assert "inside the policy late of parcel" in (caught.value.where or "")
        assert "BYPASSRLS" in (caught.value.fix or "")
        source.run("CREATE VIEW seen AS SELECT * FROM parcel; GRANT SELECT ON seen TO policy_guest")
        with pytest.raises(SpecError, match=r"now\(\) depends"):  # a view's owner may be anybody
            extract(guest, make_model(EXTRACT.replace("FROM parcel", "FROM seen")), DAY, DAY.end, destination)
    finally:
        source.run("DROP OWNED BY policy_guest; DROP ROLE policy_guest")


def test_labels_keep_the_same_law(source: Source, make_model: MakeModel) -> None:
    source.send(2)
    folder = make_model(labels=LABELS.replace(":as_of", "now()"))
    with pytest.raises(SpecError, match=r"now\(\) depends on the clock") as caught:
        labels(source.url, folder, [DAY], DAY.end)
    assert "labels.sql line 4" in (caught.value.where or "")


def test_a_query_that_the_server_refuses_keeps_its_words(source: Source, make_model: MakeModel) -> None:
    with pytest.raises(SourceQueryError, match="syntax error"):
        freeze(source, make_model("SELECT now( FROM"))
