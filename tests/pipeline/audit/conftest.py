"""A harbour with one published day, and a history of it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.interval import Interval
from rescore.local import LocalPostgres
from tests.shared.harbour import Harbour, harbour_context

START = datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def trained_harbour(
    trained_harbour: tuple[str, Path],
    postgres_server: LocalPostgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    """The harbour with one published day: what every test here begins with a copy of."""
    template, home = trained_harbour
    scored = tmp_path_factory.mktemp("audited")
    shutil.copytree(home / "archive", scored / "archive")
    url = postgres_server.create_database("harbour_audited", template=template)
    ctx = harbour_context(postgres_server, url, scored)
    pipeline.score_interval(ctx, "tides", Interval(START, START + timedelta(days=1)))
    ctx.store.close()
    return "harbour_audited", scored


@pytest.fixture
def published(harbour: Harbour) -> str:
    """The published run's id."""
    [run] = harbour.ctx.store.runs.published("tides")
    return run.run_id
