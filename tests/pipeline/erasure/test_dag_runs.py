"""``erase_subject`` and ``maintain`` run to their end, by Airflow's own ``dag.test()``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.erasure.test_erase import traces
from tests.shared.bank import Bank

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

#: Runs both; what a person answers goes the way of the REST API, once the task waits for it.
RUN = """
import json, os, threading, traceback
from types import SimpleNamespace
from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from dags_here import erase_subject, maintain

bodies, over = [], threading.Event()

def answer():
    while not over.wait(0.2):
        with create_session() as session:
            waiting = session.query(TaskInstance).filter_by(state="awaiting_input").all()
            for one in waiting:
                bodies.append(session.get(HITLDetail, one.id).body)
                update_hitl_detail(
                    one.dag_id, one.run_id, one.task_id,
                    UpdateHITLDetailPayload(chosen_options=["Approve"], params_input={}),
                    SimpleNamespace(get_id=lambda: "1", get_name=lambda: "ada"), session,
                )
        if bodies:
            return

def answers():
    try:
        answer()
    except BaseException:  # the run would wait for ever
        traceback.print_exc()
        os._exit(1)

person = threading.Thread(target=answers)
person.start()
try:
    erased = erase_subject.test(run_conf={"subject": "customer=customer-07", "ground": "ticket 4711"})
finally:
    over.set()
    person.join()
kept = maintain.test()
runs = {run.dag_id: {task.task_id: str(task.state) for task in run.get_task_instances()}
        for run in (erased, kept)}
print("\\nRUNS " + json.dumps([runs, bodies]))
"""


def test_a_person_is_erased_once_somebody_approves_and_what_is_past_its_time_goes(
    bank: Bank, runs: list[str], airflow_database: str, tmp_path: Path
) -> None:
    ctx, settings = bank.ctx, bank.ctx.settings
    declared = settings.models / "loans" / "model.yaml"
    declared.write_text(declared.read_text() + "retention: {superseded_scores: 1s}\n")
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "dags_here.py").write_text(
        "from rescore_airflow.dags import erase_subject_dag, maintain_dag\n\n"
        "erase_subject, maintain = erase_subject_dag(), maintain_dag()\n"
    )
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        "RESCORE_HOME": str(settings.home),
        "RESCORE_MODELS": str(settings.models),
        "RESCORE_ARCHIVE": str(settings.archive),
        "RESCORE_DATABASE_URL": str(settings.database_url),
        "RESCORE_RELEASE_URL": str(settings.release_url),
        "RESCORE_OWNER_URL": str(settings.owner_url),
        "RESCORE_ANCHORS": str(tmp_path / "anchors"),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow_database.replace(
            "postgresql:", "postgresql+psycopg2:"
        ),
        "PYTHONPATH": str(dags),
        "PYTHONWARNINGS": "ignore",
    }

    def ran(*command: str) -> str:
        asked: dict[str, Any] = {"env": environment, "capture_output": True, "text": True, "timeout": 300}
        done = subprocess.run([sys.executable, *command], check=False, **asked)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    ran("-m", "airflow", "db", "migrate")
    said = ran("-c", RUN)
    tasks, bodies = json.loads(said.rpartition("RUNS ")[2])
    assert tasks == {
        "erase_subject": {"erase": "success"},
        "maintain": {"delete": "success", "anchor": "success"},
    }, said[-3000:]
    [body] = bodies
    assert "**12 rows** of 2 frozen tables" in body
    assert "customer-07" not in body
    [erasure] = ctx.store.erasures.all()
    assert (erasure.asked_by, erasure.ground, erasure.done_at is not None) == ("ada", "ticket 4711", True)
    assert traces(bank, "customer-07") == []
    [deletion] = ctx.store.deletions.all("loans")
    assert (deletion.subject, deletion.done_by) == (runs[0], "the DAG maintain")
    assert ctx.store.scores.of_run(runs[0]).num_rows == 0
    assert len([*(tmp_path / "anchors").rglob("*")]) >= 1
