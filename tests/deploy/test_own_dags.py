"""The guide's DAG of one's own, word for word, run by ``dag.test()`` on a metadata database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.local import LocalPostgres
from tests.shared.airflow_in_one_process import one_process_airflow
from tests.shared.harbour import MODEL, Harbour

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "own-dags.md"


@pytest.fixture
def airflow_database(postgres_server: LocalPostgres) -> Iterator[str]:
    yield postgres_server.create_database("airflow_of_ones_own")
    postgres_server.drop_database("airflow_of_ones_own")


def test_the_group_of_the_guide_scores_behind_a_load_and_before_a_report(
    harbour: Harbour, airflow_database: str, tmp_path: Path
) -> None:
    pipeline.register_model(harbour.ctx, MODEL)
    [written] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    airflow = one_process_airflow(
        harbour.ctx, airflow_database, tmp_path, written.replace("flight_delay", MODEL)
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
