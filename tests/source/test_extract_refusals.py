"""Rows that no score could be told apart by, or kept, stop an extraction, which says which and why."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rescore.digest import table_digest
from rescore.errors import EmptyIntervalError, SourceEventTimeError, SourceKeyError, SourceSchemaError
from rescore.folder import ModelFolder
from rescore.local import LocalPostgres
from rescore.source import extract, read_frozen
from tests.source.conftest import DAY, EXTRACT, SPEC, TABLES, MakeModel, Source, insert


def test_an_empty_interval_is_an_error_unless_declared(
    source: Source,
    folder: ModelFolder,
    make_model: MakeModel,
    frozen: Callable[..., pa.Table],
    tmp_path: Path,
) -> None:
    with pytest.raises(EmptyIntervalError, match="has no row in 2024-03-01T00:00:00Z") as caught:
        frozen()
    assert "schedule.empty: publish" in (caught.value.fix or "")
    assert list(tmp_path.glob("*.parquet*")) == []
    publishing = make_model(schedule={**SPEC["schedule"], "empty": "publish"})
    table = frozen(publishing)
    assert (table.num_rows, table.column_names) == (0, publishing.spec.input_columns)


@pytest.mark.parametrize(
    ("rows", "problem", "example"),
    [
        ([("Lyon", 7), ("Lyon", 7), ("Nice", 1)], "occurs more than once (depot, parcel): at least 1 row",
         "depot=Lyon, parcel=7"),
        ([("Lyon", 7), ("Lyon", None)], "NULL in at least 1 row: parcel", "depot=Lyon, parcel=NULL"),
        ([(None, 7), ("Lyon", 7), (None, None)], "NULL in at least 2 rows: depot, parcel",
         "depot=NULL, parcel=7"),
        ([(None, 7), (None, 7)], "NULL in at least 2 rows: depot", "depot=NULL, parcel=7"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_shown(
    source: Source,
    frozen: Callable[..., pa.Table],
    tmp_path: Path,
    rows: list[tuple[Any, Any]],
    problem: str,
    example: str,
) -> None:
    for depot, parcel in rows:
        insert(source, depot, parcel)
    with pytest.raises(SourceKeyError) as caught:
        frozen()
    assert problem in caught.value.what
    assert example in caught.value.examples
    assert "extract.sql" in (caught.value.where or "")
    assert str(DAY) in (caught.value.where or "")
    assert list(tmp_path.glob("**/*.parquet*")) == []


@pytest.mark.parametrize(
    ("sent_at", "problem", "example"),
    [
        (None, "sent_at is NULL in at least 1 row", "depot=Lyon, parcel=2"),
        (
            DAY.end,
            "sent_at lies outside the interval in at least 1 row",
            "depot=Lyon, parcel=2: 2024-03-02 00:00:00",
        ),
        (DAY.start - timedelta(microseconds=1), "lies outside", "2024-02-29 23:59:59.999999"),
        ("infinity", "lies outside", "depot=Lyon, parcel=2: a moment outside the years 1 to 9999"),
        ("-infinity", "lies outside", "depot=Lyon, parcel=2: a moment outside the years 1 to 9999"),
    ],
)
def test_a_wrong_event_time_is_shown(
    source: Source,
    make_model: MakeModel,
    frozen: Callable[..., pa.Table],
    sent_at: datetime | str | None,
    problem: str,
    example: str,
) -> None:
    careless = make_model(EXTRACT.replace("sent_at >= :interval_start AND sent_at < :interval_end", "true"))
    insert(source, parcel=1)
    insert(source, parcel=2, sent_at=sent_at)
    with pytest.raises(SourceEventTimeError) as caught:
        frozen(careless)
    assert problem in caught.value.what
    assert caught.value.examples[0].startswith(example) or example in caught.value.examples[0]


@pytest.mark.parametrize("value", ["infinity", "-infinity"])
def test_infinite_dates_are_refused(source: Source, frozen: Callable[..., pa.Table], value: str) -> None:
    insert(source, promised=value)
    with pytest.raises(SourceSchemaError, match="'promised' holds an infinite value") as caught:
        frozen()
    assert "WHEN promised BETWEEN" in (caught.value.fix or "")


@pytest.mark.parametrize("key", [["depot"], ["depot", "size"]])
def test_keys_that_differ_in_trailing_blanks_are_two_in_one_order(
    source: Source, make_model: MakeModel, frozen: Callable[..., pa.Table], key: list[str]
) -> None:
    """To bpchar without a length ``'a'`` equals ``'a '``, to everything after the extraction it does not."""
    padded = make_model(
        EXTRACT.replace("depot, parcel", "depot::bpchar AS depot"),
        source={**SPEC["source"], "key": key},
        features=[each for each in SPEC["features"] if each["name"] not in key],
    )
    seen = set()
    for depots in (["a ", "a", "a  ", "b"], ["b", "a", "a  ", "a "]):
        source.run("TRUNCATE parcel")
        for depot in depots:
            insert(source, depot, size=1)
        table = frozen(padded)
        assert table["depot"].to_pylist() == ["a", "a ", "a  ", "b"]
        seen.add(table_digest(table).root)
    assert len(seen) == 1
    insert(source, "a", size=1)
    with pytest.raises(SourceKeyError, match="occurs more than once"):
        frozen(padded)


def test_an_old_file_stays_when_a_new_extraction_fails(
    source: Source, frozen: Callable[..., pa.Table], tmp_path: Path
) -> None:
    source.send(10)
    before = frozen()
    insert(source, None, 1)
    with pytest.raises(SourceKeyError):
        frozen()
    assert [path.name for path in tmp_path.glob("*.parquet*")] == ["frozen.parquet"]
    assert read_frozen(tmp_path / "frozen.parquet", table_digest(before).root).equals(before)


def test_a_key_too_long_for_the_index_is_refused_with_its_column(
    source: Source, folder: ModelFolder, tmp_path: Path
) -> None:
    source.send(3)
    source.run("UPDATE parcel SET depot = repeat('http://x/', 600) || parcel WHERE parcel = 1")
    with pytest.raises(SourceKeyError) as caught:
        extract(source.url, folder, DAY, DAY.end, tmp_path / "frozen.parquet")
    assert caught.value.what == "the key is too long in at least 1 row: depot has up to 5,401 bytes"
    assert len(caught.value.examples[0]) < 100
    assert caught.value.examples[0].endswith("parcel=1")
    assert "md5(depot) AS depot" in (caught.value.fix or "")


def test_the_longest_key_that_passes_fits_the_index(
    source: Source, folder: ModelFolder, tmp_path: Path
) -> None:
    source.send(1)
    source.run(
        "CREATE TABLE scores (run_id uuid, depot text, parcel int8, sent_at timestamptz,"
        " PRIMARY KEY (run_id, depot, parcel, sent_at));"
        " CREATE FUNCTION noise(n int) RETURNS text LANGUAGE sql AS $$ SELECT left(string_agg("
        " encode(sha512(i::text::bytea), 'base64'), ''), n) FROM generate_series(1, 40) i $$"
    )
    room = 2704 - 32 - 2 * 11
    source.run("UPDATE parcel SET depot = noise(%s)", room)
    source.run("INSERT INTO scores SELECT gen_random_uuid(), depot, parcel, sent_at FROM parcel")
    assert extract(source.url, folder, DAY, DAY.end, tmp_path / "frozen.parquet").rows == 1
    source.run("UPDATE parcel SET depot = noise(%s)", room + 1)
    with pytest.raises(SourceKeyError, match="too long"):
        extract(source.url, folder, DAY, DAY.end, tmp_path / "frozen.parquet")


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_text_of_another_encoding_is_converted_or_refused(
    postgres_server: LocalPostgres, folder: ModelFolder, tmp_path: Path, encoding: str
) -> None:
    name = f"old_{uuid.uuid4().hex[:12]}"
    url = postgres_server.create_database(name)
    with closing(Source(url)) as plain:
        plain.run(
            f"CREATE DATABASE {name}_x ENCODING '{encoding}' TEMPLATE template0"
            " LOCALE_PROVIDER libc LOCALE 'C'"
        )
    old = url.replace(name, f"{name}_x")
    try:
        with closing(Source(old)) as source:
            source.run(TABLES)
            source.run(
                "INSERT INTO parcel SELECT 'Lyon', 1, %s, 1, 1, 'road', true, NULL,"
                " convert_from('\\xe9'::bytea, %s), %s",
                DAY.start, encoding, DAY.start,
            )  # fmt: skip
        if encoding == "LATIN1":
            frozen = extract(old, folder, DAY, DAY.end, tmp_path / "frozen.parquet")
            assert read_frozen(frozen.path, frozen.digest.root)["note"].to_pylist() == ["é"]
        else:
            with pytest.raises(SourceSchemaError, match="note: holds text that is not UTF-8") as caught:
                extract(old, folder, DAY, DAY.end, tmp_path / "frozen.parquet")
            assert "convert_from(note::bytea" in (caught.value.fix or "")
    finally:
        postgres_server.drop_database(f"{name}_x")
        postgres_server.drop_database(name)
