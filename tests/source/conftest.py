"""A source of parcels sent from depots, and a model of which arrive late."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pytest
import yaml

from rescore.folder import ModelFolder, load_model
from rescore.interval import Interval
from rescore.local import LocalPostgres
from rescore.source import extract, read_frozen

DAY = Interval(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC))

TABLES = """
CREATE TABLE parcel (
    depot text, parcel int8, sent_at timestamptz, weight float8, size int4, carrier text,
    fragile boolean, promised date, note text, recorded_at timestamptz
);
CREATE TABLE outcome (depot text, parcel int8, sent_at timestamptz, late boolean, recorded_at timestamptz);
"""

# Declared immutable, so that a query may call it.
SLOW = """CREATE FUNCTION slow(float8) RETURNS void IMMUTABLE LANGUAGE plpgsql
AS 'BEGIN FOR n IN 1..($1 * 10000000)::bigint LOOP NULL; END LOOP; END'"""

EXTRACT = """
SELECT depot, parcel, sent_at, weight, size, carrier, fragile, promised, note
FROM parcel
WHERE sent_at >= :interval_start AND sent_at < :interval_end
  AND recorded_at <= :as_of -- what was known: not 'now'
"""

LABELS = """
SELECT depot, parcel, late
FROM outcome
WHERE sent_at >= :interval_start AND sent_at < :interval_end AND recorded_at <= :as_of;
"""

SPEC: dict[str, Any] = {
    "name": "parcels",
    "version": "1.0",
    "owner": "tests",
    "source": {
        "connection": "parcels",
        "key": ["depot", "parcel"],
        "event_time": "sent_at",
        "known_by": {"column": "recorded_at"},
    },
    "features": [
        {"name": "weight", "kind": "numeric"},
        {"name": "size", "kind": "numeric"},
        {"name": "carrier", "kind": "categorical"},
        {"name": "fragile", "kind": "boolean"},
        {"name": "promised", "kind": "datetime"},
        {"name": "note", "kind": "text"},
    ],
    "target": {"name": "late", "kind": "binary"},
    "output": {"unit": "probability", "meaning": "chance to arrive late"},
    "schedule": {"cron": "0 0 * * *", "start": "2024-01-01"},
    "training": {"intervals": 3, "seed": 1},
}

MakeModel = Callable[..., ModelFolder]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write the model's folder; keyword arguments replace top-level keys of model.yaml."""

    def make(extract: str = EXTRACT, labels: str = LABELS, **changed: Any) -> ModelFolder:
        folder = tmp_path / "models" / "parcels"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.yaml").write_text(yaml.safe_dump({**SPEC, **changed}))
        (folder / "extract.sql").write_text(extract)
        (folder / "labels.sql").write_text(labels)
        for name in ("pipeline.py", "expectations.py"):
            (folder / name).write_text("")
        return load_model(tmp_path / "models", "parcels")

    return make


@pytest.fixture
def folder(make_model: MakeModel) -> ModelFolder:
    return make_model()


class Source:
    """The source database, as its own people write to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        self.run("SET timezone TO 'UTC'")

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self._connection.close()

    def send(self, rows: int, day: Interval = DAY, *, depot: str = "Lyon", first: int = 0) -> None:
        """Rows of one day, known one minute later; their outcomes known after two days."""
        seconds = day.duration.total_seconds()
        self.run(
            """
            INSERT INTO parcel
            SELECT %s, i, moment, sin(i), i %% 9, (array['road', 'rail', NULL])[1 + i %% 3], i %% 2 = 0,
                   date '2024-03-05' + i %% 4, CASE WHEN i %% 5 = 0 THEN 'à livrer ' || i END,
                   moment + interval '1 minute'
            FROM generate_series(%s, %s) i, LATERAL (SELECT %s + i * interval '1 second' * %s) t(moment)
            """,
            depot,
            first,
            first + rows - 1,
            day.start,
            (seconds - 60) / max(1, first + rows),
        )
        self.run(
            "INSERT INTO outcome SELECT depot, parcel, sent_at, parcel %% 4 = 0, sent_at + interval '2 days' "
            "FROM parcel WHERE sent_at >= %s AND sent_at < %s AND depot = %s AND parcel >= %s",
            day.start, day.end, depot, first,
        )  # fmt: skip


@pytest.fixture(scope="module")
def source_url(postgres_server: LocalPostgres) -> Iterator[str]:
    """One database for the tests of a module: making one costs more than most of them."""
    name = f"source_{uuid.uuid4().hex[:12]}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture
def source(source_url: str) -> Iterator[Source]:
    """Empty tables."""
    with closing(Source(source_url)) as source:
        source.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO public")
        source.run(TABLES)
        yield source
        ((database,),) = source.run("SELECT current_database()")
        source.run(f"ALTER DATABASE {database} RESET ALL")


def days(count: int, first: datetime = DAY.start) -> list[Interval]:
    step = timedelta(days=1)
    return [Interval(first + step * n, first + step * (n + 1)) for n in range(count)]


@pytest.fixture
def frozen(source: Source, folder: ModelFolder, tmp_path: Path) -> Callable[..., pa.Table]:
    """Extract one interval and read it back; the digest is checked on the way."""

    def run(
        folder: ModelFolder = folder, interval: Interval = DAY, as_of: datetime | None = None
    ) -> pa.Table:
        result = extract(source.url, folder, interval, as_of or interval.end, tmp_path / "frozen.parquet")
        table = read_frozen(result.path, result.digest.root)
        assert table.num_rows == result.rows == result.digest.rows
        return table

    return run


def insert(source: Source, depot: str | None = "Lyon", parcel: int | None = 1, **values: Any) -> None:
    row = {"sent_at": DAY.start, "recorded_at": DAY.start, "depot": depot, "parcel": parcel, **values}
    columns = ", ".join(row)
    source.run(f"INSERT INTO parcel ({columns}) VALUES ({', '.join(['%s'] * len(row))})", *row.values())
