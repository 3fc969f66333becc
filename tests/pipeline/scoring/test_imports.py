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
_BUT_DRIFT = """
from rescore import pipeline
from rescore.local import LocalStack
pipeline.begin_extract, pipeline.validate_run, pipeline.score_run, pipeline.publish_run
import rescore.store.runs.scores
"""
_STAGES = f"{_BUT_DRIFT}import rescore.drift.compare_window"
_HEAVY = (
    *("adbc_driver_manager.dbapi", "airflow", "alembic", "altair", "great_expectations", "matplotlib"),
    *("pandas", "scipy.stats", "skops", "sklearn"),
)
_OF_A_STAGE = ("fsspec", "numpy", "psycopg2", "pyarrow", "rich.markdown", "scipy", "sqlalchemy")


@pytest.mark.parametrize(
    ("done", "never"),
    [(_START, (*_HEAVY, *_OF_A_STAGE)), (_BUT_DRIFT, (*_HEAVY, "scipy")), (_STAGES, _HEAVY)],
    ids=["start", "stages but drift", "stages"],
)
def test_what_is_not_used_is_not_imported(done: str, never: tuple[str, ...]) -> None:
    code = done + _PRINT_LOADED.format(never=never)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == ""


def test_no_garbage_is_looked_for_while_a_face_imports() -> None:
    """It was a quarter of what the imports of a run cost; afterwards it is looked for as before."""
    code = """
import gc
from rescore import pipeline
looks = []
gc.callbacks.append(lambda phase, info: looks.append(phase))
pipeline.score_run
print(len(looks), gc.isenabled())
gc.disable()
pipeline.sweep
print(gc.isenabled())
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["0", "True", "False"]
