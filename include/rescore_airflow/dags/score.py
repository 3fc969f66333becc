"""The DAG ``score_<model>``: one run scores one interval of the schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, get_current_context, task

from rescore_airflow.connections import pipeline_context
from rescore_airflow.dags import documentation as documents
from rescore_airflow.dags.defaults import attempt, declared, task_defaults
from rescore_airflow.operators import DriftCheck, Hold, ReadinessGate, Retrain, fail_typed
from rescore_airflow.requests import score_params, score_request
from rescore_airflow.timetable import ModelTimetable

__all__ = ["score_dag"]


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
