"""Airflow's own home for these tests, the test models, and one whole stack for the tests that need it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harbour import READINGS, Harbour, add_connection

from rescore.local.postgres import LocalPostgres
from rescore.local.stack import LocalStack
from rescore.settings import Settings
from rescore.store import Store

MODELS = Path(__file__).parent / "models"
CHECKOUT = Path(__file__).parents[2]

# Importing Airflow writes a configuration file into its home.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = _HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(CHECKOUT / "plugins")


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the models that these tests declare."""
    monkeypatch.setenv("RESCORE_MODELS", str(MODELS))
    return MODELS


@pytest.fixture(scope="session")
def harbour(postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    """One stack for the session: a real scheduler, DAG processor, triggerer and API server.

    The source is known to Airflow as a connection, the store by the environment.
    """
    home = tmp_path_factory.mktemp("stack")
    store_url = postgres_server.create_database("airflow_store", template="rescore_template")
    source_url = postgres_server.create_database("airflow_source", template="rescore_template")
    settings = Settings(
        home=home,
        models=MODELS,
        database_url=store_url,
        archive=str(home / "archive"),
        store_schema="rescore",
        consumer_schema="scores",
        connections={},
    )
    store = Store(store_url)
    store.migrate()
    stack = LocalStack(settings, dags=CHECKOUT / "dags", plugins=CHECKOUT / "plugins")
    harbour = Harbour(stack, store, source_url)
    harbour.execute(READINGS)
    with stack.session():
        client = stack.client()
        add_connection(client, "harbour", source_url)
        for dag_id in ("train_tides", "score_tides", "reproduce"):
            client.wait_for_dag(dag_id)
        yield harbour
