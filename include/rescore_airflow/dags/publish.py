"""The DAG ``publish_<model>``: a person publishes what is held or was stopped."""

from __future__ import annotations

from airflow.sdk import DAG, Asset

from rescore_airflow.dags import documentation as documents
from rescore_airflow.dags.defaults import on_demand
from rescore_airflow.declarations import declared
from rescore_airflow.operators import Release
from rescore_airflow.requests import release_params, text_param

__all__ = ["publish_dag"]


def publish_dag(model_name: str) -> DAG:
    """The DAG that publishes a held or stopped run of a model once a person says so.

    Each model has its own, so that Airflow's rights decide who may release which model's scores.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """
    spec = declared(model_name)
    with DAG(
        f"publish_{model_name}",
        description=f"Publish a run of {model_name} that is held or was stopped, with a reason",
        doc_md=documents.publish(spec),
        max_active_runs=64,  # each may wait for a person for days
        params=release_params(),
        **on_demand(spec, "publish"),
    ) as dag:
        Release(
            task_id="release",
            model_name=model_name,
            spec=spec,
            scores=Asset(f"scores/{model_name}"),
            doc_md=documents.RELEASE,
            # What the person who answers fills in.
            params={"reason": text_param("Reason", "Why; shown beside the scores with your name. Needed.")},
        )
    return dag
