"""The libraries that every task imports, imported once: in the scheduler, whose workers LocalExecutor forks.

A task of Airflow runs in a fork of its worker, and a worker is a fork of the scheduler. What the scheduler
has imported need not be imported again, and its memory is shared. Only libraries are imported here: code of
ours, and model folders, are read by each task, so that a change of them acts at once. Nothing is computed:
numbers come from interpreters that are started for them.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from airflow.configuration import conf
from airflow.listeners import hookimpl

__all__ = ["LIBRARIES", "on_starting"]

#: What extraction, validation, scoring, drift and publication import and is not ours.
LIBRARIES = (
    "numpy",
    "pandas",
    "pyarrow.compute",
    "pyarrow.parquet",
    "pydantic",
    "psycopg2.extras",
    "psycopg2.sql",
    "scipy.linalg",
    "scipy.special",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "adbc_driver_postgresql.dbapi",
    "fsspec",
    "threadpoolctl",
)


@hookimpl
def on_starting(component: object) -> None:
    """Import the libraries, if this process is a scheduler that forks its tasks.

    Airflow calls this before the executor starts. Linear algebra of several threads would be loaded before
    a fork, so without ``OMP_NUM_THREADS=1`` nothing is imported, and each task does it as before.
    """
    del component  # it does not say yet what runs in this process
    if sys.argv[1:2] != ["scheduler"] or os.environ.get("OMP_NUM_THREADS") != "1":
        return
    if "LocalExecutor" in conf.get("core", "executor"):
        for name in LIBRARIES:
            import_module(name)
