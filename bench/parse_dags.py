"""What reading the DAG files costs: 100 model folders beside as many DAGs of empty tasks.

Run: ``.venv/bin/python bench/parse_dags.py [folders]``. Each file is read and its DAGs are made ready to be
stored in a process of its own, forked from one that has imported Airflow, as the DAG processor does every
``min_file_process_interval``. Every model has a schedule of its own. The empty DAGs have no Params, no
callbacks and no documents; they are as many, with as many tasks. Processor seconds; the median of the rounds.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
ROUNDS = 3

EMPTY = """
from datetime import datetime
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

for number, tasks in enumerate({tasks}):
    with DAG(f"empty_{{number:04d}}", schedule="0 4 * * *", start_date=datetime(2024, 1, 1)) as dag:
        line = [EmptyOperator(task_id=f"task_{{task}}") for task in range(tasks)]
        for before, after in zip(line, line[1:]):
            before >> after
    globals()[dag.dag_id] = dag
"""


def write_folders(models: Path, count: int) -> None:
    template = CHECKOUT / "include" / "models" / "flight_delay"
    for number in range(count):
        folder = models / f"model_{number:04d}"
        shutil.copytree(template, folder, ignore=shutil.ignore_patterns("__pycache__"))
        text = (folder / "model.yaml").read_text().replace("name: flight_delay", f"name: {folder.name}", 1)
        text = re.sub(r'cron: "[^"]*"', f'cron: "{number % 60} {number % 24} * * *"', text)
        (folder / "model.yaml").write_text(text)


def in_a_fork(read: Callable[[], object]) -> object:
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(send, json.dumps(read()).encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)


def read(file: Path) -> tuple[float, float, list[int]]:
    """Seconds to read a file, seconds to make its DAGs ready to be stored, and their numbers of tasks."""
    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.serialization.serialized_objects import DagSerialization

    started = time.process_time()
    bag = BundleDagBag(
        dag_folder=str(file), bundle_path=str(file.parent), bundle_name="bench", load_op_links=False
    )
    if bag.import_errors:
        raise SystemExit(str(bag.import_errors))
    built = time.process_time()
    for dag in bag.dags.values():
        DagSerialization.to_dict(dag)
    return built - started, time.process_time() - built, [len(dag.tasks) for dag in bag.dags.values()]


def main(count: int, home: Path) -> None:
    os.environ |= {
        "_AIRFLOW_PROCESS_CONTEXT": "client",
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "RESCORE_HOME": str(home / "home"),
        "RESCORE_MODELS": str(home / "models"),
    }
    write_folders(home / "models", count)
    # What the DAG processor has imported when it forks, and what it imports for the operators it finds named.
    import airflow.dag_processing.processor
    import airflow.providers.standard.operators.hitl
    import airflow.providers.standard.operators.trigger_dagrun  # noqa: F401
    from airflow.sdk import task  # noqa: F401

    logging.disable(logging.INFO)
    gc.freeze()
    files = sorted((CHECKOUT / "dags").glob("*.py"))
    tasks = [number for file in files for number in in_a_fork(lambda file=file: read(file))[2]]  # type: ignore[index]
    empty = home / "empty.py"
    empty.write_text(EMPTY.format(tasks=tasks))
    print(f"{count} model folders, {len(tasks)} DAGs, {sum(tasks)} tasks; processor seconds")
    taken: dict[str, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        for file in [*files, empty]:
            parsed, stored, _ = in_a_fork(lambda file=file: read(file))  # type: ignore[misc]
            taken.setdefault(file.name, []).append((parsed, stored))
    medians = {
        name: [statistics.median(column) for column in zip(*times, strict=True)]
        for name, times in taken.items()
    }
    theirs = medians.pop("empty.py")
    for name, (parsed, stored) in medians.items():
        print(f"  dags/{name:20} read {parsed:6.2f}   stored {stored:6.2f}")
    ours = [sum(column) for column in zip(*medians.values(), strict=True)]
    print(f"  {'all of them':25} read {ours[0]:6.2f}   stored {ours[1]:6.2f}")
    print(f"  {'as many empty DAGs':25} read {theirs[0]:6.2f}   stored {theirs[1]:6.2f}")
    print(f"  ratio {sum(ours) / sum(theirs):.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, Path(scratch))
