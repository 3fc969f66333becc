"""The DAG ``train_<model>``: snapshot, package, comparison, approval, pin."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, get_current_context, task

from rescore.spec import ModelSpec
from rescore_airflow.connections import pipeline_context
from rescore_airflow.dags import documentation as documents
from rescore_airflow.dags.defaults import on_demand
from rescore_airflow.declarations import declared
from rescore_airflow.lineage import tell_training
from rescore_airflow.operators import (
    ApprovalCase,
    Decision,
    PromotionApproval,
    compare_with_pinned,
    fail_typed,
    refuse_another_champion,
)
from rescore_airflow.plain_values import plain_values
from rescore_airflow.requests import text_param, train_params, train_request

__all__ = ["train_dag", "train_tasks"]


def train_dag(model_name: str) -> DAG:
    """The DAG that trains, packages and, once approved, pins a model.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """
    spec = declared(model_name)
    with DAG(
        f"train_{model_name}",
        description=f"Train {model_name}, package it, and pin it once approved",
        doc_md=documents.train(spec),
        max_active_runs=16,  # a run may wait for its approval for days, and must not hold up the next
        params=train_params(spec),
        **on_demand(spec, "train"),
    ) as dag:
        train_tasks(model_name, spec)
    return dag


def train_tasks(model_name: str, spec: ModelSpec) -> None:
    """The tasks of a training, in the DAG or the task group that is being built."""
    approval = PromotionApproval(
        task_id="approval",
        model_name=model_name,
        spec=spec,
        doc_md=documents.APPROVAL,
        # What the person who answers fills in.
        params={"reason": text_param("Reason", "Why; it is stored with your name.")},
    )
    built = package(model_name, snapshot(model_name))
    evidence = compare(model_name, built)
    evidence >> approval
    pin(model_name, built, evidence, approval.output)


@task(doc_md=documents.SNAPSHOT)
@fail_typed
def snapshot(model_name: str) -> str:
    """Freeze the training rows; gives their digest."""
    from rescore import pipeline

    context: Any = get_current_context()
    spec = declared(model_name)
    request = train_request(spec, context, now=datetime.now(UTC))
    start, end = (None, None) if request.window is None else (request.window.start, request.window.end)
    with pipeline_context() as ctx:
        digest = pipeline.train_snapshot(ctx, model_name, as_of=request.as_of, start=start, end=end)
        tell_training(ctx, model_name, digest, reads=False)
        return digest


@task(doc_md=documents.PACKAGE, max_active_tis_per_dag=1)  # versions are counted up
@fail_typed
def package(model_name: str, snapshot_digest: str) -> dict[str, Any]:
    """Fit and build the package; gives what identifies it."""
    from rescore import pipeline

    context: Any = get_current_context()
    spec = declared(model_name)
    request = train_request(spec, context, now=datetime.now(UTC))
    with pipeline_context() as ctx:
        tell_training(ctx, model_name, snapshot_digest, reads=True)
        made = pipeline.train_package(ctx, model_name, snapshot_digest, who=request.trained_by)
        tell_training(ctx, model_name, snapshot_digest, package_sha256=made.sha256, reads=True)
        return plain_values(made.to_dict())


@task(doc_md=documents.COMPARE)
@fail_typed
def compare(model_name: str, built: dict[str, Any]) -> ApprovalCase:
    """Compare the package with the pinned one, for whoever approves it."""
    with pipeline_context() as ctx:
        return compare_with_pinned(ctx, model_name, built)


@task(doc_md=documents.PIN)
@fail_typed
def pin(model_name: str, built: dict[str, Any], evidence: ApprovalCase, decision: Decision) -> int:
    """Make the package the one that scores; gives the pin's id."""
    from rescore import pipeline

    with pipeline_context() as ctx:
        pinned = ctx.store.pins.current(model_name)
        refuse_another_champion(evidence, None if pinned is None else pinned.sha256, built["sha256"])
        recorded = pipeline.pin_evidence(ctx, model_name, built["sha256"])
        return pipeline.pin(
            ctx,
            model_name,
            built["sha256"],
            who=decision["by"],
            why=decision["reason"] or decision["how"],
            evidence={**recorded, "approval": decision, "package": built, "comparison": evidence},
        )
