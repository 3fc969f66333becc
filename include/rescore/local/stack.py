"""The local stack as its users see it: up, down, status, or for as long as a ``with`` block lasts.

Postgres, and Airflow where it is wanted, run under one supervisor (`rescore.local.supervisor`).
`environment` gives the variables with which commands, Airflow and tests use the same store.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import psycopg2

from rescore.errors import LocalStackError
from rescore.local.airflow import LocalAirflow
from rescore.local.airflow_client import AirflowClient
from rescore.local.files import make_folders, tail
from rescore.local.logins import airflow_url
from rescore.local.postgres import LocalPostgres, create_database
from rescore.local.processes import end_all, end_process
from rescore.local.run_state import Request, RunFolder, RunState
from rescore.local.variables import environment, settings_variables
from rescore.postgres_url import PostgresUrl
from rescore.progress import Progress, silent
from rescore.settings import Settings

__all__ = ["LocalStack", "StackStatus", "environment"]

_STOP_SECONDS = 60.0


@dataclass(frozen=True)
class StackStatus:
    """What of the stack runs.

    Attributes
    ----------
    running, ready : bool
        Whether there is a stack, and whether all that was asked for is up.
    phase : str
        For a person: ``up``, ``starting Airflow``, ``not running``.
    airflow : str or None
        Address of the Airflow page.
    processes : dict
        Component to process id.
    error : str or None
        Why the last stack ended, unless somebody ended it.
    """

    running: bool
    ready: bool
    phase: str
    airflow: str | None
    processes: dict[str, int]
    error: str | None


class LocalStack:
    """Start, use and stop the local stack.

    Parameters
    ----------
    settings : Settings
        ``home`` holds everything local; with a ``database_url`` no Postgres is started.
    dags, plugins : Path, optional
        Folders for Airflow; default: ``AIRFLOW__CORE__DAGS_FOLDER`` and ``..._PLUGINS_FOLDER``, else
        ``dags`` and ``plugins`` in the current folder.
    progress : callable, optional
        Receives each phase of starting and stopping, as a line for a person.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        dags: Path | None = None,
        plugins: Path | None = None,
        progress: Progress = silent,
    ) -> None:
        self.settings = settings
        self._run = RunFolder(settings.home / "run")
        self._dags = dags or Path(os.environ.get("AIRFLOW__CORE__DAGS_FOLDER", "dags")).absolute()
        self._plugins = plugins or Path(os.environ.get("AIRFLOW__CORE__PLUGINS_FOLDER", "plugins")).absolute()
        self._progress = progress
        self._lease: IO[str] | None = None

    @classmethod
    def from_environment(cls, *, progress: Progress = silent) -> LocalStack:
        """The stack that the environment variables describe."""
        return cls(Settings.from_environment(), progress=progress)

    # -- use ----------------------------------------------------------------------------------

    def up(self, *, detach: bool = False, airflow: bool = True) -> StackStatus:
        """Start what is not running yet and return when all of it is up.

        Parameters
        ----------
        detach : bool
            True: it stays up until `down`. False: until this process ends, however it does, or
            calls `release`; unless others use it too.
        airflow : bool
            False: only Postgres.

        Raises
        ------
        LocalStackError
            With the reason and the end of the log of the component that failed.
        """
        make_folders(self._run.folder, self._run.supervisor_log.parent)
        if not airflow and self.settings.database_url and not detach:
            return self.status()  # nothing to start: the store is elsewhere
        self._take_lease()
        try:
            with (self._run.folder / "up.lock").open("w") as one_at_a_time:
                fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
                wanted, child = self._request(keep=detach, airflow=airflow)
                state = self._wait_until_ready(wanted, child)
        except BaseException:
            self.release(wait=False)
            raise
        if detach:
            self.release(wait=False)
        return _status(state)

    def release(self, *, wait: bool = True) -> None:
        """Use the stack no longer; unless others do or it is kept, it ends. Waits for that end."""
        if self._lease is None:
            return
        self._lease.close()
        self._lease = None
        state = RunState.read(self._run.state)
        if not wait or state is None or not state.alive() or Request.read(self._run.request).keep:
            return
        with self._run.users.open("a") as probe:
            deadline = time.monotonic() + _STOP_SECONDS
            while _may_lock(probe, fcntl.LOCK_EX) and time.monotonic() < deadline:
                time.sleep(0.02)  # nobody uses it, and the supervisor has not noticed yet
            if _may_lock(probe, fcntl.LOCK_SH):
                return  # others do
        self._progress("stopping")
        state.supervisor.wait(_STOP_SECONDS)

    @contextlib.contextmanager
    def session(self, *, airflow: bool = True) -> Iterator[LocalStack]:
        """The stack for as long as the block lasts; one that ran before goes on running.

        Raises
        ------
        LocalStackError
            A component died meanwhile; the error of the block that this led to is its cause.
        """
        self.up(airflow=airflow)
        try:
            yield self
        except Exception as consequence:
            death = self._death()
            if death is not None:
                raise death from consequence
            raise
        finally:
            self.release()

    def wait(self) -> None:
        """Wait until the stack ends.

        Raises
        ------
        LocalStackError
            A component died: with its name and the end of its log.
        """
        state = self._state()
        if state is not None:
            while not state.supervisor.wait(3600):
                continue
            ended = RunState.read(self._run.state)
            if ended is not None and ended.error is not None:
                raise _error_of(ended)

    def down(self) -> bool:
        """Stop the stack, whoever uses it; False if none was running.

        Returns when no process of it is left.
        """
        state = RunState.read(self._run.state)
        if self._lease is not None:
            self._lease.close()
            self._lease = None
        if state is None:
            return self._stop_stray_postgres()
        running = state.alive()
        if running:
            self._progress("stopping")
            end_process(state.supervisor, (signal.SIGTERM,), seconds=_STOP_SECONDS)
        left = state.leftovers()
        end_all(left, seconds=2)
        stray = self._stop_stray_postgres()
        self._run.state.unlink(missing_ok=True)
        return running or bool(left) or stray

    def status(self) -> StackStatus:
        """What runs now."""
        return _status(RunState.read(self._run.state))

    def environment(self) -> dict[str, str]:
        """As `rescore.local.stack.environment`, for this stack's settings."""
        return environment(self.settings)

    def airflow(self) -> LocalAirflow:
        """The Airflow of this stack: its address, login, client."""
        request = Request.read(self._run.request)
        database = request.airflow_database or airflow_url(LocalPostgres(self.settings.home), "airflow")
        return LocalAirflow(self.settings.home, database, self._dags, self._plugins)

    def client(self) -> AirflowClient:
        """A REST client that is logged in."""
        return self.airflow().client()

    # -- the steps ----------------------------------------------------------------------------

    def _take_lease(self) -> None:
        if self._lease is not None:
            return
        lease = self._run.users.open("a")
        try:
            fcntl.flock(lease, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            self._progress("waiting for an earlier stack to end")
            fcntl.flock(lease, fcntl.LOCK_SH)
        self._lease = lease

    def _state(self) -> RunState | None:
        state = RunState.read(self._run.state)
        return state if state is not None and state.alive() else None

    def _request(self, *, keep: bool, airflow: bool) -> tuple[Request, subprocess.Popen[bytes] | None]:
        """Tell the supervisor what is wanted, starting one if there is none."""
        state = self._state()
        if state is not None and state.phase == "stopping":
            self._progress("waiting for an earlier stack to end")
            state.supervisor.wait(_STOP_SECONDS)
            state = None
        before = Request.read(self._run.request) if state is not None else None
        airflow = airflow or bool(before and before.airflow)
        wanted = Request(
            serial=before.serial if before else 1,
            postgres=self.settings.database_url is None,
            airflow=airflow,
            airflow_database=self._airflow_database() if airflow else None,
            keep=keep or bool(before and before.keep),
            dags=str(self._dags),
            plugins=str(self._plugins),
        )
        if state is not None:
            if wanted != before:
                wanted = replace(wanted, serial=wanted.serial + 1)
                wanted.write(self._run.request)
                state.supervisor.send(signal.SIGUSR1)
            return wanted, None
        wanted.write(self._run.request)
        with self._run.supervisor_log.open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "rescore.local.supervisor"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **settings_variables(self.settings)},
                cwd=self.settings.home,
                start_new_session=True,
            )
        return wanted, child

    def _airflow_database(self) -> str | None:
        """The metadata database when Postgres is not ours; None lets the supervisor make one."""
        if self.settings.database_url is None:
            return None
        given = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
        if given:
            return given
        return _database_beside(self.settings.database_url)

    def _wait_until_ready(self, wanted: Request, child: subprocess.Popen[bytes] | None) -> RunState:
        said = ""
        while True:
            state = RunState.read(self._run.state)
            ours = state is not None and (child is None or state.supervisor.pid == child.pid)
            if state is not None and ours:
                if state.phase not in (said, "up"):
                    said = state.phase
                    self._progress(said)
                if state.error is not None or not state.alive():
                    state.supervisor.wait(_STOP_SECONDS)
                    raise _error_of(RunState.read(self._run.state) or state)
                if state.answered >= wanted.serial:
                    return state
            if child is not None and child.poll() is not None:
                if ours and (ended := RunState.read(self._run.state)) is not None:
                    raise _error_of(ended)
                raise LocalStackError(
                    "the supervisor of the local stack ended as it started",
                    where=str(self._run.supervisor_log),
                    examples=tail(self._run.supervisor_log, 3),
                )
            time.sleep(0.05)

    def _death(self) -> LocalStackError | None:
        """Why the stack has died, if it has; the supervisor may be about to notice."""
        deadline = time.monotonic() + _STOP_SECONDS
        while (state := RunState.read(self._run.state)) is not None:
            if state.error is not None:
                state.supervisor.wait(_STOP_SECONDS)
                return _error_of(state)
            well = state.alive() and all(process.alive() for process in state.processes.values())
            if well or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return None

    def _stop_stray_postgres(self) -> bool:
        """End a local Postgres whose supervisor is gone."""
        server = LocalPostgres(self.settings.home)
        if server.process() is None:
            return False
        server.stop()
        return True


