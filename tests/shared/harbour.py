"""A harbour whose gauges are read every hour: a regression, keyed by text and number, in a real Postgres."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest

from rescore import pipeline
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.local import LocalPostgres
from rescore.settings import Settings
from tests.shared.logins import set_up, store_settings

MODELS = Path(__file__).parents[1] / "data" / "harbour_models"
MODEL = "tides"
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 40
#: Trained on 1-30 January; scored from 31 January on.
TRAINED_AS_OF = FIRST + timedelta(days=30)

_HARBOUR = (MODELS.parent / "harbour.sql").read_text()


@dataclass
class Harbour:
    """A context of its own over a database of its own."""

    ctx: pipeline.Context
    url: str
    home: Path

    @property
    def folder(self) -> ModelFolder:
        return self.ctx.model(MODEL)

    def day(self, number: int) -> Interval:
        """The interval of the day ``number`` days after the first."""
        start = FIRST + timedelta(days=number)
        return Interval(start, start + timedelta(days=1))

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def elsewhere(self, home: Path) -> pipeline.Context:
        """The same store used from another folder, with the same archive."""
        return replace(self.ctx, settings=replace(self.ctx.settings, home=home))


def fill(url: str) -> None:
    """Make the source tables."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(_HARBOUR, {"first": FIRST, "hours": DAYS * 24})
    connection.close()


def harbour_context(server: LocalPostgres, url: str, home: Path, models: Path = MODELS) -> pipeline.Context:
    """A context over the harbour's database."""
    settings = Settings.from_environment(
        {
            "RESCORE_HOME": str(home),
            "RESCORE_MODELS": str(models),
            **store_settings(server, url, "harbour"),
        }
    )
    return pipeline.Context.from_environment(settings)


@pytest.fixture(scope="session")
def trained_harbour(
    postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A database with a harbour, a trained and pinned package; and the home with its archive.

    Tests get copies: training takes long, copying a database does not.
    """
    home = tmp_path_factory.mktemp("harbour")
    url = postgres_server.create_database("harbour_template")
    fill(url)
    ctx = harbour_context(postgres_server, url, home)
    set_up(ctx, "harbour")
    package = pipeline.train_model(ctx, MODEL, as_of=TRAINED_AS_OF, who="trainer")
    pipeline.pin(ctx, MODEL, package.version, who="tester", why="first")
    ctx.store.close()
    return "harbour_template", home


@pytest.fixture
def harbour(
    trained_harbour: tuple[str, Path],
    postgres_server: LocalPostgres,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> Iterator[Harbour]:
    """A harbour of this test's own, with the pinned package."""
    template, home = trained_harbour
    shutil.copytree(home / "archive", tmp_path / "home" / "archive")
    if (home / "suites").is_dir():  # or each test would start an interpreter to read the same file
        shutil.copytree(home / "suites", tmp_path / "home" / "suites")
    name = f"harbour_{uuid.uuid4().hex[:12]}"
    url = postgres_server.create_database(name, template=template)
    ctx = harbour_context(postgres_server, url, tmp_path / "home")
    yield Harbour(ctx, url, tmp_path / "home")
    ctx.store.close()
    postgres_server.drop_database(name)


@pytest.fixture
def untrained(postgres_server: LocalPostgres, tmp_path: Path) -> Iterator[pipeline.Context]:
    """The same source in a database of its own, the model in another folder; nothing is trained."""
    name = f"untrained_{uuid.uuid4().hex[:12]}"
    url = postgres_server.create_database(name)
    fill(url)
    shutil.copytree(MODELS / MODEL, tmp_path / "elsewhere" / MODEL)
    ctx = harbour_context(postgres_server, url, tmp_path / "other_home", tmp_path / "elsewhere")
    set_up(ctx, "harbour")
    yield ctx
    ctx.store.close()
    postgres_server.drop_database(name)
