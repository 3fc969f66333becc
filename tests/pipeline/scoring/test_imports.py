"""A task of a DAG imports what its stage needs, and no library that takes its time for nothing."""

from __future__ import annotations

import subprocess
import sys

_STAGES = """
import sys
from rescore import pipeline
pipeline.publish_run, pipeline.drift_run, pipeline.score_run
import rescore.drift.compare_window, rescore.store.runs.scores
for name in ("pandas", "adbc_driver_manager.dbapi", "great_expectations", "sklearn"):
    if name in sys.modules:
        print(name)
"""


def test_what_compares_and_publishes_loads_no_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", _STAGES], capture_output=True, text=True, check=True)
    assert done.stdout == ""
