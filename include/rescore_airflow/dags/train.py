"""The DAG ``train_<model>``: snapshot, package, comparison, approval, pin."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, get_current_context, task

from rescore_airflow.connections import pipeline_context
from rescore_airflow.dags import documentation as documents
from rescore_airflow.dags.defaults import declared, task_defaults
from rescore_airflow.operators import PromotionApproval, compared, fail_typed
from rescore_airflow.requests import TrainRequest, text_param, train_params, train_request

__all__ = ["train_dag"]


def train_dag(model: str) -> DAG:
    """The DAG that trains, packages and, once approved, pins ``model``.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """
    spec = declared(model)
    with DAG(
        f"train_{model}",
        description=f"Train {model}, package it, and pin it once approved",
        doc_md=documents.train(spec),
        schedule=None,
        start_date=None,
        max_active_runs=16,  # a run may wait for its approval for days, and must not hold up the next
        params=train_params(spec),
        default_args=task_defaults(spec),
        tags={"rescore", "train", *spec.airflow.tags},
        # Nothing starts it but a person or a scoring run, and a paused one would not start at all.
        is_paused_upon_creation=False,
        auto_register=False,
    ) as dag:

        def request_of(context: Any) -> TrainRequest:
            return train_request(spec, context["dag_run"], context["params"], now=datetime.now(UTC))

        @task(doc_md=documents.SNAPSHOT)
        @fail_typed
        def snapshot() -> str:
            from rescore import pipeline

            request = request_of(get_current_context())
            window = request.window
            return pipeline.train_snapshot(
                pipeline_context(),
                model,
                as_of=request.as_of,
                start=None if window is None else window.start,
                end=None if window is None else window.end,
            )

        @task(doc_md=documents.PACKAGE, max_active_tis_per_dag=1)  # versions are counted up
        @fail_typed
        def package(snapshot_digest: str) -> dict[str, Any]:
            from rescore import pipeline

            return dict(pipeline.train_package(pipeline_context(), model, snapshot_digest))

        @task(doc_md=documents.COMPARE)
        @fail_typed
        def compare(made: dict[str, Any]) -> dict[str, Any]:
            return compared(pipeline_context(), model, made)

        approval = PromotionApproval(
            task_id="approval",
            model=model,
            spec=spec,
            doc_md=documents.APPROVAL,
            # What the person who answers fills in.
            params={"reason": text_param("Reason", "Why; it is stored with your name.")},
        )

        @task(doc_md=documents.PIN)
        @fail_typed
        def pin(made: dict[str, Any], found: dict[str, Any], decision: dict[str, Any]) -> int:
            from rescore import pipeline

            ctx = pipeline_context()
            stands_on = pipeline.pin_evidence(ctx, model, made["sha256"])
            return pipeline.pin(
                ctx,
                model,
                made["sha256"],
                who=decision["by"],
                why=decision["reason"] or decision["how"],
                evidence={**stands_on, "approval": decision, "package": made, "comparison": found},
            )

        made = package(snapshot())
        found = compare(made)
        found >> approval
        pin(made, found, approval.output)
    return dag
