"""What the database says no to, and columns that are not as declared: named, with the fix."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rescore.errors import (
    DiskFullError,
    RescoreError,
    SettingsError,
    SourceQueryError,
    SourceSchemaError,
    SourceUnavailableError,
    SpecError,
)
from rescore.folder import ModelFolder
from rescore.local import free_port
from rescore.source import extract, is_ready
from rescore.source.extraction import FrozenInput
from rescore.source.inspection import reading
from rescore.source.query import render
from rescore.source.session import Session
from tests.shared.waiting import until
from tests.source.conftest import DAY, EXTRACT, SLOW, SPEC, MakeModel, Source

COLUMNS = ["depot", "parcel", "sent_at", "weight", "size", "carrier", "fragile", "promised", "note"]


def freeze(url: str, folder: ModelFolder) -> FrozenInput:
    return extract(url, folder, DAY, DAY.end, folder.path.parent.parent / "frozen.parquet")


def refused(url: str, folder: ModelFolder, kind: type[RescoreError]) -> RescoreError:
    with pytest.raises(kind) as caught:
        freeze(url, folder)
    assert type(caught.value) is kind
    assert list(folder.path.parent.parent.glob("*.parquet*")) == []
    assert caught.value.fix
    assert caught.value.where
    return caught.value


def selecting(**expressions: str | None) -> str:
    """The extract with some columns given by other expressions, or (None) left out."""
    columns = dict(zip(COLUMNS, COLUMNS, strict=True))
    columns.update(expressions)  # type: ignore[arg-type]
    listed = ", ".join(f"{sql} AS {name}" for name, sql in columns.items() if sql is not None)
    return f"SELECT {listed} FROM parcel WHERE sent_at >= :interval_start AND sent_at < :interval_end"


def test_a_missing_column_is_named_before_any_row_is_read(source: Source, make_model: MakeModel) -> None:
    poisoned = selecting(weight=None, size="1 / 0")  # reading a row would fail
    source.send(1)
    error = refused(source.url, make_model(poisoned), SourceSchemaError)
    assert error.what == "weight: missing, expected int2 or int4 or int8 or float8"
    assert "extract.sql" in (error.where or "")
    assert error.fix == "select weight too"
    assert error.data["missing"] == ["weight"]


def test_an_undeclared_column_is_named(source: Source, make_model: MakeModel) -> None:
    error = refused(source.url, make_model(selecting(wheight="weight", weight=None)), SourceSchemaError)
    assert error.examples == (
        "weight: missing (there is wheight), expected int2 or int4 or int8 or float8",
        "wheight: not declared in model.yaml",
    )
    assert error.fix == "select weight too; declare wheight as a feature, or drop it from the query"


def test_a_column_of_other_capitals_is_named_as_it_comes(source: Source, make_model: MakeModel) -> None:
    subject = {**SPEC["source"], "subject": ["Depot"]}  # a key, and so no column that is left over
    error = refused(source.url, make_model(source=subject), SourceSchemaError)
    assert error.what.startswith("Depot: missing (there is depot), expected ")
    assert (error.fix or "").startswith('write depot for Depot in model.yaml, or select it AS "Depot": ')
    error = refused(
        source.url, make_model(selecting(weight=None, **{'"Weight"': "weight"})), SourceSchemaError
    )
    assert error.fix == (
        'write Weight for weight in model.yaml, or select it AS "weight": SQL makes names lower case'
    )


def test_a_column_that_comes_twice(source: Source, make_model: MakeModel) -> None:
    twice = EXTRACT.replace("promised, note", "promised, note, size")
    assert refused(source.url, make_model(twice), SourceSchemaError).what == "size: occurs twice"


@pytest.mark.parametrize(
    ("column", "expression", "got", "fix"),
    [
        ("weight", "weight::numeric", "numeric", "weight::float8"),
        ("weight", "weight::float4", "float4", "weight::float8"),
        ("weight", "note", "text", "weight::float8"),
        ("size", "interval '1 day'", "interval", "size::float8"),
        ("size", "sum(size) OVER ()::numeric", "numeric", "size::float8"),
        ("carrier", "size", "int4", "carrier::text"),
        ("carrier", "array[carrier]", "_text", "carrier::text"),
        ("carrier", "carrier::name", "name", "carrier::text"),
        ("carrier", "gen_uuid", "uuid", "carrier::text"),
        ("carrier", "'ok'::mood", "mood", "carrier::text"),
        ("note", "to_json(note)", "json", "note::text"),
        ("note", "to_jsonb(note)", "jsonb", "note::text"),
        ("note", "note::bytea", "bytea", "note::text"),
        ("fragile", "size", "int4", "fragile::bool"),
        ("promised", "promised::timestamp", "timestamp", "promised AT TIME ZONE 'UTC' AS promised"),
        ("promised", "note", "text", "promised::timestamptz"),
        ("sent_at", "sent_at::date", "date", "sent_at::timestamptz"),
        ("parcel", "parcel::numeric", "numeric", "parcel::int8"),
        ("parcel", "parcel::float8", "float8", "parcel::text"),
        ("parcel", "'00000000-0000-0000-0000-000000000000'::uuid", "uuid", "parcel::text"),
    ],
)
def test_a_type_that_loses_or_hides_bits(
    source: Source, make_model: MakeModel, column: str, expression: str, got: str, fix: str
) -> None:
    source.run("CREATE TYPE mood AS ENUM ('ok')")
    expression = expression.replace("gen_uuid", "'00000000-0000-0000-0000-000000000000'::uuid")
    error = refused(source.url, make_model(selecting(**{column: expression})), SourceSchemaError)
    assert f"got {got}" in error.what
    assert error.what.startswith(f"{column}: expected ")
    assert error.fix == f"cast in the query: {fix}"
    assert error.data["types"] == {column: got}


def test_a_key_that_is_a_feature_has_to_fit_both(source: Source, make_model: MakeModel) -> None:
    features = [*SPEC["features"], {"name": "parcel", "kind": "categorical"}]
    error = refused(source.url, make_model(features=features), SourceSchemaError)
    assert error.what == "parcel: expected text or varchar or bpchar, got int8"


@pytest.mark.parametrize(
    ("query", "message", "place", "state"),
    [
        ("SELECT *\nFROM nowhere", 'relation "nowhere" does not exist', "line 2, column 6", "42P01"),
        ("SELECT :as_of, hue\nFROM parcel", 'column "hue" does not exist', "line 1, column 16", "42703"),
        ("SELECT 1 FROM\n  parcel WHERE", "syntax error at end of input", "line 2, column 15", "42601"),
        ("SELECT 1) FROM (SELECT 1", 'syntax error at or near ")"', "line 1, column 9", "42601"),
        (f"WITH gone AS (DELETE FROM parcel RETURNING {', '.join(COLUMNS)}) SELECT * FROM gone",
         "WITH", "extract.sql", "0A000"),
        (selecting(size="1 / 0"), "division by zero", "extract.sql", "22012"),
        (selecting(weight="(1 / (4 - parcel))::float8"), "division by zero", "extract.sql", "22012"),
    ],
)  # fmt: skip
def test_refused_sql_comes_with_postgres_own_words_and_the_place(
    source: Source, make_model: MakeModel, query: str, message: str, place: str, state: str
) -> None:
    source.send(10)
    error = refused(source.url, make_model(query), SourceQueryError)
    assert message in error.what
    assert place in (error.where or "")
    assert not error.retryable
    assert error.data["sqlstate"] == state
    assert source.run("SELECT count(*) FROM parcel") == [(10,)]


def test_a_statement_that_takes_too_long(source: Source, make_model: MakeModel) -> None:
    source.send(1)
    source.run(SLOW)
    folder = make_model(
        selecting(size="(SELECT 1 FROM slow(60))"), source={**SPEC["source"], "statement_timeout": "0.2s"}
    )
    error = refused(source.url, folder, SourceQueryError)
    assert "statement timeout" in error.what
    assert "source.statement_timeout" in (error.fix or "")


def test_no_permission(source: Source, folder: ModelFolder) -> None:
    source.run("CREATE ROLE nobody LOGIN PASSWORD 'secret'")
    try:
        parts = urlsplit(source.url)
        url = source.url.replace(f"{parts.username}:{parts.password}@", "nobody:secret@")
        error = refused(url, folder, SourceQueryError)
        assert "permission denied for table parcel" in error.what
        assert "grant SELECT" in (error.fix or "")
    finally:
        source.run("DROP ROLE nobody")


def test_a_database_that_is_down_may_be_up_later(folder: ModelFolder) -> None:
    error = refused(f"postgresql://me:secret@127.0.0.1:{free_port()}/x", folder, SourceUnavailableError)
    assert error.retryable
    assert "Connection refused" in error.what
    assert "secret" not in str(error)
    assert "me@127.0.0.1:" in (error.where or "")


@pytest.mark.parametrize(
    ("part", "other", "problem"),
    [("password", "wrong", "password authentication failed"), ("path", "/nowhere", "does not exist")],
)
def test_a_wrong_login_is_no_matter_of_time(
    source: Source, folder: ModelFolder, part: str, other: str, problem: str
) -> None:
    url = source.url.replace(str(getattr(urlsplit(source.url), part)), other)
    error = refused(url, folder, SettingsError)
    assert problem in error.what
    assert not error.retryable


@pytest.mark.parametrize(
    "url",
    ["postgresql://h/x?colour=red", "", "what is this", "postgresql://me:se/cret@h/x", "http://h/se/cret"],
)
def test_a_url_that_is_none_and_none_of_it_shown(folder: ModelFolder, url: str) -> None:
    error = refused(url, folder, SettingsError)
    assert error.what.startswith("the URL of a Postgres can't be read")
    assert error.where == "the source connection that model.yaml names"
    assert "cret" not in str(error)
    assert "%2F" in (error.fix or "")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg2", "postgresql+psycopg"])
def test_every_spelling_of_a_url(source: Source, folder: ModelFolder, scheme: str) -> None:
    source.send(3)
    assert freeze(source.url.replace("postgresql", scheme, 1), folder).rows == 3


def test_a_connection_lost_in_the_middle_may_work_later(source: Source, make_model: MakeModel) -> None:
    source.send(50)
    source.run(SLOW)
    folder = make_model(selecting(size="(SELECT parcel::int4 FROM slow(0.02 + 0 * parcel))"))

    def kill() -> None:
        with closing(Source(source.url)) as other:
            until = time.monotonic() + 20
            while time.monotonic() < until and not other.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE 'COPY%slow(%' AND application_name = 'rescore'"
            ):
                pass

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        error = refused(source.url, folder, SourceUnavailableError)
    finally:
        killer.join()
    assert error.retryable
    assert "terminating connection" in error.what


@pytest.mark.parametrize(
    ("state", "kind", "fix"),
    [
        ("53100", SourceUnavailableError, "try again"),
        ("40001", SourceUnavailableError, "try again"),
        ("22012", SourceQueryError, "correct the query"),
        ("57014", SourceQueryError, "raise source.statement_timeout"),
        ("42501", SourceQueryError, "grant SELECT"),
    ],
)
def test_an_error_in_the_middle_of_the_rows_keeps_its_code(
    source: Source, make_model: MakeModel, state: str, kind: type[RescoreError], fix: str
) -> None:
    """The server's words may be in any language: the code alone says whether trying again can help."""
    source.run(
        "CREATE FUNCTION broken(i int8) RETURNS float8 IMMUTABLE LANGUAGE plpgsql AS"
        f" $$ BEGIN IF i = 59000 THEN RAISE 'nej' USING ERRCODE = '{state}'; END IF; RETURN i; END $$"
    )
    source.run(
        "INSERT INTO parcel SELECT 'Lyon', i, %s, NULL, 1, '', true, NULL, repeat('x', 200), %s"
        " FROM generate_series(1, 60000) i",
        DAY.start, DAY.start,
    )  # fmt: skip
    error = refused(source.url, make_model(selecting(weight="broken(parcel)")), kind)
    assert "nej" in error.what
    assert fix in (error.fix or "")
    assert error.data.get("sqlstate", state) == state


