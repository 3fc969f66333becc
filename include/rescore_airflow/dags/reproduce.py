"""The DAG ``reproduce``: published runs derived again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, get_current_context, task

from rescore.errors import DigestMismatchError
from rescore.folder import find_models
from rescore.settings import Settings
from rescore.shown_text import number_of
from rescore_airflow.connections import pipeline_context
from rescore_airflow.dags import documentation as documents
from rescore_airflow.dags.defaults import CALLBACKS
from rescore_airflow.operators import fail_typed
from rescore_airflow.requests import chosen_runs, reproduce_params, reproduce_request

__all__ = ["reproduce_dag"]


def reproduce_dag() -> DAG:
    """The DAG that derives published runs again and fails if any differs by a bit."""
    with DAG(
        "reproduce",
        description="Derive published runs again from their frozen input and pinned package",
        doc_md=documents.REPRODUCE,
        schedule=CronTriggerTimetable("30 5 * * *", timezone="UTC"),
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        params=reproduce_params(find_models(Settings.from_environment().models)),
        default_args={
            "owner": "rescore",
            "retries": 1,
            **CALLBACKS,
        },
        tags={"rescore", "reproduce"},
        # It only reads, so there is no harm in its running from the first day.
        is_paused_upon_creation=False,
        auto_register=False,
    ) as dag:
        reproduce_run.expand(run=choose())
    return dag


@task(doc_md=documents.CHOOSE)
@fail_typed
def choose() -> list[str]:
    """Gives the ids of the runs to derive again."""
    context: Any = get_current_context()
    request = reproduce_request(context["dag_run"].conf, context["params"])
    with pipeline_context() as ctx:
        return chosen_runs(ctx, request, seed=context["dag_run"].run_id)


@task(task_id="reproduce", map_index_template="{{ reproduced_run }}", doc_md=documents.REPRODUCE_ONE)
@fail_typed
def reproduce_run(run: str) -> dict[str, Any]:
    """Derive one run again; fails unless it is proved."""
    from rescore import pipeline

    context: Any = get_current_context()
    context["reproduced_run"] = run
    with pipeline_context() as ctx:
        reproduction = pipeline.reproduce_run(ctx, run)
    if not reproduction.proved:
        raise DigestMismatchError(
            f"run {run} is {reproduction.verdict}: {reproduction.reason}",
            where=f"{reproduction.model} {reproduction.interval}, {number_of(reproduction.rows, 'row')}",
            expected=f"the scores that were published, {reproduction.recorded_digest}",
            examples=[str(difference) for difference in reproduction.differences],
            fix="the verdict is stored; find out what changed before anyone relies on these scores",
        )
    return dict(reproduction.row())
