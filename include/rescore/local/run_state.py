"""What users want from the supervisor and what it is doing, each in a file that the other side reads.

A file is replaced as a whole, so a reader never sees half of it. Ids are recorded with start
times and the machine's boot id: after a reboot, or once an id was given to another process, a
record speaks of nobody.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rescore.errors import LocalStackError
from rescore.local.files import write_secret
from rescore.local.processes import Process

__all__ = ["Request", "RunFolder", "RunState", "error_record"]


@dataclass(frozen=True)
class RunFolder:
    """The files through which the supervisor and its users talk."""

    folder: Path

    @property
    def state(self) -> Path:
        """`RunState`, written by the supervisor."""
        return self.folder / "state.json"

    @property
    def request(self) -> Path:
        """`Request`, written by users."""
        return self.folder / "request.json"

    @property
    def users(self) -> Path:
        """Locked shared by every user."""
        return self.folder / "users"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor itself printed: nothing, unless it broke."""
        return self.folder.parent / "logs" / "supervisor.log"


@dataclass(frozen=True)
class Request:
    """What users want of the supervisor.

    Attributes
    ----------
    serial : int
        Counts the requests made of one supervisor, from 1.
    postgres : bool
        Run a Postgres. Without it there is one elsewhere.
    airflow : bool
        Run Airflow too.
    airflow_database : str or None
        Its metadata database, a libpq URL; None: one on the Postgres run here.
    keep : bool
        Stay when the last user has gone.
    dags, plugins : str
        Folders for Airflow.
    """

    serial: int
    postgres: bool
    airflow: bool
    airflow_database: str | None
    keep: bool
    dags: str
    plugins: str

    @classmethod
    def read(cls, file: Path) -> Request:
        """The request in ``file``."""
        return cls(**_known(cls, json.loads(file.read_text())))

    def write(self, file: Path) -> None:
        """Replace the file."""
        write_secret(file, json.dumps(asdict(self)))


@dataclass(frozen=True)
class RunState:
    """The supervisor's last word.

    Attributes
    ----------
    supervisor : Process
        Itself.
    boot : str
        The boot of the machine in which it runs.
    phase : str
        What it is doing, for a person: ``migrating Airflow's database``.
    answered : int
        The serial number of the last request whose wishes are all up.
    airflow : str or None
        The address of the Airflow page once it is up.
    processes : mapping
        Component to process, each the leader of a session of its own.
    error : mapping or None
        The arguments of the `LocalStackError` it ends with.
    """

    supervisor: Process
    boot: str
    phase: str
    answered: int = 0
    airflow: str | None = None
    processes: Mapping[str, Process] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None

    @classmethod
    def begin(cls) -> RunState:
        """The state of a supervisor that has just started: this process."""
        me = Process.find(os.getpid())
        if me is None:
            raise LocalStackError("this process is not in /proc", fix="mount /proc")
        return cls(supervisor=me, boot=_boot_id(), phase="starting")

    @classmethod
    def read(cls, file: Path) -> RunState | None:
        """The last state written, or None: never started, or stopped in order."""
        try:
            raw = json.loads(file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):  # never written, or on a disk that was full
            return None
        raw["supervisor"] = Process(**_known(Process, raw["supervisor"]))
        raw["processes"] = {
            name: Process(**_known(Process, process)) for name, process in raw["processes"].items()
        }
        return cls(**_known(cls, raw))

    def write(self, file: Path) -> None:
        """Replace the file."""
        write_secret(file, json.dumps(asdict(self), indent=1))

    def but(self, **changes: Any) -> RunState:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def alive(self) -> bool:
        """Whether the supervisor runs."""
        return self.boot == _boot_id() and self.supervisor.alive()

    def leftovers(self) -> list[Process]:
        """Processes of Airflow's components that still run, in the sessions their leaders opened."""
        if self.boot != _boot_id():
            return []
        sessions = []
        for name, leader in self.processes.items():
            if name == "postgres":
                continue  # it ends by itself, in order
            current = Process.find(leader.pid)
            # Leader gone: its id can't be reused while its session has members.
            if current is None or current == leader:
                sessions.append(leader.pid)
        first = min((leader.started for leader in self.processes.values()), default=0)
        return [process for process in Process.in_sessions(sessions) if process.started >= first]


def _known(kind: type[Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Of what another release wrote, the fields that this one has."""
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in raw.items() if name in names}


def error_record(error: LocalStackError) -> dict[str, Any]:
    """What it takes to raise the same error in another process."""
    return {
        "what": error.what,
        "where": error.where,
        "expected": error.expected,
        "fix": error.fix,
        "examples": list(error.examples),
    }


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
