"""What the DAGs of a model have in common."""

from __future__ import annotations

from typing import Any

from rescore.folder import load_model
from rescore.settings import Settings
from rescore.spec import ModelSpec
from rescore_airflow.notify import on_failure
from rescore_airflow.operators import log_reason

__all__ = ["attempt", "declared", "task_defaults"]


def declared(model: str) -> ModelSpec:
    """The model's specification; reading it loads nothing heavy."""
    return load_model(Settings.from_environment().models, model).spec


def task_defaults(spec: ModelSpec) -> dict[str, Any]:
    """``default_args`` as the model declares them."""
    airflow = spec.airflow
    return {
        "owner": spec.owner,
        "retries": airflow.retries,
        "retry_delay": airflow.retry_delay,
        "execution_timeout": airflow.execution_timeout,
        "pool": airflow.pool,
        "executor_config": airflow.executor_config,
        "on_failure_callback": [log_reason, on_failure],
        "on_retry_callback": log_reason,
        **({"queue": airflow.queue} if airflow.queue else {}),
    }


def attempt(context: Any) -> dict[str, Any]:
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
