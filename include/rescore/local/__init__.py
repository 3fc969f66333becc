"""The local Postgres and the local Airflow: what a machine without either needs for development and tests.

Nothing here imports Airflow; its components are started as processes. On a server the same parts
come from ``docker-compose.yaml`` or from an Airflow and a Postgres that exist already. Names load on
first use: a health check costs milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
    from rescore.local.airflow_client import AirflowClient, DagRun, TaskState
    from rescore.local.binaries import postgres_binaries
    from rescore.local.logins import Logins
    from rescore.local.ports import free_port
    from rescore.local.postgres import LocalPostgres
    from rescore.local.processes import Process
    from rescore.local.stack import LocalStack, StackStatus
    from rescore.local.variables import SINGLE_THREADED, environment, settings_variables

__all__ = [
    "SINGLE_THREADED",
    "AirflowClient",
    "DagRun",
    "LocalPostgres",
    "LocalStack",
    "Logins",
    "Process",
    "StackStatus",
    "TaskState",
    "environment",
    "free_port",
    "postgres_binaries",
    "settings_variables",
]

if not TYPE_CHECKING:  # or each name that is misspelt would be one for it
    __getattr__ = lazy_names(__name__, __file__)
