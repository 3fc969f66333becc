"""The DAGs: ``score_<model>`` and ``train_<model>`` for every model folder, and ``reproduce``.

A file in ``dags/`` names the factories it wants. Building a DAG reads ``model.yaml`` and nothing
else; what a task needs is imported inside the task. Tasks hand on ids and digests, never data.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, CronTriggerTimetable, get_current_context, task

from rescore.errors import DigestMismatchError
from rescore.folder import find_models, load_model
from rescore.settings import Settings
from rescore.spec import ModelSpec
from rescore_airflow import documents
from rescore_airflow.connections import pipeline_context
from rescore_airflow.failures import fail_typed, log_reason
from rescore_airflow.params import text_param
from rescore_airflow.promotion import PromotionApproval, evidence_text
from rescore_airflow.readiness import ReadinessGate
from rescore_airflow.reproduce_request import chosen_runs, reproduce_params, reproduce_request
from rescore_airflow.retrain import Retrain
from rescore_airflow.score_request import score_params, score_request
from rescore_airflow.timetable import ModelTimetable
from rescore_airflow.train_request import TrainRequest, train_params, train_request

__all__ = ["reproduce_dag", "score_dag", "train_dag"]


def _spec(model: str) -> ModelSpec:
    return load_model(Settings.from_environment().models, model).spec


def _task_defaults(spec: ModelSpec) -> dict[str, Any]:
    declared = spec.airflow
    return {
        "owner": spec.owner,
        "retries": declared.retries,
        "retry_delay": declared.retry_delay,
        "execution_timeout": declared.execution_timeout,
        "pool": declared.pool,
        "executor_config": declared.executor_config,
        "on_failure_callback": log_reason,
        "on_retry_callback": log_reason,
        **({"queue": declared.queue} if declared.queue else {}),
    }


def _attempt(context: Any) -> dict[str, Any]:
    """Which attempt of which Airflow task makes a run; kept with the run."""
    run, instance = context["dag_run"], context["ti"]
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "run_type": str(getattr(run.run_type, "value", run.run_type)),
        "task_id": instance.task_id,
        "try_number": instance.try_number,
        "triggered_by": run.triggering_user_name,
    }


def score_dag(model: str) -> DAG:
    """The DAG that scores one schedule interval of ``model`` per run.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """
    spec = _spec(model)
    schedule = spec.schedule.schedule()
    first = schedule.first_interval()
    scores = Asset(f"scores/{model}")
    with DAG(
        f"score_{model}",
        description=f"Score {spec.output.meaning} for one interval",
        doc_md=documents.score(spec),
        schedule=ModelTimetable.of(schedule),
        start_date=None if first is None else first.start,
        catchup=False,
        max_active_runs=spec.airflow.max_active_runs,
        params=score_params(spec),
        default_args=_task_defaults(spec),
        tags={"rescore", "score", *spec.airflow.tags},
        auto_register=False,
    ) as dag:
        ready = ReadinessGate(
            task_id="ready", model=model, spec=spec, retrain="retrain", doc_md=documents.READY
        )
        retrain = Retrain(task_id="retrain", model=model, spec=spec, doc_md=documents.RETRAIN)

        @task(trigger_rule="none_failed", doc_md=documents.EXTRACT)
        @fail_typed
        def extract() -> str:
            from rescore import pipeline

            context: Any = get_current_context()
            request = score_request(spec, context["dag_run"], context["params"], now=datetime.now(UTC))
            return pipeline.begin_extract(
                pipeline_context(), model, request.interval, request.as_of, airflow=_attempt(context)
            )

        @task(doc_md=documents.VALIDATE)
        @fail_typed
        def validate(run: str) -> str:
            from rescore import pipeline

            return pipeline.validate_run(pipeline_context(), run)

        @task(task_id="score", doc_md=documents.SCORE)
        @fail_typed
        def score_rows(run: str) -> str:
            from rescore import pipeline

            return pipeline.score_run(pipeline_context(), run)

        @task(doc_md=documents.DRIFT)
        @fail_typed
        def drift(run: str) -> str:
            from rescore import pipeline

            return pipeline.drift_run(pipeline_context(), run)

        @task(outlets=[scores], doc_md=documents.PUBLISH)
        @fail_typed
        def publish(run: str) -> dict[str, Any]:
            from rescore import pipeline

            publication = dict(pipeline.publish_run(pipeline_context(), run))
            context: Any = get_current_context()
            context["outlet_events"][scores].extra = publication
            return publication

        extracted = extract()
        ready >> retrain >> extracted
        ready >> extracted
        publish(drift(score_rows(validate(extracted))))
    return dag


def train_dag(model: str) -> DAG:
    """The DAG that trains, packages and, once approved, pins ``model``.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """
    spec = _spec(model)
    with DAG(
        f"train_{model}",
        description=f"Train {model}, package it, and pin it once approved",
        doc_md=documents.train(spec),
        schedule=None,
        start_date=None,
        max_active_runs=16,  # a run may wait for its approval for days, and must not hold up the next
        params=train_params(spec),
        default_args=_task_defaults(spec),
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

            context: Any = get_current_context()
            ctx = pipeline_context()
            made = dict(pipeline.train_package(ctx, model, snapshot_digest))
            context["ti"].xcom_push("evidence", evidence_text(ctx, model, made))
            return made

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
        def pin(made: dict[str, Any], decision: dict[str, Any]) -> int:
            from rescore import pipeline

            return pipeline.pin(
                pipeline_context(),
                model,
                made["sha256"],
                who=decision["by"],
                why=decision["reason"] or decision["how"],
                evidence={"approval": decision, "package": made},
            )

        made = package(snapshot())
        made >> approval
        pin(made, approval.output)
    return dag


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
            "on_failure_callback": log_reason,
            "on_retry_callback": log_reason,
        },
        tags={"rescore", "reproduce"},
        # It only reads, so there is no harm in its running from the first day.
        is_paused_upon_creation=False,
        auto_register=False,
    ) as dag:

        @task(doc_md=documents.CHOOSE)
        @fail_typed
        def choose() -> list[str]:
            context: Any = get_current_context()
            request = reproduce_request(context["dag_run"].conf, context["params"])
            return chosen_runs(pipeline_context(), request, seed=context["dag_run"].run_id)

        @task(task_id="reproduce", map_index_template="{{ reproduced_run }}", doc_md=documents.REPRODUCE_ONE)
        @fail_typed
        def reproduce_one(run: str) -> dict[str, Any]:
            from rescore import pipeline

            context: Any = get_current_context()
            context["reproduced_run"] = run
            done = pipeline.reproduce_run(pipeline_context(), run)
            if done.verdict != "identical":
                raise DigestMismatchError(
                    f"run {run} is {done.verdict}: {done.reason}",
                    where=f"{done.model} {done.interval}, {done.rows:,} rows",
                    expected=f"the scores that were published, {done.recorded_digest}",
                    examples=[str(difference) for difference in done.differences],
                    fix="the verdict is stored; find out what changed before anyone relies on these scores",
                )
            return dict(done.row())

        reproduce_one.expand(run=choose())
    return dag
