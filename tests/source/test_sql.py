"""Names are replaced where they are names, and nowhere else; what can't be reproduced is refused."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rescore.errors import SpecError
from rescore.interval import Interval
from rescore.source.grammar import RelationName
from rescore.source.query import on_other_relations, quote_identifier, relation_names, render, tables_of
from tests.source.conftest import DAY

START = "(TIMESTAMPTZ '2024-03-01 00:00:00.000000+00:00')"
END = "(TIMESTAMPTZ '2024-03-02 00:00:00.000000+00:00')"
AS_OF = "(TIMESTAMPTZ '2024-03-05 06:07:08.000009+00:00')"
MOMENT = datetime(2024, 3, 5, 6, 7, 8, 9, tzinfo=UTC)

inside = st.text("ab :;$()-/*\n", max_size=8).map(lambda text: f"{text} :interval_start {text}")
# Each gives SQL that must come out unchanged, though it holds a name.
opaque = st.one_of(
    inside.map(lambda text: "'" + text.replace("'", "''") + "'"),
    inside.map(lambda text: "E'\\'" + text + "\\\\'"),
    inside.map(lambda text: "e'''" + text + "'"),
    inside.map(lambda text: "U&'" + text + "'"),
    inside.map(lambda text: '"' + text + '""' + '"'),
    inside.map(lambda text: "$$" + text.replace("$", "") + "'$$"),
    inside.map(lambda text: "$tag_1$" + text.replace("$", "") + "$$ $tag$ $tag_1$"),
    inside.map(lambda text: "--" + text.replace("\n", "") + "'\n"),
    inside.map(lambda text: "/*" + text.replace("*", "").replace("/", "") + "/* nested ' */ $$ */"),
    st.sampled_from(["::timestamptz", "a::date", "x[1:2]", "1.5e3", "a$b$c", "été", "<=", "||", "%s", "?"]),
)
names = st.sampled_from([(":interval_start", START), (":interval_end", END), (":as_of", AS_OF)])
pieces = st.lists(st.one_of(opaque.map(lambda sql: (sql, sql)), names), max_size=12)


@settings(deadline=None, max_examples=300)
@given(pieces)
def test_only_names_are_replaced(parts: list[tuple[str, str]]) -> None:
    template = "SELECT " + " ".join(before for before, _ in parts)
    query = render(template, DAY, MOMENT, where="x.sql")
    assert query.text == "SELECT " + " ".join(after for _, after in parts)


@settings(deadline=None, max_examples=100)
@given(
    st.datetimes(timezones=st.just(UTC)).filter(lambda moment: 1 < moment.year < 9999), st.integers(-14, 14)
)
def test_a_moment_is_written_in_utc_to_the_microsecond(moment: datetime, offset: int) -> None:
    local = moment.astimezone(timezone(timedelta(hours=offset)))
    text = render("SELECT :as_of", DAY, local, where="x.sql").text
    written = text.removeprefix("SELECT (TIMESTAMPTZ '").removesuffix("')")
    assert datetime.fromisoformat(written) == moment
    assert written.endswith("+00:00")


@settings(deadline=None, max_examples=100)
@given(pieces, st.data())
def test_a_place_in_the_query_is_found_in_the_file(parts: list[tuple[str, str]], data: st.DataObject) -> None:
    template = "SELECT " + " ".join(before for before, _ in parts) + " MARK"
    query = render(template, DAY, MOMENT, where="x.sql")
    mark = template.index("MARK")
    line, column = template.count("\n", 0, mark) + 1, mark - (template.rfind("\n", 0, mark) + 1) + 1
    assert query.locate(query.text.index("MARK")) == f"x.sql line {line}, column {column}"


def test_a_place_inside_a_literal_is_that_of_its_name() -> None:
    query = render("SELECT 1,\n  :as_of", DAY, MOMENT, where="x.sql")
    assert query.locate(query.text.index("06:07")) == "x.sql line 2, column 3"


def test_postgres_reads_it_as_we_do(database_url: str) -> None:
    template = r"""
        WITH parts(n, part) AS (VALUES -- :unknown
            (1, ':interval_start'), (2, E'\':as_of\\'), (3, $a$:as_of $$ ' $a$), (4, ''':x'),
            (5, U&'\003Ax'), (6, /* :y /* :z */ ' */ 'e' ':as_of'), (7, 'a'
            ':b'))
        SELECT array_agg(part ORDER BY n), min(":interval_start")::text, :interval_start::date::text,
               BOOL_AND(:as_of BETWEEN:interval_start AND:as_of), (array[1,2,3])[1:2]
        FROM parts, (SELECT 1 AS ":interval_start") q; -- the end: ; 'of it
        """
    query = render(template.replace("'e' ':as_of'", "':as_of'"), DAY, MOMENT, where="x.sql")
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(query.text)
        (row,) = cursor.fetchall()
    assert row == (
        [":interval_start", "':as_of\\", ":as_of $$ ' ", "':x", ":x", ":as_of", "a:b"],
        "1",
        "2024-03-01",
        True,
        [1, 2],
    )


def sql_error(template: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        render(template, DAY, MOMENT, where="models/x/extract.sql")
    return caught.value


def test_an_unknown_name_is_named_with_its_place() -> None:
    error = sql_error("SELECT *\nFROM t WHERE a > :interval_strat")
    assert error.what == ":interval_strat is not a name that a query can use"
    assert error.where == "models/x/extract.sql line 2, column 18"
    assert error.expected == "only :interval_start, :interval_end, :as_of"
    assert "did you mean :interval_start?" in (error.fix or "")


@pytest.mark.parametrize("name", [":as_off", ":AS_OF", ":interval_start2", ":x", ":_"])
def test_no_other_name_is_let_through(name: str) -> None:
    assert name in sql_error(f"SELECT {name}").what


@pytest.mark.parametrize(
    ("template", "problem", "place"),
    [
        ("", "the query is empty", "extract.sql"),
        ("  -- nothing\n ; ", "the query is empty", "extract.sql"),
        ("DELETE FROM t", "starts with 'DELETE'", "line 1, column 1"),
        ("\n TABLE t", "starts with 'TABLE'", "line 2, column 2"),
        ("SELECT 1; SELECT 2", "second statement", "line 1, column 11"),
        ("SELECT 1;\n-- fine\n;DROP TABLE t", "second statement", "line 3, column 2"),
        ("SELECT $1", "$1 is a parameter", "line 1, column 8"),
        ("SELECT 'it''s", "the string that ' opens is never closed", "line 1, column 8"),
        (r"SELECT E'it\'s :as_of", "the string that E' opens is never closed", "line 1, column 8"),
        ('SELECT "a', 'the quoted identifier that " opens', "line 1, column 8"),
        ("SELECT $x$ $X$", "the string that $x$ opens", "line 1, column 8"),
        ("SELECT /* /* */ 1", "the comment that /* opens", "line 1, column 8"),
    ],
)
def test_one_whole_select(template: str, problem: str, place: str) -> None:
    error = sql_error(template)
    assert problem in error.what
    assert place in (error.where or "")


@pytest.mark.parametrize(
    "template", ["select 1", "WITH a AS (SELECT 1) SELECT * FROM a;", "(SELECT 1) UNION (SELECT 2)"]
)
def test_any_way_to_write_a_select(template: str) -> None:
    assert render(template, DAY, MOMENT, where="x").text == template.removesuffix(";")


@settings(deadline=None, max_examples=50)
@given(st.text(st.sampled_from("ab\"'; %:$-é"), min_size=1, max_size=12))
def test_identifiers_are_taken_literally(name: str) -> None:
    quoted = quote_identifier(name)
    assert quoted[1:-1].replace('""', '"') == name
    interval = Interval(DAY.start, DAY.end)
    assert render(f"SELECT {quoted}", interval, MOMENT, where="x").text == f"SELECT {quoted}"


OTHERS = {
    ("public", "station"): "k1", ("station",): "k1", ("shop", "orders"): "k2", ("crm", "orders"): "k3",
    ("Été", "b"): "k4",
}  # fmt: skip
COPIES = {RelationName(parts): copy for parts, copy in OTHERS.items()}
COPIES |= {RelationName(parts, only=True): f"only {copy}" for parts, copy in OTHERS.items()}


@pytest.mark.parametrize(
    ("query", "named", "rewritten"),
    [
        ("SELECT read_at, station FROM public.station", [("public", "station")],
         'SELECT read_at, station FROM pg_temp."k1" AS "station"'),
        ("WITH station AS (SELECT 1 FROM station) SELECT a, b FROM station", [("station",)],
         'WITH station AS (SELECT 1 FROM pg_temp."k1" AS "station") SELECT a, b FROM station'),
        ("WITH RECURSIVE station AS (SELECT 1 UNION SELECT 2 FROM station) TABLE station", [],
         "WITH RECURSIVE station AS (SELECT 1 UNION SELECT 2 FROM station) TABLE station"),
        ('SELECT é.x FROM "Été" . b é, LATERAL (SELECT é.x) z', [("Été", "b")],
         'SELECT é.x FROM pg_temp."k4" é, LATERAL (SELECT é.x) z'),
        ("SELECT shop.orders.a, crm.orders.* FROM shop.orders JOIN crm.orders"
         " ON shop.orders.a = crm . orders.a",
         [("shop", "orders"), ("crm", "orders")],
         'SELECT "k2".a, "k3".* FROM pg_temp."k2" AS "k2" JOIN pg_temp."k3" AS "k3" ON "k2".a = "k3".a'),
        ("SELECT orders.a, (SELECT max(orders.b) FROM crm.orders) FROM shop.orders",
         [("crm", "orders"), ("shop", "orders")],
         'SELECT orders.a, (SELECT max(orders.b) FROM pg_temp."k3" AS "orders")'
         ' FROM pg_temp."k2" AS "orders"'),
        ("SELECT extract(year FROM station), trim(both from station) FROM f(1) AS station", [],
         "SELECT extract(year FROM station), trim(both from station) FROM f(1) AS station"),
        ("SELECT 'FROM public.station' -- FROM station\nFROM other", [("other",)],
         "SELECT 'FROM public.station' -- FROM station\nFROM other"),
        ("SELECT station.a FROM only ( -- one\n station ) JOIN public . station * t ON true",
         [("station",), ("public", "station")],
         'SELECT station.a FROM pg_temp."only k1" AS "station" JOIN pg_temp."k1" t ON true'),
        ("SELECT * FROM ONLY station, station * CROSS JOIN shop.orders*", [("station",), ("station",),
         ("shop", "orders")],
         'SELECT * FROM pg_temp."only k1" AS "only k1", pg_temp."k1" AS "k1" CROSS JOIN'
         ' pg_temp."k2" AS "orders"'),
    ],
)  # fmt: skip
def test_relations_are_read_by_postgres_own_grammar(
    query: str, named: list[tuple[str, ...]], rewritten: str
) -> None:
    assert [name.parts for name in relation_names(query)] == named
    assert on_other_relations(query, COPIES) == rewritten


def test_a_long_sum_is_read_and_a_hopeless_nest_refused() -> None:
    assert relation_names("SELECT " + " + ".join(["a"] * 300) + " FROM t") == [RelationName(("t",))]
    with pytest.raises(SpecError, match="nested too deeply"):
        relation_names("SELECT " + "(SELECT " * 2000 + "1" + ")" * 2000)


def test_the_tables_of_an_extract_are_relations_and_nothing_else() -> None:
    query = """
    -- taken from nowhere, joined from the docs
    WITH clock AS (SELECT :as_of AS moment), base AS (SELECT * FROM Orders, "Items" AS i)
    SELECT extract(hour FROM f.event_time), trim(both FROM f.a) FROM fleet.flights f JOIN base b ON b.x = f.x
    WHERE f.a IS DISTINCT FROM b.y AND f.event_time >= :interval_start AND f.event_time < :interval_end;
    """
    assert tables_of(query, where="extract.sql") == {"public.orders", "public.Items", "fleet.flights"}
    with pytest.raises(SpecError):
        tables_of("SELECT FROM FROM", where="extract.sql")
