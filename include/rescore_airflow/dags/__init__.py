"""The DAGs: ``score_``, ``train_``, ``monitor_`` and ``publish_<model>`` for every folder; ``reproduce``,
``maintain`` and ``erase_subject``.

A file in ``dags/`` names the builders it wants; each has a file of its own here. Building a DAG reads
``model.yaml`` and nothing else; what a task needs is imported inside the task. Tasks hand on ids and
digests, never data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
    from rescore_airflow.dags.erase_subject import erase_subject_dag
    from rescore_airflow.dags.groups import ScoreTaskGroup, TrainTaskGroup
    from rescore_airflow.dags.maintain import maintain_dag
    from rescore_airflow.dags.model_dags import every_model
    from rescore_airflow.dags.model_folders import check_model_folders
    from rescore_airflow.dags.monitor import monitor_dag
    from rescore_airflow.dags.publish import publish_dag
    from rescore_airflow.dags.reproduce import reproduce_dag
    from rescore_airflow.dags.score import score_dag
    from rescore_airflow.dags.train import train_dag

__all__ = [
    "ScoreTaskGroup",
    "TrainTaskGroup",
    "check_model_folders",
    "erase_subject_dag",
    "every_model",
    "maintain_dag",
    "monitor_dag",
    "publish_dag",
    "reproduce_dag",
    "score_dag",
    "train_dag",
]

if not TYPE_CHECKING:  # or each name that is misspelt would be one for it
    __getattr__ = lazy_names(__name__, __file__)
