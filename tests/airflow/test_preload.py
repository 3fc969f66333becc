"""What a task imports is there already in the scheduler that LocalExecutor forks it from, and there alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from rescore_airflow.preload import LIBRARIES

#: A process of Airflow starts; then, in a fork of it, the stages of a run are imported.
_START = """
import json, os, sys
sys.argv = ["airflow", *json.loads(sys.argv[1])]
from airflow.plugins_manager import integrate_listener_plugins
from airflow.jobs.job import Job
Job()
threads = [open(f"/proc/self/task/{number}/comm").read().strip() for number in os.listdir("/proc/self/task")]
before = {*sys.modules}
from rescore import pipeline
pipeline.begin_extract, pipeline.validate_run, pipeline.score_run, pipeline.drift_run, pipeline.publish_run
import rescore.drift.compare_window, rescore.store.runs.scores, rescore.source.session
late = {name.partition(".")[0] for name in {*sys.modules} - before} - sys.stdlib_module_names
print(json.dumps({"before": sorted(before), "threads": threads, "late": sorted(late)}))
"""


def started(*command: str, **environment: str) -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _START, json.dumps(command)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_scheduler_has_what_its_tasks_import_and_no_thread_more() -> None:
    found = started("scheduler", AIRFLOW__CORE__EXECUTOR="LocalExecutor")
    assert {*LIBRARIES} <= {*found["before"]}
    assert found["late"] == ["rescore"]
    assert not [name for name in found["before"] if name.startswith(("rescore.pipeline", "rescore.store"))]
    # Python's own, and that of Arrow's allocator, which knows forks.
    assert [name for name in found["threads"] if not name.startswith("python")] in ([], ["jemalloc_bg_thd"])


@pytest.mark.parametrize(
    ("command", "environment"),
    [
        (("dag-processor",), {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor"}),
        (("scheduler",), {"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"}),
        (("scheduler",), {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor", "OMP_NUM_THREADS": "4"}),
    ],
    ids=["another process", "another executor", "several threads"],
)
def test_others_import_nothing_for_it(command: tuple[str, ...], environment: dict[str, str]) -> None:
    assert not {"pandas", "pyarrow", "scipy"} & {*started(*command, **environment)["before"]}
