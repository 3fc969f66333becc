"""The local Postgres and the local Airflow: what a machine without either needs for development and tests.

Nothing here imports Airflow; its components are started as processes. On a server the same parts
come from ``docker-compose.yaml`` or from an Airflow and a Postgres that exist already.
"""

from rescore.local.airflow_client import AirflowClient, DagRun, TaskState
from rescore.local.stack import LocalStack

__all__ = ["AirflowClient", "DagRun", "LocalStack", "TaskState"]
