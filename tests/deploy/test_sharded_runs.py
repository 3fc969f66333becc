"""A DAG run whose scoring is mapped over shards, by Airflow's own ``dag.test()`` on a metadata database."""

from __future__ import annotations

from pathlib import Path

import pytest

from rescore import pipeline
from tests.shared.airflow_in_one_process import one_process_airflow
from tests.shared.harbour import MODEL, Harbour
from tests.shared.large_day import DAY, add_large_day, sharded

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

#: Before the DAG runs: the second shard's first attempt finds the store gone after half of its rows.
BREAK = """
from rescore.errors import StoreUnavailableError
from rescore.pipeline.scoring import shards

whole, tried = shards.predict_run, []

def breaks_once(ctx, run, package, *, leaves=None):
    for number, batch in enumerate(whole(ctx, run, package, leaves=leaves)):
        if number == 1 and leaves == (1, 3) and not tried:
            tried.append(leaves)
            print("BROKEN ONCE")
            raise StoreUnavailableError("the store went away")
        yield batch

shards.predict_run = breaks_once
"""


def test_a_mapped_run_tries_a_failed_shard_again_alone_and_publishes_once(
    harbour: Harbour, airflow_database: str, tmp_path: Path
) -> None:
    add_large_day(harbour)
    run_id = pipeline.validate_run(harbour.ctx, pipeline.begin_extract(harbour.ctx, MODEL, harbour.day(DAY)))
    whole = harbour.ctx.store.runs.scored(pipeline.score_run(harbour.ctx, run_id))
    ctx = sharded(harbour, tmp_path)
    dags = 'from rescore_airflow.dags import score_dag\n\nscore_tides = score_dag("tides")\n'
    airflow = one_process_airflow(ctx, airflow_database, tmp_path, dags)
    day = harbour.day(DAY)
    run = airflow.run(
        "score_tides",
        before=BREAK,
        interval_start=day.start.isoformat(),
        interval_end=day.end.isoformat(),
    )
    assert run.state == "success" and run.said.count("BROKEN ONCE") == 1, run.said[-3000:]
    shards = {index: (how, tries, name) for task, index, how, tries, name in run.tasks if task == "score"}
    assert {index: tries for index, (_, tries, _) in shards.items()} == {0: 1, 1: 2, 2: 1}
    assert shards[0][2] == "rows 0 to 65,535"
    [published] = ctx.store.runs.published(MODEL, day)
    assert published.score_digest == whole.score_digest
    assert [one.attempts for one in ctx.store.shards.of_run(published)] == [1, 2, 1]
    assert len(ctx.store.publications.of_model(MODEL, day)) == 1
