"""The lowest Airflow that pyproject.toml allows, in an environment of ``make test-airflow-oldest``."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from rescore import pipeline
from rescore.airflow_version import LOWEST
from tests.shared.airflow_in_one_process import OneProcessAirflow, one_process_airflow
from tests.shared.harbour import MODEL, Harbour

CHECKOUT = Path(__file__).parents[2]
#: Its interpreter; the make target sets it once the wheel there is today's.
PYTHON = os.environ.get("OLDEST_AIRFLOW_PYTHON")

DAGS = """
from rescore_airflow.dags import (
    erase_subject_dag, maintain_dag, monitor_dag, publish_dag, reproduce_dag, score_dag, train_dag
)

score, train, monitor, publish = [of("tides") for of in (score_dag, train_dag, monitor_dag, publish_dag)]
others = reproduce_dag(), maintain_dag(), erase_subject_dag()
"""

LOOK = """
import json
import os
from importlib.metadata import version
from airflow import plugins_manager
from airflow.serialization.serialized_objects import DagSerialization
from rescore_airflow.page.app import create_page
import dags_here

def there_and_back(dag):
    back = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    return sorted(back.task_ids) == sorted(dag.task_ids)

dags = [dags_here.score, dags_here.train, dags_here.monitor, dags_here.publish, *dags_here.others]
loaded, errors = plugins_manager._get_plugins()
print("\\nFOUND " + json.dumps({
    "airflow": version("apache-airflow"),
    "same": {dag.dag_id: there_and_back(dag) for dag in dags},
    "plugins": [plugin.name for plugin in loaded], "errors": errors,
    "routes": [route.path for route in create_page().routes],
}))
"""


def test_the_version_that_is_checked_is_the_one_that_is_declared() -> None:
    declared = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [airflow] = [one for one in map(Requirement, declared["airflow"]) if one.name == "apache-airflow"]
    assert str(LOWEST) in str(airflow.specifier)


@pytest.fixture
def oldest(harbour: Harbour, airflow_database: str, tmp_path: Path) -> OneProcessAirflow:
    if PYTHON is None:
        pytest.skip("no environment with the lowest Airflow: make test-airflow-oldest makes it")
    return one_process_airflow(harbour.ctx, airflow_database, tmp_path, DAGS, python=Path(PYTHON))


@pytest.mark.airflow
@pytest.mark.slow
def test_the_lowest_airflow_stores_every_dag_loads_the_plugin_and_scores_the_same(
    harbour: Harbour, oldest: OneProcessAirflow
) -> None:
    found = json.loads(oldest.ran("-c", LOOK).rpartition("\nFOUND ")[2])
    assert found["airflow"] == str(LOWEST)
    assert len(found["same"]) == 7 and all(found["same"].values())
    assert "rescore" in found["plugins"] and found["errors"] == {}
    assert {"/", "/{dag_id}", "/{dag_id}/runs/{run_id}"} <= set(found["routes"])

    pipeline.register_model(harbour.ctx, MODEL)  # the owner's act; the tasks have a worker's rights
    day = harbour.day(32)
    run = oldest.run("score", interval_start=day.start.isoformat(), interval_end=day.end.isoformat())
    assert run.state == "success", run.said[-3000:]
    [published] = harbour.ctx.store.runs.published(MODEL, day)
    again = pipeline.reproduce_run(harbour.ctx, published.run_id)
    assert again.proved and published.rows_scored > 0
