"""The whole local stack, once: real components, real runs through the REST client, then SIGKILL."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rescore.errors import AirflowRequestError
from rescore.interval import Interval
from rescore.local import AirflowClient, LocalStack, Process, TaskState
from rescore.local.health import check
from rescore.local.run_state import RunState
from rescore.settings import Settings
from tests.shared.waiting import until

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

DAGS = {
    "days.py": """
from datetime import datetime, timezone
from airflow.sdk import DAG, get_current_context, task
from airflow.timetables.interval import CronDataIntervalTimetable

with DAG(
    "days",
    schedule=CronDataIntervalTimetable("0 4 * * *", timezone="America/New_York"),
    start_date=datetime(2013, 1, 1, tzinfo=timezone.utc),
    end_date=datetime(2014, 1, 1, tzinfo=timezone.utc),
    catchup=False,
):
    @task
    def first():
        import os
        context = get_current_context()
        print("interval", context["data_interval_start"], context["data_interval_end"])
        print("threads", os.environ["OMP_NUM_THREADS"], "store", os.environ["RESCORE_DATABASE_URL"][:13])

    @task
    def second():
        if get_current_context()["params"].get("fail"):
            raise ValueError("told to fail")

    first() >> second()
""",
    "sleeper.py": """
import time
from airflow.sdk import DAG, task

with DAG("sleeper", schedule=None):
    @task
    def sleep():
        time.sleep(600)
    sleep()
""",
    "broken.py": """
from airflow.sdk import DAG
raise RuntimeError("this file is broken on purpose")
""",
}

USER = """
import sys
from pathlib import Path
from rescore.local import LocalStack
from rescore.settings import Settings
dags = Path(sys.argv[1])
stack = LocalStack(Settings.from_environment(), dags=dags, plugins=dags / "none", progress=print)
with stack.session():
    print("up", flush=True)
    sys.stdin.read()
"""

FIRST = datetime(2013, 4, 1, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> LocalStack:
    """The stack as seen by somebody who looks at it without keeping it up."""
    home = tmp_path_factory.mktemp("airflow-stack")
    return LocalStack(Settings.from_environment({"RESCORE_HOME": str(home)}))


@pytest.fixture(scope="module", autouse=True)
def user(stack: LocalStack) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the whole stack; it is killed by the last test."""
    home = stack.settings.home
    dags = home / "dags"
    dags.mkdir()
    for name, text in DAGS.items():
        (dags / name).write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(dags)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "RESCORE_HOME": str(home)},
    )
    assert process.stdout is not None
    said = list(iter(process.stdout.readline, "up\n"))
    assert process.poll() is None, said
    yield process
    process.kill()
    process.communicate()
    stack.down()


@pytest.fixture
def client(stack: LocalStack) -> AirflowClient:
    return stack.client()


def state_of(stack: LocalStack) -> RunState:
    state = RunState.read(stack.settings.home / "run" / "state.json")
    assert state is not None
    return state


def test_all_four_components_are_up_and_well(stack: LocalStack) -> None:
    status = stack.status()
    assert status.ready
    names = {"api-server", "scheduler", "dag-processor", "triggerer"}
    assert set(status.processes) == {"postgres", *names}
    assert {name: check(stack.airflow().url, name) for name in names} == dict.fromkeys(names)


def test_every_socket_listens_on_loopback(stack: LocalStack) -> None:
    state = state_of(stack)
    sockets = set()
    for process in state.supervisor.descendants():
        with suppress(FileNotFoundError):  # a process, or a file of it, that ended meanwhile listens no more
            sockets |= {link.readlink().name for link in Path(f"/proc/{process.pid}/fd").iterdir()}
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                listening.append(fields[1].split(":")[0])
    assert len(listening) == 2  # Postgres and the API server, and no log or health server
    assert set(listening) == {"0100007F"}


def test_secrets_and_logs_are_for_their_owner_alone(stack: LocalStack) -> None:
    folder = stack.settings.home / "airflow"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("fernet_key", "jwt_secret", "api_secret", "passwords.json", "airflow.cfg"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name


def test_without_the_password_the_api_says_no(stack: LocalStack) -> None:
    url = stack.airflow().url
    with pytest.raises(AirflowRequestError, match="401"):
        AirflowClient.log_in(url, "admin", "admin")
    with pytest.raises(AirflowRequestError, match="403"):
        AirflowClient(url, "no token").request("GET", "dags")


def test_a_triggered_run_has_its_interval_and_the_environment(client: AirflowClient) -> None:
    client.wait_for_dag("days")
    client.unpause("days")
    interval = Interval(FIRST, FIRST + timedelta(days=1))
    run = client.trigger("days", interval=interval)
    seen: list[list[TaskState]] = []
    done = client.wait("days", run.run_id, progress=lambda _, tasks: seen.append(tasks))
    assert done.state == "success", client.task_log("days", run.run_id, "first")
    assert (done.interval_start, done.interval_end) == (interval.start, interval.end)
    assert {task.task_id for task in seen[-1]} == {"first", "second"}
    log = client.task_log("days", run.run_id, "first")
    assert "interval 2013-04-01 08:00:00+00:00 2013-04-02 08:00:00+00:00" in log
    assert "threads 1 store postgresql://" in log

    client.clear_task("days", run.run_id, "first")
    again = client.wait("days", run.run_id)
    assert again.state == "success"
    assert {task.try_number for task in client.tasks("days", run.run_id)} == {2}


def test_a_backfill_runs_every_interval_and_a_failure_shows_its_reason(client: AirflowClient) -> None:
    client.wait_for_dag("days")
    client.unpause("days")
    first = FIRST + timedelta(days=10)
    runs = client.backfill("days", first, first + timedelta(days=1), conf={"fail": True})
    assert [run.logical_date for run in runs] == [first, first + timedelta(days=1)]
    done = client.wait_all(runs)
    assert {run.state for run in done} == {"failed"}
    assert "ValueError: told to fail" in client.task_log("days", done[0].run_id, "second")


def test_a_dag_that_is_not_there_is_reported_with_the_import_errors(client: AirflowClient) -> None:
    with pytest.raises(AirflowRequestError, match="no DAG 'absent'") as caught:
        client.wait_for_dag("absent", seconds=0)
    assert "broken.py" in str(caught.value)
    assert "broken on purpose" in str(caught.value)
    assert "days" in str(caught.value)


def test_a_sigkill_in_the_middle_of_a_task_leaves_no_process(
    user: subprocess.Popen[str], stack: LocalStack, client: AirflowClient
) -> None:
    client.wait_for_dag("sleeper")
    client.unpause("sleeper")
    run = client.trigger("sleeper")
    until(lambda: [task.state for task in client.tasks("sleeper", run.run_id)] == ["running"])
    state = state_of(stack)
    started: list[Process] = [state.supervisor, *state.supervisor.descendants()]
    assert len(started) > 15
    user.send_signal(signal.SIGKILL)
    until(lambda: not [process for process in started if process.alive()], seconds=60)
    assert stack.status().phase == "not running"
    with pytest.raises(AirflowRequestError, match="does not answer"):
        client.run("sleeper", run.run_id)
