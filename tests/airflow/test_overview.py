"""What the page shows, from a store and without an Airflow around it; who may read it: ``test_page``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from rescore.store import Store
from rescore_airflow.page import create_page
from tests.shared.bank import FOLDER
from tests.store.builders import Walk, day


@pytest.fixture
def page(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The page, for somebody who may read every DAG."""
    models = tmp_path / "models"
    (models / "loans").mkdir(parents=True)
    for name, content in FOLDER.items():
        (models / "loans" / name).write_text(content)
    monkeypatch.setenv("RESCORE_MODELS", str(models))
    monkeypatch.setenv("RESCORE_HOME", str(tmp_path))
    monkeypatch.setenv("RESCORE_DATABASE_URL", database_url)
    app = create_page()
    for route in app.routes:
        assert isinstance(route, APIRoute)
        for dependency in route.dependant.dependencies:
            assert dependency.call is not None
            app.dependency_overrides[dependency.call] = lambda: None
    with TestClient(app) as client:
        yield client


@pytest.fixture
def walk(database_url: str) -> Iterator[Walk]:
    store = Store(database_url)
    store.schema.migrate()
    yield Walk(store)
    store.close()


def test_a_run_that_a_kill_left_behind_is_shown_as_abandoned(
    page: TestClient, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rescore.report.run_list.ABANDONED_AFTER", timedelta(0))
    walk.claim(day(0))
    walk.claim(day(0))
    shown = page.get("/score_loans")
    assert shown.status_code == 200
    assert '<span class="bad">abandoned</span>' in shown.text
    assert '<span class="bad">failed</span>' in shown.text, "the attempt before it, which it ended"


def test_requests_share_one_connection(page: TestClient, walk: Walk, database_url: str) -> None:
    for _ in range(5):
        assert page.get("/score_loans").status_code == 200
    walk.store.close()
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rescore'"
            " AND datname = current_database()"
        )
        assert cursor.fetchone() == (1,)
    connection.close()


def test_a_wrong_folder_and_a_missing_store_are_said(page: TestClient, tmp_path: Path) -> None:
    shown = page.get("/score_loans")
    assert shown.status_code == 503
    assert "rescore store migrate" in shown.text
    assert page.get("/score_nothing").status_code == 404
    (tmp_path / "models" / "loans" / "extract.sql").write_bytes(b"-- caf\xe9")
    shown = page.get("/score_loans")
    assert shown.status_code == 200
    assert "extract.sql is not UTF-8" in shown.text


def test_a_comparison_that_does_not_exist_is_not_found(page: TestClient, walk: Walk) -> None:
    answer = page.get("/score_loans/comparisons/7")
    assert answer.status_code == 404
