"""The guide's DAG of one's own, word for word, run by ``dag.test()`` on a metadata database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rescore import pipeline
from tests.shared.airflow_in_one_process import one_process_airflow
from tests.shared.harbour import MODEL, Harbour

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

#: Beside the guide's DAG: another one that scores the same model, and one that trains it.
MORE = """

from rescore_airflow import TrainTaskGroup


@dag(schedule=None)
def second() -> None:
    ScoreTaskGroup("flight_delay")


@dag(schedule=None)
def weekly() -> None:
    TrainTaskGroup("flight_delay", group_id="training")


second, weekly = second(), weekly()
"""
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "own-dags.md"


def test_groups_score_behind_a_load_score_again_in_another_dag_and_train(
    harbour: Harbour, airflow_database: str, tmp_path: Path
) -> None:
    pipeline.register_model(harbour.ctx, MODEL)
    [written] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    airflow = one_process_airflow(
        harbour.ctx, airflow_database, tmp_path, (written + MORE).replace("flight_delay", MODEL)
    )
    day = harbour.day(32)
    run = airflow.run("nightly", interval_start=day.start.isoformat(), interval_end=day.end.isoformat())
    assert run.state == "success", run.said[-3000:]
    group = f"score_{MODEL}"
    assert run.states["load"] == run.states["report"] == run.states[f"{group}.publish"] == "success"
    assert run.states[f"{group}.retrain"] == run.states[f"{group}.hold"] == "skipped"
    [published] = harbour.ctx.store.runs.published(MODEL, day)
    assert published.airflow["dag_id"] == "nightly" and published.rows_scored > 0
    assert pipeline.reproduce_run(harbour.ctx, published.run_id).proved

    again = airflow.run("second", interval_start=day.start.isoformat(), interval_end=day.end.isoformat())
    assert again.state == "success" and again.states[f"{group}.publish"] == "success"
    [current] = harbour.ctx.store.runs.published(MODEL, day)
    assert current.airflow["dag_id"] == "second", "the later attempt is what consumers read"
    before, after = harbour.ctx.store.runs.published(MODEL, day, current=False)
    assert (before.run_id, after.run_id) == (published.run_id, current.run_id)
    assert before.publication.superseded_at is not None and after.publication.superseded_at is None
    assert (before.input_digest, before.score_digest) == (after.input_digest, after.score_digest)

    trained = airflow.run("weekly", as_of=harbour.day(31).end.isoformat(), pin=False)
    assert trained.state == "success", trained.said[-3000:]
    done = {name: state for name, state in trained.states.items() if state == "success"}
    assert set(done) == {f"training.{name}" for name in ("snapshot", "package", "compare")}
    first, challenger = harbour.ctx.store.packages.of_model(MODEL)
    [compared] = harbour.ctx.store.comparisons.of_model(MODEL)
    assert (compared.champion_sha256, compared.challenger_sha256) == (first.sha256, challenger.sha256)
    pinned = harbour.ctx.store.pins.current(MODEL)
    assert pinned is not None and pinned.sha256 == first.sha256, "pin is off: it stays a challenger"
