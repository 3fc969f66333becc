"""The DAG ``monitor_<model>``: measure, say how the scores stand, tell people, ask for training."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, get_current_context, task

from rescore_airflow.connections import pipeline_context
from rescore_airflow.dags import documentation as documents
from rescore_airflow.dags.defaults import declared, task_defaults
from rescore_airflow.notify import Message, listeners, tell
from rescore_airflow.operators import RetrainIfDue, fail_typed

__all__ = ["monitor_dag"]

#: Every day, in the model's own time zone: labels come without an event.
DAILY = "45 5 * * *"


def monitor_dag(model: str) -> DAG:
    """The DAG that looks after ``model``: on new scores, and every day for labels.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """
    spec = declared(model)
    scores, monitored = Asset(f"scores/{model}"), Asset(f"monitor/{model}")
    with DAG(
        f"monitor_{model}",
        description=f"Measure {model} against its labels, and act on its verdicts",
        doc_md=documents.monitor(spec),
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable(DAILY, timezone=spec.schedule.timezone), assets=[scores]
        ),
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,  # events that come meanwhile are looked at together
        default_args=task_defaults(spec),
        tags={"rescore", "monitor", *spec.airflow.tags},
        # It reads, and asks for a training only where the model declares that.
        is_paused_upon_creation=False,
        auto_register=False,
    ) as dag:

        @task(outlets=[monitored], multiple_outputs=True, doc_md=documents.MEASURE)
        @fail_typed
        def measure() -> dict[str, Any]:
            from rescore import pipeline

            context: Any = get_current_context()
            events = context["triggering_asset_events"]
            new = [event.extra.get("run_id") for events_of in events.values() for event in events_of]
            state = dict(
                pipeline.monitor_model(
                    pipeline_context(),
                    model,
                    context["dag_run"].run_after,
                    [run for run in new if run] or None,
                )
            )
            last = state["runs"][-1] if state["runs"] else {}
            context["outlet_events"][monitored].extra = {**last, **state}
            return {**state, "new": bool(new), "until": last.get("interval_end", "")}

        @task(doc_md=documents.TELL)
        @fail_typed
        def notify(state: dict[str, Any]) -> int:
            return tell_of_verdicts(state, get_current_context())

        state: Any = measure()
        if any("verdict" in one.events for one in listeners(model)):
            notify(state)
        if spec.asks_for_retraining:
            RetrainIfDue(
                task_id="retrain", model=model, until=state["until"], doc_md=documents.RETRAIN_IF_DUE
            )
    return dag


def tell_of_verdicts(state: dict[str, Any], context: Any) -> int:
    """Tell of the new runs at whose verdict the model acts; returns how many were told.

    The daily look at labels brings no new run, and repeats nothing.
    """
    runs = [run for run in state["runs"] if run["acts"]] if state["new"] else []
    if not runs:
        return 0
    worst = runs[-1]
    more = f", and {len(runs) - 1} more" if len(runs) > 1 else ""
    lately = state["performance"]
    lines = [f"{run['interval']}: {run['verdict']}: {run['sentence']}" for run in runs]
    if lately:
        lines.append(
            f"{lately['metric']} of the week until {lately['until']}: {lately['value']:.4g}, "
            f"{lately['rows']:,} labelled rows"
        )
    message = Message(
        "verdict",
        state["model"],
        f"{state['model']}: scores of {worst['interval']} are {worst['verdict']}{more}",
        "\n".join(lines),
        state,
    )
    return tell(message, context)
