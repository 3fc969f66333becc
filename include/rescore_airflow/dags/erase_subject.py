"""The DAG ``erase_subject``: a person erased, after a dry run and an approval."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from rescore_airflow.dags import documentation as documents
from rescore_airflow.dags.defaults import CALLBACKS
from rescore_airflow.operators import Erase
from rescore_airflow.requests import erase_params

__all__ = ["erase_subject_dag"]


def erase_subject_dag() -> DAG:
    """The DAG that erases whom its Params name, once a person approves what the dry run found."""
    with DAG(
        "erase_subject",
        description="Erase a person from frozen rows, scores and reports, after a dry run and an approval",
        doc_md=documents.ERASE_SUBJECT,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        params=erase_params(),
        default_args={
            "owner": "rescore",
            "retries": 2,
            **CALLBACKS,
        },
        tags={"rescore", "erase_subject"},
        is_paused_upon_creation=False,
        auto_register=False,
    ) as dag:
        Erase(task_id="erase", doc_md=documents.ERASE, response_timeout=timedelta(days=7))
    return dag
