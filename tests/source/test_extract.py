"""Extraction gives the declared rows, in one order, as known by one moment, or an error that helps."""

from __future__ import annotations

import math
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from rescore.digest import table_digest
from rescore.errors import SourceKeyError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.local import LocalPostgres
from rescore.source import extract, probe, read_frozen
from tests.source.conftest import DAY, EXTRACT, SLOW, SPEC, MakeModel, Source, insert


def test_every_value_arrives_as_it_is(source: Source, frozen: Callable[..., pa.Table]) -> None:
    insert(
        source, "Lyon", 2, weight="-0", size=2**31 - 1, carrier="", fragile=False, promised=date(1969, 7, 20)
    )
    insert(
        source, "Zürich", -1, weight=math.nan, carrier="a'b\"€😀", sent_at=DAY.end - timedelta(microseconds=1)
    )
    insert(source, "Lyon", 1, weight=5e-324, fragile=True)
    insert(source, "Lyon", 10, weight=math.inf)
    table = frozen()
    assert table.schema == pa.schema(
        [
            ("depot", pa.string()),
            ("parcel", pa.int64()),
            ("sent_at", pa.timestamp("us", tz="UTC")),
            ("weight", pa.float64()),
            ("size", pa.int32()),
            ("carrier", pa.string()),
            ("fragile", pa.bool_()),
            ("promised", pa.date32()),
            ("note", pa.string()),
        ]
    )
    assert table.select(["depot", "parcel"]).to_pylist() == [
        {"depot": "Lyon", "parcel": 1},
        {"depot": "Lyon", "parcel": 2},
        {"depot": "Lyon", "parcel": 10},
        {"depot": "Zürich", "parcel": -1},
    ]
    weight = table.column("weight").to_pylist()
    assert (weight[0], weight[2]) == (5e-324, math.inf)
    assert math.copysign(1, weight[1]) == -1
    assert math.isnan(weight[3])
    assert table.column("size").to_pylist() == [None, 2**31 - 1, None, None]
    assert table.column("carrier").to_pylist() == [None, "", None, "a'b\"€😀"]
    assert table.column("promised")[1].as_py() == date(1969, 7, 20)
    assert table.column("sent_at")[3].as_py() == DAY.end - timedelta(microseconds=1)


def test_only_what_was_known_is_seen(source: Source, frozen: Callable[..., pa.Table]) -> None:
    insert(source, parcel=1, recorded_at=DAY.end)
    insert(source, parcel=2, recorded_at=DAY.end + timedelta(microseconds=1))
    assert frozen().column("parcel").to_pylist() == [1]
    assert frozen(as_of=DAY.end + timedelta(days=1)).column("parcel").to_pylist() == [1, 2]


def test_physical_order_does_not_count(source: Source, frozen: Callable[..., pa.Table]) -> None:
    source.send(3000)
    source.send(500, depot="Ålborg")
    expected = table_digest(frozen())
    for order in ("md5(note || parcel)", "parcel % 17, parcel DESC"):
        source.run(f"CREATE TABLE moved AS SELECT * FROM parcel ORDER BY {order}")
        source.run("DROP TABLE parcel; ALTER TABLE moved RENAME TO parcel; ANALYZE parcel")
        assert table_digest(frozen()) == expected


NAMES = ["b", "A", "a", "B", "ä", "Z", "z", "_", "-1", "1", "co-op", "coop", "CO-OP", "é", "e", ""]


@pytest.fixture
def swedish_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalPostgres]:
    """A server that knows a collation other than by bytes: the embedded binaries bring none."""
    locales = tmp_path / "locales"
    locales.mkdir()
    made = shutil.which("localedef") and subprocess.run(
        ["localedef", "-i", "sv_SE", "-f", "UTF-8", str(locales / "sv_SE.UTF-8")], check=False
    )
    if not made or made.returncode:
        pytest.skip("no localedef with locale sources here, so no second collation can be made")
    monkeypatch.setenv("LOCPATH", str(locales))
    server = LocalPostgres(tmp_path / "swedish", tied=True, settings={"fsync": "off"})
    server.start()
    yield server
    server.stop()


