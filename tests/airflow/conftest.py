"""Airflow's own home for these tests, the test models, and one whole stack for the tests that need it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.local import LocalPostgres, LocalStack, Logins
from rescore.local.logins import airflow_login
from rescore.settings import Settings
from rescore.store import Store
from tests.airflow.stack import READINGS, Harbour, add_connection
from tests.shared.harbour import MODELS

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the models that these tests declare."""
    monkeypatch.setenv("RESCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RESCORE_MODELS", str(MODELS))
    return MODELS


#: All that somebody with an Airflow of their own has to write.
THEIR_DAGS = """
from rescore_airflow.dags import monitor_dag, publish_dag, reproduce_dag, score_dag, train_dag

score_tides, train_tides, publish_tides = score_dag("tides"), train_dag("tides"), publish_dag("tides")
score_ebb = score_dag("ebb")
score_surge, train_surge = score_dag("surge"), train_dag("surge")
publish_surge, monitor_surge = publish_dag("surge"), monitor_dag("surge")
proof = reproduce_dag()
"""


@pytest.fixture(scope="session")
def their_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has Airflow, and Rescore from its wheel.

    Everything but Rescore is linked from the environment of these tests, so nothing is downloaded. What
    would count branches there is left out: it slows all of Airflow, and that copy of the code is not counted.
    """
    folder = tmp_path_factory.mktemp("their_environment")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    theirs, ours = (
        Path(sysconfig.get_path("purelib", vars={"base": str(base)}))
        for base in (folder / "venv", sys.prefix)
    )
    for entry in ours.iterdir():
        if not entry.name.startswith(("rescore", "_rescore", "a1_coverage")):
            (theirs / entry.name).symlink_to(entry)
    python = folder / "venv" / "bin" / "python"
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile"]
    wheel = str(next((folder / "dist").glob("*.whl")))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", *options, wheel]
    subprocess.run(pip, check=True, capture_output=True)
    return python


@pytest.fixture(scope="package")
def harbour(
    postgres_server: LocalPostgres, their_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harbour]:
    """One stack for these tests, ended with them: a real scheduler, DAG processor, triggerer and API server.

    It is an Airflow of somebody else's: Rescore comes from its wheel, the DAGs lie in another
    folder, so do the models, the plugins folder is empty, and the source is an Airflow connection.
    """
    home = tmp_path_factory.mktemp("stack")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(MODELS, elsewhere / "their_models")
    (elsewhere / "plugins").mkdir()
    (elsewhere / "dags").mkdir()
    (elsewhere / "dags" / "our_scoring.py").write_text(THEIR_DAGS)
    for database in ("airflow_store", "airflow_source"):
        postgres_server.create_database(database, template="rescore_template")
    logins = Logins.prepare(postgres_server, "airflow_store")
    settings = Settings(
        home=home,
        models=elsewhere / "their_models",
        database_url=logins.run,
        release_url=logins.release,
        owner_url=logins.owner,
        archive=str(home / "archive"),
        store_schema="rescore",
        consumer_schema="scores",
        connections={},
    )
    stack = LocalStack(settings, dags=elsewhere / "dags", plugins=elsewhere / "plugins")
    store = Store(logins.run, release_url=logins.release, owner_url=logins.owner)
    harbour = Harbour(stack, store, postgres_server.url("airflow_source"))
    harbour.execute(READINGS)
    reader = Logins.prepare(postgres_server, "airflow_source").extract
    harbour.execute(_READS)
    with_source = replace(settings, connections={"harbour": reader})
    with pipeline.Context.from_environment(with_source) as ctx:  # as its administrator sets it up
        ctx.store.schema.migrate()
        ctx.store.roles.create()
        for model in ("ebb", "surge", "tides"):
            pipeline.register_model(ctx, model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(their_python))  # the stack's processes are started by it
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", airflow_login(postgres_server, "airflow_theirs"))
        stack.up()
    try:
        yield prepared(harbour, reader)
    finally:
        stack.release()


#: What a source's administrator lets extraction do.
_READS = (
    "GRANT USAGE ON SCHEMA harbour TO rescore_extract;"
    "GRANT SELECT ON ALL TABLES IN SCHEMA harbour TO rescore_extract"
)


def prepared(harbour: Harbour, reader: str) -> Harbour:
    """Wait for the DAGs, and tell Airflow where the source is, by a login that reads it."""
    client = harbour.client
    add_connection(client, "harbour", reader)
    for dag_id in ("train_tides", "score_tides", "score_ebb", "score_surge", "monitor_surge", "reproduce"):
        client.wait_for_dag(dag_id, seconds=400)
    return harbour
