"""The supervised stack without Airflow: who keeps it up, what ends it, what it says when it breaks."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from rescore.errors import LocalStackError
from rescore.local import LocalPostgres, LocalStack, Process, environment
from rescore.local.run_state import RunState
from rescore.settings import Settings
from tests.shared.waiting import until

pytestmark = pytest.mark.slow

USER = """
import sys
from rescore.local import LocalStack
with LocalStack.from_environment().session(airflow=False):
    print("up", flush=True)
    sys.stdin.read()
"""


def start_user(settings: Settings) -> subprocess.Popen[str]:
    """Another process that uses the stack until its standard input ends."""
    user = subprocess.Popen(
        [sys.executable, "-c", USER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "RESCORE_HOME": str(settings.home)},
    )
    assert user.stdout is not None
    assert user.stdout.readline() == "up\n"
    return user


def everything(settings: Settings) -> list[Process]:
    """The supervisor and all below it."""
    state = RunState.read(settings.home / "run" / "state.json")
    assert state is not None
    return [state.supervisor, *state.supervisor.descendants()]


def alive(processes: list[Process]) -> list[Process]:
    return [process for process in processes if process.alive()]


def test_a_session_ends_what_it_started(settings: Settings, stack: LocalStack) -> None:
    with stack.session(airflow=False):
        status = stack.status()
        assert status.ready
        assert list(status.processes) == ["postgres"]
        with psycopg2.connect(environment(settings)["RESCORE_DATABASE_URL"]) as connection:
            assert connection.info.dbname == "rescore"
        connection.close()
        started = everything(settings)
        assert len(started) > 5
    assert not alive(started)
    assert stack.status().phase == "not running"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_nothing_outlives_the_last_user_however_it_ends(
    settings: Settings, stack: LocalStack, end: signal.Signals
) -> None:
    user = start_user(settings)
    started = everything(settings)
    user.send_signal(end)
    user.communicate()
    until(lambda: not alive(started))


def test_two_users_share_one_stack_and_the_last_one_ends_it(settings: Settings, stack: LocalStack) -> None:
    with stack.session(airflow=False):
        started = everything(settings)
        other = start_user(settings)
        assert everything(settings)[0] == started[0]
        other.communicate()
        assert other.returncode == 0
        assert stack.status().ready
    assert not alive(started)


def test_up_stays_until_down(settings: Settings, stack: LocalStack) -> None:
    stack.up(detach=True, airflow=False)
    started = everything(settings)
    user = start_user(settings)
    user.communicate()
    assert stack.status().ready
    assert stack.down()
    assert not alive(started)
    assert not stack.down()


def test_up_makes_a_session_that_runs_already_stay(settings: Settings, stack: LocalStack) -> None:
    user = start_user(settings)
    started = everything(settings)
    stack.up(detach=True, airflow=False)
    user.communicate()
    assert stack.status().ready
    assert everything(settings)[0] == started[0]


def test_a_dead_component_ends_the_stack_and_its_log_is_the_reason(
    settings: Settings, stack: LocalStack
) -> None:
    stack.up(airflow=False)
    started = everything(settings)
    server = LocalPostgres(settings.home).process()
    assert server is not None
    server.send(signal.SIGKILL)
    with pytest.raises(LocalStackError, match="postgres has ended by itself") as caught:
        stack.wait()
    assert str(settings.home / "logs" / "postgres.log") in str(caught.value)
    assert "ready to accept connections" in str(caught.value)
    assert not alive(started)
    assert "postgres has ended by itself" in str(stack.status().error)


def test_what_breaks_because_a_component_died_says_so(settings: Settings, stack: LocalStack) -> None:
    with pytest.raises(LocalStackError, match="postgres has ended by itself") as caught:  # noqa: SIM117
        with stack.session(airflow=False):
            server = LocalPostgres(settings.home).process()
            assert server is not None
            server.send(signal.SIGKILL)
            server.wait(10)
            psycopg2.connect(environment(settings)["RESCORE_DATABASE_URL"])
    assert isinstance(caught.value.__cause__, psycopg2.OperationalError)


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_works(
    settings: Settings, stack: LocalStack
) -> None:
    stack.up(airflow=False)
    started = everything(settings)
    started[0].send(signal.SIGKILL)
    until(lambda: not alive(started))
    assert stack.status().phase == "not running"
    stack.up(airflow=False)
    assert stack.status().ready


def test_a_start_that_fails_says_why(settings: Settings, stack: LocalStack) -> None:
    with stack.session(airflow=False):
        pass
    (settings.home / "postgres" / "data" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(LocalStackError, match="ended as it started") as caught:
        stack.up(airflow=False)
    assert "initialized by PostgreSQL version 9.6" in str(caught.value)
    assert not stack.status().running


def test_a_folder_that_can_not_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    blocked = LocalStack(Settings.from_environment({"RESCORE_HOME": str(tmp_path / "file" / "home")}))
    with pytest.raises(LocalStackError, match="can't be made") as caught:
        blocked.up(airflow=False)
    assert "RESCORE_HOME" in str(caught.value)


def test_a_given_database_needs_no_local_server(settings: Settings, database_url: str) -> None:
    given = replace(settings, database_url=database_url)
    stack = LocalStack(given)
    with stack.session(airflow=False):
        assert not stack.status().running
    assert environment(given)["RESCORE_DATABASE_URL"] == database_url
    assert LocalPostgres(settings.home).process() is None


def test_the_environment_reads_back_as_the_same_settings(settings: Settings, database_url: str) -> None:
    given = replace(
        settings, database_url=database_url, connections={"sales": "postgresql://elsewhere/sales"}
    )
    again = Settings.from_environment(environment(given))
    demos = dict.fromkeys(("ames_source", "flights_source"), database_url)
    assert again == replace(given, connections={**given.connections, **demos})
    assert environment(given)["OMP_NUM_THREADS"] == "1"


def test_local_files_are_for_their_owner_alone(settings: Settings, stack: LocalStack) -> None:
    with stack.session(airflow=False):
        for name in ("run", "postgres"):
            assert stat.S_IMODE((settings.home / name).stat().st_mode) == 0o700
