"""What the DAGs of a model have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rescore_airflow.notify import on_failure
from rescore_airflow.operators import log_reason

if TYPE_CHECKING:
    from rescore.spec import ModelSpec

__all__ = ["CALLBACKS", "attempt", "dag_defaults", "on_demand"]


def failed(context: Any) -> None:
    """Log why a task failed for good, and tell who listens."""
    log_reason(context)
    on_failure(context)


def tried_again(context: Any) -> None:
    """Log why a task is tried again."""
    log_reason(context)


#: What every task does with an error. Airflow stores the source of both with each DAG, and parses it anew for
#: each: so they are short.
CALLBACKS: dict[str, Any] = {"on_failure_callback": failed, "on_retry_callback": tried_again}


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
        "tags": {"rescore", kind, f"model:{spec.name}", *airflow.tags},
        "auto_register": False,
        "default_args": {
            "owner": spec.owner,
            "retries": airflow.retries,
            "retry_delay": airflow.retry_delay,
            "execution_timeout": airflow.execution_timeout,
            "pool": airflow.pool,
            "executor_config": airflow.executor_config,
            **CALLBACKS,
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
