"""What a scheduled run costs beside a DAG of as many empty tasks, on a whole local Airflow.

Run: ``.venv/bin/python bench/dag_run.py [rounds]``. Both DAGs run on the same scheduler, alternately, one run
at a time: ``score_tides`` over a day of 800 rows, and a chain of as many ``@task`` functions that do nothing
as a scoring run starts processes for (the two that its verdict leaves out start none). Processor seconds are
those of the whole stack between a run's trigger and its end, less what the idle stack takes in the same time;
the clock's are those between the starts of a run's first task and the end of its last.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import psycopg2

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "include")]

from rescore import pipeline  # noqa: E402
from rescore.local import AirflowClient, LocalPostgres, LocalStack  # noqa: E402
from tests.shared.harbour import FIRST, MODEL, MODELS, TRAINED_AS_OF, fill, harbour_context  # noqa: E402
from tests.shared.logins import set_up  # noqa: E402

ROWS, DAYS = 800, 9
#: That a scoring run starts processes for: ready, extract, validate, score, drift, publish.
TASKS = 6
#: For how long the idle stack is watched.
IDLE_SECONDS = 30.0

_DAGS = """
from datetime import datetime

from airflow.sdk import DAG, task

from rescore_airflow.dags import score_dag

score_tides = score_dag("tides")

with DAG("empty_tasks", schedule=None, start_date=datetime(2024, 1, 1)) as empty_tasks:
    line = []
    for number in range({tasks}):

        @task(task_id=f"task_{{number}}")
        def nothing():
            return "as much as a run's id has" * 2

        line.append(nothing())
    for before, after in zip(line, line[1:]):
        before >> after
"""

_MORE_ROWS = """
INSERT INTO harbour.readings
SELECT 'pier', 1000 * %s + n, %s::timestamptz + n * interval '100 seconds', 1000 + 20 * sin(n / 37.0),
       mod(n / 240.0, 29.5), (ARRAY['north', 'east', 'south', 'west'])[1 + mod(n * 7 / 5, 4)], 3,
       %s::timestamptz
FROM generate_series(1, %s) n
"""


@dataclass(frozen=True)
class Cost:
    """Of one DAG run: processor seconds above the idle stack's, and seconds between its tasks' bounds."""

    processor: float
    clock: float


def processor_seconds(root: int) -> float:
    """Of a process and all that it started, those that ended too."""
    spent = 0.0
    process = psutil.Process(root)
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.Error:
            continue
        spent += times.user + times.system + times.children_user + times.children_system
    return spent


@contextmanager
def harbour(home: Path) -> Iterator[pipeline.Context]:
    """A store with a trained and pinned package, and days of 800 rows from the first that is scored on."""
    models = home / "models"
    shutil.copytree(MODELS / MODEL, models / MODEL)
    with (models / MODEL / "model.yaml").open("a") as file:
        file.write("drift: {on_outage: publish_flagged}\n")  # a day has 72 rows in training
    server = LocalPostgres(home / "server", tied=True)
    server.start()
    try:
        metadata = server.create_database("airflow")
        os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = metadata.replace("://", "+psycopg2://", 1)
        url = server.create_database("harbour")
        fill(url)
        ctx = harbour_context(server, url, home / "rescore", models)
        set_up(ctx, "harbour")
        pipeline.register_model(ctx, MODEL)
        package = pipeline.train_model(ctx, MODEL, as_of=TRAINED_AS_OF, who="bench")
        pipeline.pin(ctx, MODEL, package.version, who="bench", why="first")
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            for number in range(31, 31 + DAYS):
                start = FIRST + timedelta(days=number)
                cursor.execute(_MORE_ROWS, (number * 1000, start, start, ROWS - 72))
        connection.close()
        yield ctx
        ctx.store.close()
    finally:
        server.stop()


@contextmanager
def airflow(ctx: pipeline.Context, home: Path) -> Iterator[tuple[AirflowClient, int]]:
    """A whole Airflow with both DAGs; its client, and the process that started all of it."""
    dags, plugins = home / "dags", home / "plugins"
    plugins.mkdir()
    dags.mkdir()
    (dags / "both.py").write_text(_DAGS.format(tasks=TASKS))
    stack = LocalStack(replace(ctx.settings, home=home / "stack"), dags=dags, plugins=plugins)
    stack.up()
    try:
        client = stack.client()
        for dag_id in ("score_tides", "empty_tasks"):
            client.wait_for_dag(dag_id, seconds=400)
            client.unpause(dag_id)
        yield client, os.getpid()
    finally:
        stack.release()


def measure(client: AirflowClient, root: int, idle: float, dag_id: str, conf: dict[str, str]) -> Cost:
    """Trigger a run, wait for its end."""
    before, since = processor_seconds(root), time.monotonic()
    run = client.wait(dag_id, client.trigger(dag_id, conf=conf).run_id, seconds=900)
    spent, passed = processor_seconds(root) - before, time.monotonic() - since
    if run.state != "success":
        failed = [one.task_id for one in client.tasks(dag_id, run.run_id) if one.state == "failed"]
        logs = "\n".join(client.task_log(dag_id, run.run_id, task_id) for task_id in failed)
        raise SystemExit(f"{dag_id} {run.run_id} ended as {run.state}\n{logs}")
    tasks = client.request("GET", f"dags/{dag_id}/dagRuns/{run.run_id}/taskInstances")["task_instances"]
    ran = [one for one in tasks if one["state"] == "success"]
    starts, ends = ([datetime.fromisoformat(one[name]) for one in ran] for name in ("start_date", "end_date"))
    if len(ran) != TASKS:
        raise SystemExit(
            f"{dag_id} ran {len(ran)} tasks, not {TASKS}: {sorted(one['task_id'] for one in ran)}"
        )
    return Cost(spent - idle * passed, (max(ends) - min(starts)).total_seconds())


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    costs: dict[str, list[Cost]] = {"score_tides": [], "empty_tasks": []}
    with tempfile.TemporaryDirectory(prefix="dag-run-") as folder:
        home = Path(folder)
        with harbour(home) as ctx, airflow(ctx, home) as (client, root):
            time.sleep(IDLE_SECONDS)  # what the first parsing of the DAGs takes is over
            before, since = processor_seconds(root), time.monotonic()
            time.sleep(IDLE_SECONDS)
            idle = (processor_seconds(root) - before) / (time.monotonic() - since)
            print(f"the idle stack takes {idle:.2f} processor seconds each second", flush=True)
            for number in range(rounds + 1):  # the first of each is not counted
                start = FIRST + timedelta(days=31 + number)
                day = {
                    "interval_start": start.isoformat(),
                    "interval_end": (start + timedelta(days=1)).isoformat(),
                }
                for dag_id, conf in (("score_tides", day), ("empty_tasks", {})):
                    cost = measure(client, root, idle, dag_id, conf)
                    print(f"{dag_id:12} {cost.processor:6.1f} processor s, {cost.clock:6.1f} s", flush=True)
                    if number:
                        costs[dag_id].append(cost)
    for name in ("processor", "clock"):
        ours, empty = (
            statistics.median(getattr(cost, name) for cost in costs[dag_id])
            for dag_id in ("score_tides", "empty_tasks")
        )
        print(f"{name}: {ours:.1f} s beside {empty:.1f} s of {TASKS} empty tasks, {ours / empty:.2f} times")


if __name__ == "__main__":
    main()