def test_order_is_by_bytes_whatever_the_collation(
    swedish_server: LocalPostgres, database_url: str, make_model: MakeModel, tmp_path: Path
) -> None:
    with closing(Source(swedish_server.url("postgres"))) as admin:
        admin.run(
            "CREATE DATABASE swedish TEMPLATE template0 "
            "LOCALE_PROVIDER libc LOCALE 'sv_SE.UTF-8' ENCODING 'UTF8'"
        )
    folder = make_model(
        "SELECT * FROM parcel WHERE sent_at >= :interval_start",
        source={**SPEC["source"], "key": ["depot"]},
        features=[{"name": "weight", "kind": "numeric"}],
    )
    digests = set()
    for url in (swedish_server.url("swedish"), database_url):
        with closing(Source(url)) as source:
            source.run("CREATE TABLE parcel (depot varchar(9), sent_at timestamptz, weight int2)")
            for weight, depot in enumerate(NAMES):
                source.run("INSERT INTO parcel VALUES (%s, %s, %s)", depot, DAY.start, weight)
            theirs = [depot for (depot,) in source.run("SELECT depot FROM parcel ORDER BY depot")]
        result = extract(url, folder, DAY, DAY.end, tmp_path / "frozen.parquet")
        depots = read_frozen(result.path, result.digest.root).column("depot").to_pylist()
        assert depots == sorted(NAMES, key=str.encode)
        assert (theirs == depots) == (url == database_url)
        digests.add(result.digest.root)
    assert len(digests) == 1


def test_settings_of_a_database_do_not_count(
    source: Source, frozen: Callable[..., pa.Table], make_model: MakeModel
) -> None:
    source.send(200)
    folder = make_model(
        EXTRACT.replace(
            "promised, note",
            "(sent_at::date) AS promised, concat_ws(' ', sent_at, interval '1 day', 1/3.0::float8,"
            " '\\x41'::bytea,"
            " to_char(sent_at, 'HH24 Day'), E'\\\\', to_tsvector('the ' || 'dogs running'), (parcel = NULL),"
            " timestamptz '2024-01-01 00:00 IST', '{NULL}'::text[]) AS note",
        )
    )
    expected = table_digest(frozen(folder))
    ((database,),) = source.run("SELECT current_database()")
    for setting in (
        "timezone TO 'Asia/Tokyo'", "datestyle TO 'German, DMY'", "intervalstyle TO 'iso_8601'",
        "extra_float_digits TO -5", "bytea_output TO 'escape'", "standard_conforming_strings TO off",
        "default_transaction_isolation TO 'read committed'", "default_text_search_config TO simple",
        "timezone_abbreviations TO 'India'", "transform_null_equals TO on", "array_nulls TO off",
        "xmlbinary TO hex", "xmloption TO document",
    ):  # fmt: skip
        try:
            source.run(f"ALTER DATABASE {database} SET {setting}")
        except psycopg2.Error:  # not in this server's version
            continue
    assert table_digest(frozen(folder)) == expected


@pytest.mark.parametrize(
    ("moment", "hours"),
    [(datetime(2013, 3, 10, tzinfo=UTC), 23), (datetime(2013, 11, 3, tzinfo=UTC), 25)],
)
def test_days_of_23_and_25_hours_are_whole(
    source: Source, make_model: MakeModel, frozen: Callable[..., pa.Table], moment: datetime, hours: int
) -> None:
    folder = make_model(schedule={"cron": "0 0 * * *", "timezone": "America/New_York", "start": "2013-01-01"})
    schedule = folder.spec.schedule.schedule()
    (interval,) = schedule.intervals(moment, moment + timedelta(hours=48))
    for hour in range(-2, hours + 2):
        sent_at = interval.start + timedelta(hours=hour)
        insert(source, parcel=hour, sent_at=sent_at, recorded_at=sent_at)
    assert interval.duration == timedelta(hours=hours)
    table = frozen(folder, interval, interval.end + timedelta(days=1))
    assert table.column("parcel").to_pylist() == list(range(hours))


