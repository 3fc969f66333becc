"""The DAG ``maintain``: what is past its time deleted, and the history's head kept outside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, task
from airflow.sdk.exceptions import AirflowSkipException

from rescore_airflow.connections import pipeline_context
from rescore_airflow.dags import documentation as documents
from rescore_airflow.dags.defaults import CALLBACKS
from rescore_airflow.operators import fail_typed

__all__ = ["maintain_dag"]


def maintain_dag() -> DAG:
    """The DAG that keeps the store as the models declare."""
    with DAG(
        "maintain",
        description="Delete what is past its retention, and keep the history's head outside",
        doc_md=documents.MAINTAIN,
        schedule=CronTriggerTimetable("15 4 * * *", timezone="UTC"),
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        default_args={
            "owner": "rescore",
            "retries": 2,
            **CALLBACKS,
        },
        tags={"rescore", "maintain"},
        # It deletes: a person switches it on, after a look at `rescore retention run --dry-run`.
        is_paused_upon_creation=True,
        auto_register=False,
    ) as dag:
        delete() >> anchor()
    return dag


@task(task_id="delete", doc_md=documents.DELETE)
@fail_typed
def delete() -> list[dict[str, Any]]:
    """Delete what is past its time and not needed."""
    from rescore import pipeline

    with pipeline_context() as ctx:
        return [one.to_dict() for one in pipeline.sweep(ctx, who="the DAG maintain")]


@task(task_id="anchor", doc_md=documents.ANCHOR)
@fail_typed
def anchor() -> str:
    """Keep the head of the chain outside."""
    from rescore import pipeline

    with pipeline_context() as ctx:
        if ctx.settings.anchors is None:
            raise AirflowSkipException("RESCORE_ANCHORS is not set: no place to keep the history's head in")
        return pipeline.anchor_head(ctx)
