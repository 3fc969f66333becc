"""What the DAGs of a model have in common."""

from __future__ import annotations

from typing import Any

from rescore.spec import ModelSpec
from rescore_airflow.notify import on_failure
from rescore_airflow.operators import log_reason

__all__ = ["attempt", "dag_defaults", "on_demand"]


def dag_defaults(spec: ModelSpec, kind: str) -> dict[str, Any]:
    """Arguments of every DAG of the model: tags, and its tasks' ``default_args`` as the model declares.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    kind : str
        What the DAG does, in one word; a tag.
    """
    airflow = spec.airflow
    return {
        "catchup": False,
        "tags": {"rescore", kind, *airflow.tags},
        "auto_register": False,
        "default_args": {
            "owner": spec.owner,
            "retries": airflow.retries,
            "retry_delay": airflow.retry_delay,
            "execution_timeout": airflow.execution_timeout,
            "pool": airflow.pool,
            "executor_config": airflow.executor_config,
            "on_failure_callback": [log_reason, on_failure],
            "on_retry_callback": log_reason,
            **({"queue": airflow.queue} if airflow.queue else {}),
        },
    }


def on_demand(spec: ModelSpec, kind: str) -> dict[str, Any]:
    """Arguments of a DAG that only a person or another DAG starts.

    It is not paused: a run of a paused DAG would stay queued.
    """
    return {
        "schedule": None,
        "start_date": None,
        "is_paused_upon_creation": False,
        **dag_defaults(spec, kind),
    }


def attempt(context: Any) -> dict[str, Any]:
    """Which attempt of which Airflow task makes a run; stored with the run."""
    run, instance = context["dag_run"], context["ti"]
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "run_type": str(getattr(run.run_type, "value", run.run_type)),
        "task_id": instance.task_id,
        "try_number": instance.try_number,
        "triggered_by": run.triggering_user_name,
    }
