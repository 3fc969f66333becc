"""The process that starts the local stack, watches over it and ends it as a whole.

``python -m rescore.local.supervisor`` is started by `rescore.local.stack`, in a session of its own,
so that Ctrl-C in a terminal reaches the command there and not this. It lives as long as somebody
uses the stack: every user holds a shared lock on ``run/users``, which the kernel takes back however
the user ends, even by SIGKILL; when the supervisor gets that lock for itself, nobody is left. ``make
up`` asks it to stay (``run/request.json``). When a component dies the whole stack ends, with the end
of that component's log as the reason. Should the supervisor itself be killed, the kernel terminates
the components it started.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import psutil

from rescore.errors import LocalStackError
from rescore.local.airflow import COMPONENTS, LocalAirflow
from rescore.local.files import tail, turn_over
from rescore.local.identity import Identity, wrapped
from rescore.local.logins import Logins, airflow_login
from rescore.local.postgres import LocalPostgres
from rescore.local.processes import Process, end_all
from rescore.local.run_state import Request, RunFolder, RunState, error_record
from rescore.local.variables import OWNERS, STORE_DATABASE
from rescore.local.variables import environment as store_environment
from rescore.local.watchdog import ALL_ENDED
from rescore.settings import Settings

__all__ = ["Supervisor"]

_PR_SET_CHILD_SUBREAPER = 36
_AIRFLOW_START_SECONDS = 600
#: How long components may take to end by themselves; running tasks are cut off after it.
_GRACE_SECONDS = 8.0
_REAP_SECONDS = 10.0
#: One wait for the end of Postgres; it is repeated for as long as the server lives.
_WAIT_SECONDS = 3600.0


class _Stopping(Exception):
    """Somebody asked for the end, or nobody uses the stack any more."""


class Supervisor:
    """See the module."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = settings.home
        self.run_folder = RunFolder(self.home / "run")
        self.request = Request.read(self.run_folder.request)
        self.state = RunState.begin()
        self._events: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._postgres = LocalPostgres(self.home, tied=True)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._users_lock: IO[str] | None = None
        self._sessions: set[int] = set()

    def run(self) -> int:
        """Start, watch, end. Returns the exit status."""
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGTERM, lambda *_: self._events.put("stop"))
        signal.signal(signal.SIGINT, lambda *_: self._events.put("stop"))
        signal.signal(signal.SIGUSR1, lambda *_: self._events.put("request"))
        self._end_leftovers()
        self._tell("starting")
        self._watchdog = subprocess.Popen(
            [sys.executable, "-m", "rescore.local.watchdog"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        threading.Thread(target=self._wait_for_no_users, daemon=True).start()
        error: LocalStackError | None = None
        try:
            self._start_what_is_wanted()
            while True:
                with contextlib.suppress(queue.Empty):
                    self._handle(self._events.get(timeout=_REAP_SECONDS))
                self._reap_orphans()
        except _Stopping:
            pass
        except LocalStackError as reason:
            error = reason
        except Exception as reason:
            error = LocalStackError(
                f"the supervisor of the local stack broke: {reason!r}",
                where=str(self.run_folder.supervisor_log),
            )
            raise
        finally:
            self._end_everything(error)
        return 0 if error is None else 1

    # -- events -------------------------------------------------------------------------------

    def _handle(self, event: str) -> None:
        if event == "stop":
            raise _Stopping
        if event == "no users":
            if self.request.keep:
                if self._users_lock is not None:
                    self._users_lock.close()  # from now on users may come and go
                return
            raise _Stopping
        if event == "request":
            self.request = Request.read(self.run_folder.request)
            self._start_what_is_wanted()
            return
        name = event.removeprefix("died ")
        raise self._failure(name, f"{name} has ended by itself, so the local stack was stopped")

    def _wait_for_no_users(self) -> None:
        lock = self.run_folder.users.open("a")
        fcntl.flock(lock, fcntl.LOCK_EX)
        self._users_lock = lock
        self._events.put("no users")

    def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Poll a condition, still handling what happens meanwhile."""
        deadline = time.monotonic() + seconds
        while not condition():
            with contextlib.suppress(queue.Empty):
                self._handle(self._events.get(timeout=0.25))
            if time.monotonic() > deadline:
                return False
        return True

    # -- start --------------------------------------------------------------------------------

    def _start_what_is_wanted(self) -> None:
        if self.request.postgres and "postgres" not in self.state.processes:
            self._tell("starting Postgres")
            self._postgres.start()
            server = self._postgres.process()
            if server is None:
                raise LocalStackError("the local Postgres ended at once", where=str(self._postgres.log))
            self._record("postgres", server)
            self._watch("postgres", lambda: wait_for_the_end(server))
            self._postgres.create_database(STORE_DATABASE)
            Logins.prepare(self._postgres, STORE_DATABASE)
        if self.request.airflow and self.state.airflow is None:
            self._start_airflow()
        self._tell("up", answered=self.request.serial)

    def _start_airflow(self) -> None:
        database = self.request.airflow_database or airflow_login(self._postgres, "airflow")
        airflow = LocalAirflow(self.home, database, Path(self.request.dags), Path(self.request.plugins))
        airflow.prepare()
        environment = {**os.environ, **store_environment(self.settings), **airflow.environment()}
        for name in OWNERS:
            environment.pop(name, None)
        if not airflow.migrated():
            self._tell("preparing Airflow's database")
            self._migrate(airflow, environment)
        self._tell("starting Airflow")
        begun = datetime.now(UTC) - timedelta(seconds=1)
        for name, arguments in COMPONENTS.items():
            self._spawn(name, airflow.command(arguments), environment)

        def all_up() -> bool:
            waiting = airflow.waiting_for(begun)
            phase = f"starting Airflow: waiting for {', '.join(waiting)}" if waiting else "Airflow is up"
            if phase != self.state.phase:
                self._tell(phase)
            return not waiting

        if not self._until(all_up, _AIRFLOW_START_SECONDS) and (waiting := airflow.waiting_for(begun)):
            problem = f"Airflow's {waiting[0]} was not up within {_AIRFLOW_START_SECONDS} seconds"
            raise self._failure(waiting[0], problem)
        self.state = self.state.but(airflow=airflow.url)

    def _migrate(self, airflow: LocalAirflow, environment: dict[str, str]) -> None:
        child = self._spawn("migrate", airflow.command(["db", "migrate"]), environment, watched=False)
        if not self._until(lambda: child.poll() is not None, 300) or child.returncode != 0:
            raise self._failure("migrate", "Airflow's database can't be prepared")
        self.state = self.state.but(
            processes={name: process for name, process in self.state.processes.items() if name != "migrate"}
        )
        airflow.record_migration()

    def _spawn(
        self, name: str, command: list[str], environment: dict[str, str], *, watched: bool = True
    ) -> subprocess.Popen[bytes]:
        log = self._log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        turn_over(log)
        same = Identity("plain", os.geteuid(), os.getegid(), os.geteuid())
        with log.open("ab") as output:
            child = subprocess.Popen(
                wrapped(command, same, tied=True, signal_number=signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=self.home,
                start_new_session=True,
                umask=0o077,
            )
        process = Process.find(child.pid)
        self._sessions.add(child.pid)
        self._say_to_watchdog(str(child.pid))
        self._children[name] = child
        if process is not None:
            self._record(name, process)
        if watched:
            self._watch(name, child.wait)
        return child

    def _say_to_watchdog(self, line: str) -> None:
        pipe = self._watchdog.stdin
        with contextlib.suppress(BrokenPipeError):  # somebody killed it; the sessions are ended here
            if pipe is not None:
                pipe.write(line + "\n")
                pipe.flush()

    def _watch(self, name: str, wait: Callable[[], object]) -> None:
        def report() -> None:
            wait()
            self._events.put(f"died {name}")

        threading.Thread(target=report, daemon=True).start()

    # -- end ----------------------------------------------------------------------------------

    def _end_everything(self, error: LocalStackError | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        reason = None if error is None else error_record(error)
        self._tell("stopping", airflow=None, error=reason)
        leaders = [process for name, process in self.state.processes.items() if name != "postgres"]
        end_all(leaders, seconds=_GRACE_SECONDS)
        end_all(self._remaining(), seconds=1)
        if self.request.postgres:
            self._postgres.stop()
        self._say_to_watchdog(ALL_ENDED)
        self._watchdog.wait()
        end_all(self._remaining(), seconds=1)
        self._tell("stopped", processes={})
        if error is None:
            self.run_folder.state.unlink(missing_ok=True)

    def _remaining(self) -> Iterator[Process]:
        """Processes of the components: those in their sessions, and what they orphaned onto us."""
        postgres = self._postgres.process() if self.request.postgres else None
        spared = {postgres, *(postgres.descendants() if postgres else []), Process.find(self._watchdog.pid)}
        mine = Process.find(os.getpid())
        found = {*Process.in_sessions(self._sessions), *(mine.descendants() if mine else [])}
        return (process for process in found if process not in spared)

    def _end_leftovers(self) -> None:
        """End what a supervisor that was killed left behind."""
        before = RunState.read(self.run_folder.state)
        if before is not None and not before.alive():
            end_all(before.leftovers(), seconds=2)

    # -- words --------------------------------------------------------------------------------

    def _reap_orphans(self) -> None:
        """Collect the ends of processes whose own parents died first; we inherited them."""
        awaited = {self._watchdog.pid, *(process.pid for process in self.state.processes.values())}
        for child in psutil.Process().children():
            with contextlib.suppress(ChildProcessError, psutil.Error):
                if child.pid not in awaited and child.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(child.pid, os.WNOHANG)

    def _record(self, name: str, process: Process) -> None:
        self.state = self.state.but(processes={**self.state.processes, name: process})
        self.state.write(self.run_folder.state)

    def _tell(self, phase: str, **changes: object) -> None:
        self.state = self.state.but(phase=phase, **changes)
        self.state.write(self.run_folder.state)

    def _failure(self, name: str, what: str) -> LocalStackError:
        """What went wrong with a component, with the end of its log."""
        log = self._log(name)
        return LocalStackError(what, where=str(log), examples=tail(log, 5), fix=f"see the end of {log}")

    def _log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"


def wait_for_the_end(process: Process) -> None:
    """Wait until a process that is no child of ours has ended, however long it lives."""
    while not process.wait(_WAIT_SECONDS):
        pass


if __name__ == "__main__":
    sys.exit(Supervisor(Settings.from_environment()).run())
