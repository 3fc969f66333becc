"""The year of flights, loaded once; copies of it for tests that change it; its training snapshot."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg2
import pyarrow as pa
import pytest

from rescore import source
from rescore.demo import flights
from rescore.folder import ModelFolder, load_model
from rescore.interval import Interval
from rescore.local import LocalPostgres

NEW_YORK = ZoneInfo("America/New_York")
MODELS = Path(__file__).parents[2] / "include" / "models"
SOURCE_DATABASE = "flights_source"

#: Runs one statement and gives its rows.
Execute = Callable[..., list[tuple]]
Extract = Callable[..., pa.Table]


def new_york(month: int, day: int, hour: int = 4, year: int = 2013) -> datetime:
    return datetime(year, month, day, hour, tzinfo=NEW_YORK)


def execute(url: str, statement: str, *values: object) -> list[tuple]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SET LOCAL TIME ZONE 'UTC'")
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@pytest.fixture(scope="session")
def flights_url(postgres_server: LocalPostgres) -> str:
    """A database with the whole year; tests only read it."""
    url = postgres_server.create_database(SOURCE_DATABASE)
    flights.load(url)
    return url


@pytest.fixture
def flights_copy(flights_url: str, postgres_server: LocalPostgres) -> Iterator[str]:
    """A copy to change."""
    name = f"flights_{uuid.uuid4().hex[:12]}"
    yield postgres_server.create_database(name, template=SOURCE_DATABASE)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def folder() -> ModelFolder:
    return load_model(MODELS, "flight_delay")


def due(folder: ModelFolder, month: int, day: int) -> Interval:
    """The interval whose run is due at 04:00 New York of a day: it scores that day's flights."""
    return folder.spec.schedule.schedule().interval_ending(new_york(month, day))


@pytest.fixture
def extract(folder: ModelFolder, flights_url: str, tmp_path: Path) -> Extract:
    """Extract a day's flights as scoring does."""

    def run(month: int, day: int, *, url: str = flights_url, as_of: datetime | None = None) -> pa.Table:
        interval = due(folder, month, day)
        path = tmp_path / f"{uuid.uuid4().hex}.parquet"
        frozen = source.extract(url, folder, interval, as_of or interval.end, path)
        return source.read_frozen(path, frozen.digest.root)

    return run


@pytest.fixture(scope="session")
def snapshot(
    folder: ModelFolder, flights_url: str, tmp_path_factory: pytest.TempPathFactory
) -> source.TrainingSnapshot:
    """January to March as training sees it on 1 April, 04:00 New York."""
    as_of = new_york(4, 1)
    spec = folder.spec
    intervals = spec.schedule.schedule().last_intervals(as_of - spec.target.delay, spec.training.intervals)
    path = tmp_path_factory.mktemp("flights") / "snapshot.parquet"
    return source.snapshot(flights_url, folder, intervals, as_of, path)
