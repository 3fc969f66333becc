"""What a program costs: wall seconds, processor seconds of its processes and of Postgres, peak memory.

The program runs in an interpreter of its own and prints a line at the end of each of its parts; its
memory is looked at from outside. Memory is that of the program and all that it has started, added up:
a page that two of them share counts half for each (Linux' proportional set size).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

MARK = "::part "
_LOOK_SECONDS = 0.25  # a look takes some ms of each process that is looked at
_SETTLE_SECONDS = 0.05
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Cost:
    """Of one part of a program.

    Attributes
    ----------
    part : str
        Its name.
    wall, ours, server, others : float
        Seconds; all but the first are processor seconds: of the program and its children, of Postgres,
        and of whatever else the machine did meanwhile.
    peak : float
        Largest sum of memory of the program and its children (MB).
    """

    part: str
    wall: float
    ours: float
    server: float
    others: float
    peak: float


@dataclass(frozen=True)
class _Reading:
    """Processor seconds until now."""

    ours: float
    server: float

    @classmethod
    def now(cls) -> _Reading:
        postmaster = psutil.Process(int(os.environ["BENCH_POSTMASTER"]))
        return cls(_tree_seconds(psutil.Process()), _tree_seconds(postmaster))

    @classmethod
    def settled(cls) -> _Reading:
        """Once Postgres stands still: a backend goes on for a moment after its client has gone."""
        last = cls.now()
        for _ in range(20):
            time.sleep(_SETTLE_SECONDS)
            reading = cls.now()
            if reading.server == last.server:
                break
            last = reading
        return last


def timed(name: str, task: Callable[[], _Result]) -> _Result:
    """Do a part of the program that is measured, and say what it cost."""
    before = _Reading.settled()
    began, busy = time.time(), _machine_seconds()
    result = task()
    ended, busy = time.time(), _machine_seconds() - busy
    after = _Reading.settled()
    ours, server = after.ours - before.ours, after.server - before.server
    others = max(0.0, busy - ours - server)
    line = {"part": name, "began": began, "ended": ended, "ours": ours, "server": server, "others": others}
    print(MARK + json.dumps(line), flush=True)
    return result


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> list[Cost]:
    """Run a program of this folder; the cost of each of its parts."""
    program = [sys.executable, *arguments]
    process = subprocess.Popen(program, env=dict(environment), stdout=subprocess.PIPE, text=True)
    seen: list[tuple[float, float]] = []
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, seen, ended))
    watcher.start()
    try:
        assert process.stdout is not None
        lines = [json.loads(line.removeprefix(MARK)) for line in process.stdout if line.startswith(MARK)]
        if process.wait():
            raise SystemExit(f"{' '.join(program)} failed")
    finally:
        ended.set()
        watcher.join()
    costs = []
    for line in lines:
        began, over = line.pop("began"), line.pop("ended")
        peak = max((size for when, size in seen if began <= when <= over), default=0.0)
        costs.append(Cost(wall=over - began, peak=peak, **line))
    return costs


def total(costs: Sequence[Cost], name: str) -> Cost:
    """All parts as one."""
    seconds = {
        kind: sum(getattr(cost, kind) for cost in costs) for kind in ("wall", "ours", "server", "others")
    }
    return Cost(part=name, peak=max(cost.peak for cost in costs), **seconds)


def _machine_seconds() -> float:
    """Processor seconds of everything on this machine until now."""
    spent = psutil.cpu_times()._asdict().items()
    return float(sum(seconds for kind, seconds in spent if not kind.startswith(("idle", "iowait", "guest"))))


def _tree_seconds(root: psutil.Process) -> float:
    """Processor seconds of a process and all that it has started, those that have ended included."""
    seconds = 0.0
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.Error):
            used = process.cpu_times()
            seconds += used.user + used.system + used.children_user + used.children_system
    return seconds


def _watch(pid: int, seen: list[tuple[float, float]], ended: threading.Event) -> None:
    root = psutil.Process(pid)
    while not ended.wait(_LOOK_SECONDS):
        size = 0
        with suppress(psutil.Error):
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.Error):
                    size += process.memory_full_info().pss
        seen.append((time.time(), size / 1024**2))


def folder_of(file: str) -> Path:
    """The folder of a file of this package."""
    return Path(file).resolve().parent
