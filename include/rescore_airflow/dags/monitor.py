"""The DAG ``monitor_<model>``: measure, report how the scores stand, notify people, ask for training."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, get_current_context, task

from rescore.errors import RescoreError, SettingsError
from rescore_airflow.connections import pipeline_context
from rescore_airflow.dags import documentation as documents
from rescore_airflow.dags.defaults import dag_defaults
from rescore_airflow.declarations import declared
from rescore_airflow.notify import listeners, tell_of_scores, try_to_tell
from rescore_airflow.operators import RetrainIfDue, fail_typed, waits_for_approval
from rescore_airflow.plain_values import plain_values

__all__ = ["monitor_dag"]

#: Every day, in the model's own time zone: labels come without an event.
DAILY = "45 5 * * *"


def monitor_dag(model_name: str) -> DAG:
    """The DAG that looks after a model: on new scores, and every day for labels.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """
    spec = declared(model_name)
    daily = CronTriggerTimetable(DAILY, timezone=spec.schedule.timezone)
    with DAG(
        f"monitor_{model_name}",
        description=f"Measure {model_name} against its labels, and act on its verdicts",
        doc_md=documents.monitor(spec),
        schedule=AssetOrTimeSchedule(timetable=daily, assets=[Asset(f"scores/{model_name}")]),
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        max_active_runs=1,  # events that come meanwhile are looked at together
        # It reads, and asks for a training only where the model declares that.
        is_paused_upon_creation=False,
        **dag_defaults(spec, "monitor"),
    ) as dag:
        state: Any = measure.override(outlets=[Asset(f"monitor/{model_name}")])(model_name)
        if any(
            {"verdict", "alarm", "performance"} & {*listener.events} for listener in listeners(model_name)
        ):
            notify(state)
        if spec.promotion.shadow:
            state >> shadow(model_name)
        if spec.asks_for_retraining:
            RetrainIfDue(
                task_id="retrain",
                model_name=model_name,
                until=state["until"],
                doc_md=documents.RETRAIN_IF_DUE,
            )
    return dag


@task(multiple_outputs=True, doc_md=documents.MEASURE)
@fail_typed
def measure(model_name: str) -> dict[str, Any]:
    """Measure what has labels; gives how the scores stand, which the asset's event carries too."""
    from rescore import pipeline

    context: Any = get_current_context()
    events = [event for of_asset in context["triggering_asset_events"].values() for event in of_asset]
    new = [event.extra["run_id"] for event in events if event.extra.get("run_id")]
    with pipeline_context() as ctx:
        try:
            report = pipeline.monitor_model(ctx, model_name, context["dag_run"].run_after, new or None)
        except RescoreError as error:  # of labels: what the new runs' verdicts are is known without them
            if new and not (error.retryable and ctx.tried_again):
                unmeasured = pipeline.unmeasured_report(ctx, model_name, new)
                with suppress(SettingsError):  # logged, and no reason to hide this one
                    tell_of_scores({**plain_values(unmeasured.to_dict()), "new": True}, context)
            raise
    state = plain_values(report.to_dict())
    latest = state["runs"][-1] if state["runs"] else {}
    context["outlet_events"][context["task"].outlets[0]].extra = {**latest, **state}
    return {**state, "new": bool(new), "until": latest.get("interval_end", "")}


@task(doc_md=documents.SHADOW)
@fail_typed
def shadow(model_name: str) -> list[str]:
    """Score what was measured with the challengers in the shadow; gives where each stands."""
    from rescore import pipeline

    context: Any = get_current_context()
    with pipeline_context() as ctx:
        found = pipeline.follow_shadows(
            ctx,
            model_name,
            context["dag_run"].run_after,
            tell=lambda one: try_to_tell(waits_for_approval(one), context),
        )
    return [one.sentence for one in found]


@task(doc_md=documents.NOTIFY)
@fail_typed
def notify(state: dict[str, Any]) -> int:
    """Tell people of new runs with an alarm or a verdict at which the model acts, and of worse performance.

    Gives how many notifiers were told.
    """
    return tell_of_scores(state, get_current_context())
