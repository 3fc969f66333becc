"""A command and a task of a DAG import what they need, and no library that takes its time for nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Given to an interpreter: what is done, then what must not have been imported by it.
_PRINT_LOADED = """
import sys
print(*(name for name in {never} if name in sys.modules))
"""
_START = """
import rescore.cli
"""
_STAGES = """
from rescore import pipeline
from rescore.local import LocalStack
pipeline.begin_extract, pipeline.validate_run, pipeline.score_run, pipeline.drift_run, pipeline.publish_run
import rescore.drift.compare_window, rescore.store.runs.scores
"""
_HEAVY = (
    *("adbc_driver_manager.dbapi", "airflow", "alembic", "altair", "great_expectations", "matplotlib"),
    *("pandas", "scipy.stats", "skops", "sklearn"),
)
_OF_A_STAGE = ("fsspec", "numpy", "psycopg2", "pyarrow", "rich.markdown", "scipy", "sqlalchemy")


@pytest.mark.parametrize(
    ("done", "never"), [(_START, (*_HEAVY, *_OF_A_STAGE)), (_STAGES, _HEAVY)], ids=["start", "stages"]
)
def test_what_is_not_used_is_not_imported(done: str, never: tuple[str, ...]) -> None:
    code = done + _PRINT_LOADED.format(never=never)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == ""
