"""The step of a scoring run that starts a training: what becomes of the scoring where it can't."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators.trigger_dagrun import DagIsPaused
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DagRunTriggerException

from rescore.folder import load_model
from rescore_airflow.operators.retrain import Retrain
from rescore_airflow.requests import score_params


@pytest.fixture
def step(models: Path) -> Retrain:
    return Retrain(task_id="retrain", model_name="tides", spec=load_model(models, "tides").spec)


def context_of(step: Retrain, *, paused: bool, **conf: Any) -> dict[str, Any]:
    declared = score_params(step._spec)
    day = [datetime(2024, 2, day, tzinfo=UTC) for day in (1, 2)]
    run = SimpleNamespace(
        conf={"retrain": "always", **conf},
        run_type="scheduled",
        data_interval_start=day[0],
        data_interval_end=day[1],
        triggering_user_name=None,
    )
    instance = SimpleNamespace(
        id="i1", get_dag=lambda name: SimpleNamespace(is_paused=paused), xcom_push=lambda **pushed: None
    )
    params = {name: param.value for name, param in declared.items()} | run.conf
    return {"dag_run": run, "params": params, "dag": SimpleNamespace(params=declared), "ti": instance}


def test_a_training_that_can_not_be_started_keeps_nothing_from_being_scored(step: Retrain) -> None:
    with pytest.raises(AirflowSkipException, match="scoring goes on: Dag train_tides is paused"):
        step.execute(context_of(step, paused=True))
    with pytest.raises(DagIsPaused):  # what is to be waited for has to be there
        step.execute(context_of(step, paused=True, wait=True))
    with pytest.raises(DagRunTriggerException):
        step.execute(context_of(step, paused=False))


def test_a_training_that_failed_is_not_started_again_by_a_retry(step: Retrain) -> None:
    ended = {"run_ids": ["r1"], "r1": "failed"}
    with pytest.raises(AirflowFailException, match="has failed"):
        step.execute_complete({}, ("trigger", ended))
    step.execute_complete({}, ("trigger", {**ended, "r1": "success"}))
