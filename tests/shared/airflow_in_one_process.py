"""Airflow without a scheduler: a metadata database, and DAG runs by ``dag.test()`` in a child process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rescore import pipeline
from tests.shared.large_day import environment_of

__all__ = ["OneProcessAirflow", "RunOfDag", "one_process_airflow"]

#: Runs one DAG of ``dags_here`` once, and prints how its tasks ended.
_RUN = """
import json, sys
import dags_here
name, conf = sys.argv[1:]
run = getattr(dags_here, name).test(run_conf=json.loads(conf))
tasks = [[t.task_id, t.map_index, str(t.state), t.try_number, t.rendered_map_index]
         for t in run.get_task_instances()]
print("\\nRUN " + json.dumps([str(getattr(run.state, "value", run.state)), tasks]))
"""


@dataclass(frozen=True)
class RunOfDag:
    """How a DAG run ended.

    ``tasks`` are ``[task_id, map_index, state, try_number, rendered_map_index]``; ``said`` is all that was
    printed.
    """

    state: str
    tasks: Sequence[Sequence[Any]]
    said: str

    @property
    def states(self) -> dict[str, str]:
        """The state of each task that is not mapped, by its id."""
        return {task: state for task, _, state, _, _ in self.tasks}


@dataclass(frozen=True)
class OneProcessAirflow:
    """An interpreter with Airflow, and the environment that its processes get."""

    python: Path
    environment: dict[str, str]

    def ran(self, *command: str) -> str:
        """What the interpreter prints; fails with what it said if it fails."""
        asked: dict[str, Any] = {
            "env": self.environment,
            "capture_output": True,
            "text": True,
            "timeout": 600,
        }
        done = subprocess.run([str(self.python), *command], check=False, **asked)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def run(self, name: str, *, before: str = "", **conf: Any) -> RunOfDag:
        """Run the DAG that ``dags_here`` calls ``name`` once; ``before`` is code that runs first."""
        said = self.ran("-c", before + _RUN, name, json.dumps(conf))
        state, tasks = json.loads(said.rpartition("\nRUN ")[2])
        return RunOfDag(state, tasks, said)


def one_process_airflow(
    ctx: pipeline.Context,
    database_url: str,
    folder: Path,
    dags: str,
    *,
    python: Path = Path(sys.executable),
    migrate: bool = True,
) -> OneProcessAirflow:
    """An Airflow over an empty database, whose one DAG file holds ``dags``."""
    (folder / "dags").mkdir()
    (folder / "plugins").mkdir()
    (folder / "dags" / "dags_here.py").write_text(dags)
    environment = environment_of(ctx) | {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url.replace("postgresql:", "postgresql+psycopg2:"),
        "PYTHONPATH": str(folder / "dags"),
        "PYTHONWARNINGS": "ignore",
    }
    airflow = OneProcessAirflow(python, environment)
    if migrate:
        airflow.ran("-m", "airflow", "db", "migrate")
    return airflow