def _error_of(state: RunState) -> LocalStackError:
    """Why a stack ended."""
    if state.error is None:
        return LocalStackError("the local stack was stopped by somebody else")
    record = dict(state.error)
    return LocalStackError(record.pop("what"), **record)


def _status(state: RunState | None) -> StackStatus:
    if state is None:
        return StackStatus(False, False, "not running", None, {}, None)
    alive = state.alive()
    return StackStatus(
        running=alive,
        ready=alive and state.phase == "up",
        phase=state.phase if alive else "not running",
        airflow=state.airflow if alive else None,
        processes={name: process.pid for name, process in state.processes.items() if process.alive()},
        error=str(_error_of(state)) if state.error else None,
    )


def _may_lock(probe: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(probe, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(probe, fcntl.LOCK_UN)
    return True


def _database_beside(url: str) -> str:
    """A database ``<name>_airflow`` on the server of ``url``, made if it is missing."""
    address = PostgresUrl.parse(url, where="environment variable RESCORE_DATABASE_URL")
    name = f"{address.parameters.get('dbname', 'rescore')}_airflow"
    try:
        create_database(address.dsn, name)
    except psycopg2.Error as error:
        raise LocalStackError(
            f"Airflow's metadata database {name} can't be made: {str(error).strip()}",
            where="RESCORE_DATABASE_URL",
            fix=f"create the database {name}, or name one in AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        ) from None
    return address.with_database(name).dsn
