"""Processes by id and start time, so that a reused id is never mistaken for what we started."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Process", "end_all", "end_process"]


@dataclass(frozen=True)
class Process:
    """A process for as long as it lives.

    Attributes
    ----------
    pid : int
        Its id.
    started : int
        Its start time in the kernel's ticks since boot, which no change of the clock moves.
    """

    pid: int
    started: int

    @classmethod
    def find(cls, pid: int) -> Process | None:
        """The process that has this id now; None if there is none, or only its zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # After the name, which may hold anything: fields 3 (state) and 22 (start) of proc_pid_stat(5).
        fields = stat.rpartition(b")")[2].split()
        return None if fields[0] in {b"Z", b"X", b"x"} else cls(pid, int(fields[19]))

    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        return Process.find(self.pid) == self

    def send(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; False if it has not within ``seconds``.

        Unlike psutil's, this never takes the exit status that a child's `subprocess.Popen` waits for.
        """
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        except OSError:  # a kernel before 5.3
            return self._poll(seconds)
        try:
            if self.alive():
                select.select([descriptor], [], [], seconds)
            return not self.alive()
        finally:
            os.close(descriptor)

    def _poll(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.alive()

    def descendants(self) -> list[Process]:
        """Its children, their children and so on, at this moment."""
        with contextlib.suppress(psutil.Error):
            return _living(child.pid for child in psutil.Process(self.pid).children(recursive=True))
        return []

    @staticmethod
    def in_sessions(sessions: Iterable[int]) -> list[Process]:
        """All processes whose session id is one of these."""
        wanted = set(sessions)
        return _living(pid for pid in psutil.pids() if _session(pid) in wanted)


def end_process(process: Process, signals: Iterable[int] = (signal.SIGTERM,), *, seconds: float) -> None:
    """Send each signal in turn, waiting ``seconds`` after each, and SIGKILL at last."""
    for number in (*signals, signal.SIGKILL):
        process.send(number)
        if process.wait(seconds):
            return


def end_all(processes: Iterable[Process], *, seconds: float) -> None:
    """SIGTERM to all of them, and after ``seconds`` SIGKILL to those that still run."""
    ending = list(processes)
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + seconds
        for process in ending:
            process.send(number)
        for process in ending:
            process.wait(max(0.0, deadline - time.monotonic()))


def _living(pids: Iterable[int]) -> list[Process]:
    return [process for pid in pids if (process := Process.find(pid)) is not None]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
