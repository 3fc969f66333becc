"""What a person answered survives a store that is away; people are told once of a question."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.standard.operators.trigger_dagrun import DagIsPaused
from airflow.sdk import Asset
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    DagRunTriggerException,
    TaskDeferred,
)
from airflow.sdk.execution_time.context import set_current_context
from airflow.sdk.serde import deserialize, serialize

from rescore import pipeline
from rescore.errors import SourceUnavailableError
from rescore.folder import load_model
from rescore_airflow.dags import monitor_dag
from rescore_airflow.operators import Hold
from rescore_airflow.operators.release import Release
from tests.shared.bank import MODEL, Bank, day

AWAY = "postgresql://nobody@127.0.0.1:1/none"
ANSWER = {
    "chosen_options": ["Approve"],
    "params_input": {"reason": "seen it"},
    "responded_at": datetime(2024, 3, 1, tzinfo=UTC),
    "responded_by_user": {"id": "1", "name": "ada"},
}


@pytest.fixture
def release(models: Path) -> Release:
    spec = load_model(models, "tides").spec
    return Release(
        task_id="release",
        model_name="tides",
        spec=spec,
        scores=Asset("scores/tides"),
        retries=2,
        retry_delay=timedelta(minutes=7),
    )


def test_an_answer_is_kept_while_the_store_is_away(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESCORE_DATABASE_URL", AWAY)
    context: Any = {"dag_run": SimpleNamespace(conf={"run_id": str(uuid4())}, run_type="manual")}
    kwargs: dict[str, Any] = {"event": ANSWER}
    for _ in range(2):
        with pytest.raises(TaskDeferred) as waits:
            release.execute_complete(context, **kwargs)
        assert waits.value.method_name == "execute_complete"
        assert 360 < (waits.value.trigger.moment - datetime.now(UTC)).total_seconds() <= 420
        # As Airflow resumes it: what was kept, and the event of a trigger that only says the time.
        kwargs = {**deserialize(serialize(waits.value.kwargs)), "event": "2024-03-01T00:07:00+00:00"}
        assert kwargs["answer"] == ANSWER
    with pytest.raises(AirflowFailException, match="could not be done in 3 tries; clear this task"):
        release.execute_complete(context, **kwargs)


def test_an_answer_that_can_never_be_carried_out_fails_at_once(release: Release) -> None:
    context: Any = {"dag_run": SimpleNamespace(conf={}, run_type="manual")}
    with pytest.raises(AirflowFailException, match="no run is named"):
        release.execute_complete(context, ANSWER)


class Instance(SimpleNamespace):
    """What Airflow says to a task of ``publish_…``: whether it is paused, how many runs have ended."""

    def get_dag(self, dag_id: str) -> SimpleNamespace:
        return SimpleNamespace(is_paused=self.paused)

    def get_dr_count(self, dag_id: str, *, run_ids: list[str], states: list[str]) -> int:
        assert (dag_id, states) == (f"publish_{MODEL}", ["success", "failed"])
        return len(self.ended & {*run_ids})


def test_people_are_told_of_a_held_run_once_it_can_be_released(
    fresh_bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        "rescore_airflow.operators.verdict_branch.try_to_tell", lambda message, _: told.append(message.event)
    )
    monkeypatch.setenv("RESCORE_DATABASE_URL", fresh_bank.ctx.settings.database_url or "")
    store = fresh_bank.ctx.store
    run_id = fresh_bank.check(41)
    store.runs.hold(store.runs.get(run_id).handle, "drifted: amount")

    def hold(*, paused: bool = False, ended: tuple[str, ...] = ()) -> str:
        task = Hold(task_id="hold", model_name=MODEL, run=run_id)
        context: Any = {"ti": Instance(paused=paused, ended={*ended}, try_number=4)}
        with pytest.raises(DagRunTriggerException) as asked:
            task.execute(context)
        return str(asked.value.dag_run_id)

    with pytest.raises(DagIsPaused):
        hold(paused=True)
    assert told == []
    assert hold() == f"held__{run_id}"
    assert told == ["held"]
    assert hold(ended=(f"held__{run_id}",)) == f"held__{run_id}__4", "cleared: somebody is asked again"

    pipeline.release_run(fresh_bank.ctx, run_id, "ada", "seen it")
    with pytest.raises(AirflowSkipException, match="nothing is left to release"):
        Hold(task_id="hold", model_name=MODEL, run=run_id).execute({"ti": Instance(paused=False)})


def test_labels_that_cannot_be_read_keep_no_verdict_from_being_told(
    fresh_bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr("rescore_airflow.dags.monitor.tell_of_scores", lambda state, _: told.append(state))
    monkeypatch.setenv("RESCORE_DATABASE_URL", fresh_bank.ctx.settings.database_url or "")
    monkeypatch.setenv("RESCORE_HOME", str(fresh_bank.ctx.settings.home))
    monkeypatch.setenv("RESCORE_MODELS", str(fresh_bank.ctx.settings.models))
    monkeypatch.setenv("RESCORE_CONNECTION_BANK", AWAY)
    run_id = fresh_bank.publish(41)
    measure = monitor_dag(MODEL).get_task("measure").python_callable

    def measured(try_number: int, *events: str) -> None:
        extra = [SimpleNamespace(extra={"run_id": one}) for one in events]
        context: Any = {
            "triggering_asset_events": {"scores": extra},
            "dag_run": SimpleNamespace(run_after=day(45).end),
            "ti": SimpleNamespace(try_number=try_number, max_tries=2),
        }
        with set_current_context(context), pytest.raises(SourceUnavailableError):
            measure(MODEL)

    measured(1, run_id)
    measured(3)
    assert told == [], "tried again, or nothing new"
    measured(3, run_id)
    assert [[run["run_id"] for run in state["runs"]] for state in told] == [[run_id]]
