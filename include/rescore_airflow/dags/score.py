"""The DAG ``score_<model>``: one run scores one interval of the schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from airflow.sdk import DAG, Asset, get_current_context, task
from airflow.sdk.exceptions import AirflowException

from rescore.errors import EnvironmentMismatchError
from rescore.spec import ModelSpec
from rescore_airflow.connections import pipeline_context
from rescore_airflow.dags import documentation as documents
from rescore_airflow.dags.defaults import attempt, dag_defaults
from rescore_airflow.declarations import declared
from rescore_airflow.lineage import tell_lineage
from rescore_airflow.operators import DriftCheck, Hold, ReadinessGate, Retrain, fail_typed
from rescore_airflow.plain_values import plain_values
from rescore_airflow.requests import score_params, score_request
from rescore_airflow.timetable import ModelTimetable

__all__ = ["score_dag", "score_tasks"]


def score_dag(model_name: str) -> DAG:
    """The DAG that scores one schedule interval of a model per run.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """
    spec = declared(model_name)
    schedule = spec.schedule.schedule()
    first = schedule.first_interval()
    with DAG(
        f"score_{model_name}",
        description=f"Score {spec.output.meaning} for one interval",
        doc_md=documents.score(spec),
        schedule=ModelTimetable.of(schedule),
        start_date=None if first is None else first.start,
        max_active_runs=spec.airflow.max_active_runs,
        params=score_params(spec),
        **dag_defaults(spec, "score"),
    ) as dag:
        score_tasks(model_name, spec)
    return dag


def score_tasks(model_name: str, spec: ModelSpec) -> None:
    """The tasks of a scoring run, in the DAG or the task group that is being built."""
    ready = ReadinessGate(
        task_id="ready", model_name=model_name, spec=spec, retrain="retrain", doc_md=documents.READY
    )
    retrain = Retrain(task_id="retrain", model_name=model_name, spec=spec, doc_md=documents.RETRAIN)
    extracted = extract(model_name)
    ready >> retrain >> extracted
    ready >> extracted
    validated = validate(extracted)
    if spec.scoring.shard_rows is None:
        scored = score(validated)
    else:
        shards = split(validated)
        scored = join(shards)
        # A mapped task fails and is tried again by itself; joining waits for all of them.
        score_one_shard.expand(shard=shards) >> scored
    drift = DriftCheck(
        task_id="drift",
        run=scored,
        publish="publish",
        hold="hold",
        doc_md=documents.DRIFT,
    )
    publish.override(outlets=[Asset(f"scores/{model_name}")])(drift.output)
    Hold(task_id="hold", model_name=model_name, run=drift.output, doc_md=documents.HOLD)


@task(trigger_rule="none_failed", doc_md=documents.EXTRACT)
@fail_typed
def extract(model_name: str) -> str:
    """Freeze the rows of the interval that the run is for; gives the id of our run."""
    from rescore import pipeline

    context: Any = get_current_context()
    spec = declared(model_name)
    request = score_request(spec, context, now=datetime.now(UTC))
    with pipeline_context() as ctx:
        run = pipeline.begin_extract(
            ctx, model_name, request.interval, request.as_of, airflow=attempt(context)
        )
        return tell_lineage(ctx, run, writes="input")


@task(doc_md=documents.VALIDATE)
@fail_typed
def validate(run: str) -> str:
    """Judge the frozen rows; a task's ``run`` is the id of our run: Airflow keeps ``run_id`` for its own."""
    from rescore import pipeline

    with pipeline_context() as ctx:
        return tell_lineage(ctx, pipeline.validate_run(ctx, tell_lineage(ctx, run)))


@task(doc_md=documents.SCORE)
@fail_typed
def score(run: str) -> str:
    """Score the rows that passed."""
    from rescore import pipeline

    with pipeline_context() as ctx:
        return tell_lineage(ctx, pipeline.score_run(ctx, tell_lineage(ctx, run)))


@task(doc_md=documents.SPLIT)
@fail_typed
def split(run: str) -> list[dict[str, Any]]:
    """Cut the rows that passed into shards, one for each task that scores."""
    from rescore import pipeline

    with pipeline_context() as ctx:
        return [shard.to_dict() for shard in pipeline.split_run(ctx, run)]


@task(task_id="score", doc_md=documents.SCORE_SHARD, map_index_template="{{ rows }}")
@fail_typed
def score_one_shard(shard: Mapping[str, Any]) -> None:
    """Score one shard; the task's name in the UI says which rows."""
    from rescore import pipeline

    with pipeline_context() as ctx:
        handle, context = pipeline.ShardHandle.from_dict(shard), cast(Any, get_current_context())
        # Before the work: the name of a shard that fails is the one that people look for.
        context["rows"] = str(ctx.store.shards.get(handle))
        try:
            pipeline.score_shard(ctx, handle)
        except EnvironmentMismatchError as error:
            raise AirflowException(str(error)) from error  # a retry may meet a worker of the right kind


@task(doc_md=documents.JOIN)
@fail_typed
def join(shards: Sequence[Mapping[str, Any]]) -> str:
    """Make what all shards staged the run's scores; gives the id of our run."""
    from rescore import pipeline

    with pipeline_context() as ctx:
        return tell_lineage(ctx, pipeline.join_shards(ctx, pipeline.ShardHandle.from_dict(shards[0]).run))


@task(doc_md=documents.PUBLISH)
@fail_typed
def publish(run: str) -> dict[str, Any]:
    """Publish the scores; gives the publication, which the asset's event carries too."""
    from rescore import pipeline

    with pipeline_context() as ctx:
        told = tell_lineage(ctx, run, writes="scores")
        publication = plain_values(pipeline.publish_run(ctx, told).to_dict())
    context: Any = get_current_context()
    context["outlet_events"][context["task"].outlets[0]].extra = publication
    return publication
