"""The DAG ``publish_<model>``: a person publishes what is held or was stopped."""

from __future__ import annotations

from airflow.sdk import DAG, Asset

from rescore_airflow.dags import documentation as documents
from rescore_airflow.dags.defaults import declared, task_defaults
from rescore_airflow.operators import Release, release_params
from rescore_airflow.requests import text_param

__all__ = ["publish_dag"]


def publish_dag(model: str) -> DAG:
    """The DAG that publishes a held or stopped run of ``model`` once a person says so.

    One per model, so that Airflow's own rights decide who may release which model's scores.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """
    spec = declared(model)
    with DAG(
        f"publish_{model}",
        description=f"Publish a run of {model} that is held or was stopped, with a reason",
        doc_md=documents.publish(spec),
        schedule=None,
        start_date=None,
        max_active_runs=64,  # each may wait for a person for days
        params=release_params(),
        default_args=task_defaults(spec),
        tags={"rescore", "publish", *spec.airflow.tags},
        # Nothing starts it but a person or a held run, and a paused one would not start at all.
        is_paused_upon_creation=False,
        auto_register=False,
    ) as dag:
        Release(
            task_id="release",
            model=model,
            spec=spec,
            scores=Asset(f"scores/{model}"),
            doc_md=documents.RELEASE,
            # What the person who answers fills in.
            params={"reason": text_param("Reason", "Why; shown beside the scores with your name. Needed.")},
        )
    return dag
