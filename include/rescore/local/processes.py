"""Processes by id and start time, so that a reused id is never mistaken for what we started.

Reads ``/proc``; what is local to one machine needs no more than that.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "end_all", "end_process", "tail", "zombies_below"]


@dataclass(frozen=True)
class Process:
    """A process for as long as it lives.

    Attributes
    ----------
    pid : int
        Its id.
    started : int
        Its start time in clock ticks since boot, the same for its whole life.
    """

    pid: int
    started: int

    @classmethod
    def find(cls, pid: int) -> Process | None:
        """The process that has this id now; None if there is none, or only its zombie."""
        stat = _stat(pid)
        return None if stat is None or stat.state in "ZX" else cls(pid, stat.started)

    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        return Process.find(self.pid) == self

    def send(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; False if it has not within ``seconds``."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return _poll_until(lambda: not self.alive(), seconds)
        try:
            if not self.alive():
                return True
            ready, _, _ = select.select([descriptor], [], [], seconds)
            return bool(ready) or not self.alive()
        finally:
            os.close(descriptor)

    def descendants(self) -> list[Process]:
        """Its children, their children and so on, at this moment."""
        return _below({self.pid})

    @staticmethod
    def in_sessions(sessions: Iterable[int]) -> list[Process]:
        """All processes whose session id is one of these."""
        wanted = set(sessions)
        return [
            Process(pid, stat.started)
            for pid, stat in _all_stats().items()
            if stat.session in wanted and stat.state not in "ZX"
        ]


def end_process(process: Process, signals: Iterable[int] = (signal.SIGTERM,), *, seconds: float) -> None:
    """Send each signal in turn, waiting ``seconds`` after each, and SIGKILL at last."""
    for number in (*signals, signal.SIGKILL):
        process.send(number)
        if process.wait(seconds):
            return


def end_all(processes: Iterable[Process], *, seconds: float) -> None:
    """SIGTERM to all of them, and after ``seconds`` SIGKILL to those that still run."""
    ending = list(processes)
    for process in ending:
        process.send(signal.SIGTERM)
    for number in (None, signal.SIGKILL):
        deadline = time.monotonic() + seconds
        for process in ending:
            if number is not None:
                process.send(number)
            process.wait(max(0.0, deadline - time.monotonic()))


def tail(file: Path, lines: int, *, since: int = 0) -> list[str]:
    """Last lines of a log, not reading more than its last 64 KiB, from byte ``since`` on."""
    try:
        with file.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(since, size - 65_536))
            return log.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def zombies_below(pid: int) -> list[int]:
    """Children of a process that have ended and were not waited for."""
    return [child for child, stat in _all_stats().items() if stat.parent == pid and stat.state == "Z"]


@dataclass(frozen=True)
class _Stat:
    state: str
    parent: int
    session: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold spaces and parentheses itself.
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(state=fields[0], parent=int(fields[1]), session=int(fields[3]), started=int(fields[19]))


def _all_stats() -> dict[int, _Stat]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
            found[int(entry.name)] = stat
    return found


def _below(roots: set[int]) -> list[Process]:
    stats = _all_stats()
    found: dict[int, Process] = {}
    grown = True
    while grown:
        grown = False
        for pid, stat in stats.items():
            if pid not in found and pid not in roots and (stat.parent in roots or stat.parent in found):
                found[pid] = Process(pid, stat.started)
                grown = True
    return [process for process in found.values() if stats[process.pid].state not in "ZX"]


def _poll_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()