def test_a_connection_that_an_inspection_loses_may_work_later(source: Source) -> None:
    with pytest.raises(SourceUnavailableError, match="not available"), reading(source.url) as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        source.run("SELECT pg_terminate_backend(%s)", *cursor.fetchone())
        cursor.execute("SELECT 1")


def test_an_old_snapshot_is_let_go(source: Source, make_model: MakeModel) -> None:
    source.send(3)
    source.run(SLOW)
    folder = make_model(
        selecting(size="(SELECT parcel::int4 FROM slow(0.02 + 0 * parcel))"),
        source={**SPEC["source"], "snapshot_max_age": "0.01s"},
    )
    error = refused(source.url, folder, SourceQueryError)
    assert "snapshot of the source is" in error.what
    assert "source.snapshot_max_age" in (error.fix or "")
    assert not error.retryable


def test_what_a_disk_has_no_room_for_is_not_begun(source: Source, make_model: MakeModel) -> None:
    source.send(3)
    source.run("ANALYZE parcel")
    many = "SELECT p.* FROM parcel p, generate_series(1, 1000000) a, generate_series(1, 10000000) b"
    folder = make_model(selecting().replace("FROM parcel", f"FROM ({many}) parcel"))
    error = refused(source.url, folder, DiskFullError)  # reading them would take days
    assert error.data["needed_bytes"] > error.data["free_bytes"]
    assert "ANALYZE" in (error.fix or "")


