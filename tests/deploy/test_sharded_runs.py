"""A DAG run whose scoring is mapped over shards, by Airflow's own ``dag.test()`` on a metadata database."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rescore import pipeline
from rescore.local import LocalPostgres
from tests.shared.harbour import MODEL, Harbour
from tests.shared.large_day import DAY, add_large_day, environment_of, sharded

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

#: Runs the DAG once; the second shard's first attempt finds the store gone after half of its rows.
RUN = """
import json, sys
from rescore.errors import StoreUnavailableError
from rescore.pipeline.scoring import shards
from dags_here import score_tides

whole, tried = shards.predict_run, []

def breaks_once(ctx, run, package, *, leaves=None):
    for number, batch in enumerate(whole(ctx, run, package, leaves=leaves)):
        if number == 1 and leaves == (1, 3) and not tried:
            tried.append(leaves)
            raise StoreUnavailableError("the store went away")
        yield batch

shards.predict_run = breaks_once
start, end = sys.argv[1:]
run = score_tides.test(run_conf={"interval_start": start, "interval_end": end})
tasks = [[t.task_id, t.map_index, t.state, t.try_number, t.rendered_map_index]
         for t in run.get_task_instances()]
print("\\nTASKS " + json.dumps([str(run.state), tried, tasks], default=str))
"""


@pytest.fixture
def airflow_database(postgres_server: LocalPostgres) -> str:
    url = postgres_server.create_database("airflow_of_shards")
    yield url
    postgres_server.drop_database("airflow_of_shards")


def test_a_mapped_run_tries_a_failed_shard_again_alone_and_publishes_once(
    harbour: Harbour, airflow_database: str, tmp_path: Path
) -> None:
    add_large_day(harbour)
    run_id = pipeline.validate_run(harbour.ctx, pipeline.begin_extract(harbour.ctx, MODEL, harbour.day(DAY)))
    whole = harbour.ctx.store.runs.scored(pipeline.score_run(harbour.ctx, run_id))
    ctx = sharded(harbour, tmp_path)
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "dags_here.py").write_text(
        'from rescore_airflow.dags import score_dag\n\nscore_tides = score_dag("tides")\n'
    )
    environment = environment_of(ctx) | {
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
        asked: dict[str, Any] = {"env": environment, "capture_output": True, "text": True, "timeout": 600}
        done = subprocess.run([sys.executable, *command], check=False, **asked)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    ran("-m", "airflow", "db", "migrate")
    day = harbour.day(DAY)
    said = ran("-c", RUN, day.start.isoformat(), day.end.isoformat())
    state, tried, tasks = json.loads(said.rpartition("TASKS ")[2])
    assert state.rpartition(".")[2].lower() == "success" and len(tried) == 1, said[-3000:]
    shards = {index: (how, tries, name) for task, index, how, tries, name in tasks if task == "score"}
    assert {index: tries for index, (_, tries, _) in shards.items()} == {0: 1, 1: 2, 2: 1}
    assert shards[0][2] == "rows 0 to 65,535"
    [published] = ctx.store.runs.published(MODEL, day)
    assert published.score_digest == whole.score_digest
    assert [one.attempts for one in ctx.store.shards.of_run(published)] == [1, 2, 1]
    assert len(ctx.store.publications.of_model(MODEL, day)) == 1
