"""A task and Airflow's scheduler are killed amid scorings: each ends published once all the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from rescore import pipeline
from rescore.local import LocalStack
from rescore.postgres_url import PostgresUrl
from tests.shared.harbour import MODEL, MODELS, Harbour
from tests.shared.waiting import until

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

DAYS = (31, 32)
DAG = """
from rescore_airflow.dags import score_dag

score_tides = score_dag("tides")
"""
#: Airflow notices within seconds, not after five minutes, that nobody runs a task any more.
SOON = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
}


@pytest.fixture
def stack(
    harbour: Harbour,
    airflow_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[LocalStack]:
    (tmp_path / "dags").mkdir()
    (tmp_path / "plugins").mkdir()
    (tmp_path / "dags" / "scoring.py").write_text(DAG)
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", airflow_database)
    for name, seconds in SOON.items():
        monkeypatch.setenv(name, seconds)
    pipeline.register_model(harbour.ctx, MODEL)
    shutil.copytree(MODELS / MODEL, tmp_path / "models" / MODEL)
    declared = tmp_path / "models" / MODEL / "model.yaml"
    assert "retries: 1," in declared.read_text()
    declared.write_text(declared.read_text().replace("retries: 1,", "retries: 2,"))  # what it is by default
    settings = replace(harbour.ctx.settings, models=tmp_path / "models")
    started = LocalStack(settings, dags=tmp_path / "dags", plugins=tmp_path / "plugins")
    started.up()
    yield started
    started.release()


def test_a_killed_task_and_a_killed_scheduler_leave_each_interval_published_once(
    stack: LocalStack, harbour: Harbour
) -> None:
    client = stack.client()
    client.wait_for_dag("score_tides", seconds=300)
    client.unpause("score_tides")

    def begin(number: int) -> str:
        day = harbour.day(number)
        bounds = {"interval_start": day.start.isoformat(), "interval_end": day.end.isoformat()}
        return client.trigger("score_tides", conf=bounds).run_id

    runs = [begin(number) for number in DAYS]
    [task] = until(lambda: at_work(stack, harbour), "a task at work", seconds=300, every=0.02)
    task.kill()
    scheduler = psutil.Process(stack.status().processes["scheduler"])
    workers = scheduler.children(recursive=True)
    scheduler.kill()
    until(lambda: not stack.status().running, "the end of the stack", seconds=120)
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    stack.up()
    client = stack.client()
    for run in runs:
        ended = client.wait("score_tides", run, seconds=600)
        tasks = client.tasks("score_tides", run)
        assert ended.state == "success", [(one.task_id, one.state, one.try_number) for one in tasks]

    for number in DAYS:
        [published] = harbour.ctx.store.runs.published(MODEL, harbour.day(number))
        assert len(harbour.ctx.store.publications.of_model(MODEL, harbour.day(number))) == 1
        assert pipeline.reproduce_run(harbour.ctx, published.run_id).verdict == "identical"
        rows = "SELECT count(*), count(DISTINCT (gauge, reading)) FROM scores.tides WHERE interval_start = %s"
        assert harbour.execute(rows, harbour.day(number).start) == [(72, 72)]

    stack.release()
    scratch = harbour.ctx.scratch  # whoever asks for it removes what killed processes left
    assert list(scratch.parent.iterdir()) == [scratch]
    assert list((harbour.home / "archive").rglob("*.partial")) == []
    staged = "SELECT relname FROM pg_class WHERE relname ~ '^staged' AND relkind = 'r'"
    assert harbour.execute(staged) == []


def at_work(stack: LocalStack, harbour: Harbour) -> list[psutil.Process]:
    """The processes of tasks, below the scheduler, that are connected to the store."""
    port = int(PostgresUrl.parse(harbour.url, where="").parameters["port"])
    store = harbour.execute(
        "SELECT client_port FROM pg_stat_activity WHERE usename = 'rescore_worker'"
        " AND datname = current_database()"
    )
    ports = {client for (client,) in store}
    found = []
    for process in psutil.Process(stack.status().processes["scheduler"]).children(recursive=True):
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:
            continue
        if any(one.raddr and one.raddr.port == port and one.laddr.port in ports for one in connections):
            found.append(process)
    return found[:1]
