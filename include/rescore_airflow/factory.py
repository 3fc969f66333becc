"""The DAGs: ``score_``, ``train_``, ``monitor_`` and ``publish_<model>`` for every folder; ``reproduce``.

A file in ``dags/`` names the factories it wants. Building a DAG reads ``model.yaml`` and nothing
else; what a task needs is imported inside the task. Tasks hand on ids and digests, never data.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, CronTriggerTimetable, get_current_context, task

from rescore.errors import DigestMismatchError
from rescore.folder import find_models
from rescore.settings import Settings
from rescore_airflow import documents
from rescore_airflow.connections import pipeline_context
from rescore_airflow.failures import fail_typed, log_reason
from rescore_airflow.holding import DriftCheck, Hold
from rescore_airflow.monitoring import monitor_dag
from rescore_airflow.notifications import on_failure
from rescore_airflow.params import text_param
from rescore_airflow.promotion import PromotionApproval, compared
from rescore_airflow.publishing import publish_dag
from rescore_airflow.readiness import ReadinessGate
from rescore_airflow.reproduce_request import chosen_runs, reproduce_params, reproduce_request
from rescore_airflow.retrain import Retrain
from rescore_airflow.score_request import score_params, score_request
from rescore_airflow.timetable import ModelTimetable
from rescore_airflow.train_request import TrainRequest, train_params, train_request
from rescore_airflow.wiring import attempt, declared, task_defaults

__all__ = ["monitor_dag", "publish_dag", "reproduce_dag", "score_dag", "train_dag"]


def score_dag(model: str) -> DAG:
    """The DAG that scores one schedule interval of ``model`` per run.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """
    spec = declared(model)
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
        default_args=task_defaults(spec),
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
                pipeline_context(), model, request.interval, request.as_of, airflow=attempt(context)
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
        drift = DriftCheck(
            task_id="drift",
            run=score_rows(validate(extracted)),
            publish="publish",
            hold="hold",
            doc_md=documents.DRIFT,
        )
        publish(drift.output)
        Hold(task_id="hold", model=model, run=drift.output, doc_md=documents.HOLD)
    return dag


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
            "on_failure_callback": [log_reason, on_failure],
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
            if not done.proved:
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