def test_an_error_between_two_batches_ends_the_query_too(source: Source, folder: ModelFolder) -> None:
    running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY%slow(%' AND pid <> pg_backend_pid()"
    source.run(SLOW)
    endless = "SELECT n, repeat('x', 100000), slow(n / 500)::text FROM generate_series(1, 100000) n"
    with pytest.raises(KeyboardInterrupt), Session(source.url, folder.spec.source) as session:
        next(session.rows(endless, render("SELECT 1", DAY, DAY.end, where="here")))
        assert source.run(running)
        raise KeyboardInterrupt
    until(lambda: not source.run(running), "the end of the query")


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT count(*) = 3 FROM parcel WHERE recorded_at <= :as_of AND sent_at < :interval_end", True),
        ("SELECT count(*) > 3 FROM parcel", False),
        ("SELECT NULL::bool", False),
        ("SELECT true WHERE now() < :interval_start", False),
    ],
)
def test_readiness_is_what_the_model_says(
    source: Source, make_model: MakeModel, sql: str, answer: bool
) -> None:
    source.send(3)
    folder = make_model(source={**SPEC["source"], "ready": {"sql": sql}})
    assert is_ready(source.url, folder, DAY, DAY.end) is answer


def test_without_a_readiness_query_it_is_ready(source: Source, folder: ModelFolder) -> None:
    assert is_ready(source.url, folder, DAY, DAY.end)


@pytest.mark.parametrize(
    "sql", ["SELECT 1", "SELECT true, false", "SELECT true FROM parcel", "SELECT FROM parcel"]
)
def test_readiness_is_one_boolean(source: Source, make_model: MakeModel, sql: str) -> None:
    source.send(2)
    folder = make_model(source={**SPEC["source"], "ready": {"sql": sql}})
    with pytest.raises(SpecError) as caught:
        is_ready(source.url, folder, DAY, DAY.end)
    assert caught.value.expected == "one row with one boolean"
    assert "source.ready.sql" in (caught.value.where or "")


def test_an_unwritable_folder_is_named(source: Source, folder: ModelFolder, tmp_path: Path) -> None:
    source.send(1)
    (tmp_path / "file").write_text("")
    with pytest.raises(RescoreError, match="the rows can't be written") as caught:
        extract(source.url, folder, DAY, DAY.end, tmp_path / "file" / "frozen.parquet")
    assert str(tmp_path / "file") in (caught.value.where or "")