def test_what_others_commit_meanwhile_is_not_seen(
    source: Source, frozen: Callable[..., pa.Table], make_model: MakeModel
) -> None:
    """A writer that commits in the middle of the query changes nothing in it."""
    source.send(50)
    source.run(SLOW)
    # The query waits, row by row, long enough for a writer to come in between, and counts twice.
    slow = make_model(
        "SELECT depot, parcel, sent_at, weight, (SELECT count(*) FROM parcel)::int4 AS size, "
        "carrier, fragile, promised, note FROM parcel, "
        "LATERAL (SELECT slow(0.01 + 0 * parcel), parcel) s(slept, p) "
        "WHERE sent_at >= :interval_start AND sent_at < :interval_end"
    )
    started = threading.Event()

    def write() -> None:
        with closing(Source(source.url)) as other:
            until = time.monotonic() + 20
            while time.monotonic() < until and not other.run(
                "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY%%slow(%%' AND pid <> pg_backend_pid()"
            ):
                pass
            other.run("INSERT INTO parcel SELECT 'Late', parcel, sent_at FROM parcel")
            other.run("DELETE FROM parcel WHERE depot = 'Lyon'")
            started.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        table = frozen(slow)
    finally:
        writer.join()
    assert started.is_set()
    assert source.run("SELECT DISTINCT depot FROM parcel") == [("Late",)]
    assert table.column("depot").unique().to_pylist() == ["Lyon"]
    assert table.column("size").unique().to_pylist() == [50]


def test_facts_of_a_frozen_input(source: Source, folder: ModelFolder, tmp_path: Path) -> None:
    source.send(10)
    lines: list[str] = []
    before = datetime.now(UTC)
    result = extract(source.url, folder, DAY, DAY.end, tmp_path / "a" / "b.parquet", progress=lines.append)
    assert (result.rows, result.interval, result.as_of) == (10, DAY, DAY.end)
    assert before - timedelta(seconds=5) < result.extracted_at < datetime.now(UTC) + timedelta(seconds=5)
    assert result.query_sha256.startswith("sha256:")
    assert lines[-1].startswith(f"parcels: 10 rows of {DAY} extracted in ")
    later = extract(source.url, folder, DAY, DAY.end + timedelta(days=1), tmp_path / "c.parquet")
    assert later.digest == result.digest
    assert later.query_sha256 != result.query_sha256
    assert later.path.read_bytes() == result.path.read_bytes()


def test_a_probe_keeps_nothing_and_gives_the_first_rows(
    source: Source, folder: ModelFolder, frozen: Callable[..., pa.Table]
) -> None:
    source.send(50)
    assert probe(source.url, folder, DAY, DAY.end, limit=7).equals(frozen().slice(0, 7))
    empty = Interval(DAY.end, DAY.end + timedelta(days=1))
    assert probe(source.url, folder, empty, empty.end).num_rows == 0


def test_more_rows_than_a_leaf(source: Source, frozen: Callable[..., pa.Table]) -> None:
    source.send(70_000)
    table = frozen()
    parcels = table.column("parcel").combine_chunks()
    assert pc.all(pc.less(parcels.slice(0, len(parcels) - 1), parcels.slice(1))).as_py()
    source.send(1, first=65_535)  # its twin is the last row of the first leaf
    with pytest.raises(SourceKeyError, match="at least 1 row too many") as caught:
        frozen()
    assert caught.value.examples == ("depot=Lyon, parcel=65535",)


def test_a_server_that_quotes_every_identifier_is_read(
    source: Source, frozen: Callable[..., pa.Table]
) -> None:
    source.send(3)
    expected = frozen()
    ((database,),) = source.run("SELECT current_database()")
    source.run(f"ALTER DATABASE {database} SET quote_all_identifiers TO on")
    assert frozen().equals(expected)
