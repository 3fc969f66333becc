"""Attempts at an act, each a fork of a process that has only imported what is needed."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

from rescore.errors import RescoreError
from tests.faults import warm
from tests.faults.acts import ACTS, State
from tests.faults.breaking import WAYS
from tests.faults.points import END, Point, watch
from tests.faults.world import World

__all__ = ["Attempt", "Break"]

#: No attempt takes so long (seconds); one that does hangs, which is a finding.
_LONGEST = 120.0


@dataclass(frozen=True)
class Break:
    """At which point an attempt is broken, and how; a name of ``WAYS``."""

    point: Point
    way: str


@dataclass
class Attempt:
    """One attempt, running since it was made.

    Attributes
    ----------
    state : dict
        What the steps that were completed hand on.
    done : int
        How many steps of the act are completed.
    acknowledged : float or None
        When the last step was heard to be completed (monotonic seconds).
    broken : bool
        Whether the point was reached.
    error : str or None
        The type of the error that ended it, and what it said.
    points, modules : list
        What it passed, and what it had imported at its end, if that was asked for.
    cold : bool
        Whether it starts the interpreters that predict and fit from nothing, as a process does that was just
        started; else it shares what the campaign has started.
    """

    world: World
    act: str
    state: State
    first: int = 0
    how: Break | None = None
    trace: bool = False
    cold: bool = False
    done: int = 0
    acknowledged: float | None = None
    broken: bool = False
    error: str | None = None
    points: list[Point] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    pid: int = 0
    status: int | None = None

    def __post_init__(self) -> None:
        self.done = self.first
        ours, theirs = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(ours)
            _run(self, theirs)
        os.close(theirs)
        self._pipe = ours

    @property
    def complete(self) -> bool:
        """Whether every step is completed, and was heard to be."""
        return self.done == len(ACTS[self.act].steps)

    def signal(self, number: int) -> None:
        """Send a signal; to one that has ended it is nothing, as nobody has waited for it yet."""
        os.kill(self.pid, number)

    def ended_within(self, seconds: float) -> bool:
        """Wait until it ends, so long at most; whether it ended."""
        process = os.pidfd_open(self.pid)
        try:
            return bool(select.select([process], [], [], seconds)[0])
        finally:
            os.close(process)

    def stopped(self) -> bool:
        """Wait until it pauses or ends; whether it pauses."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return True
        self.status = status
        return False

    def wait(self) -> Attempt:
        """Listen until it ends."""
        deadline, heard = time.monotonic() + _LONGEST, b""
        while True:
            ready, _, _ = select.select([self._pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self.error = f"hung for {_LONGEST:.0f} seconds"
                self.signal(signal.SIGKILL)
                break
            piece = os.read(self._pipe, 1 << 16)
            if not piece:
                break
            *lines, heard = (heard + piece).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))
        os.close(self._pipe)
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)
        if self.how is None and os.WIFSIGNALED(self.status):
            self.broken = True
        return self

    def _hear(self, said: dict[str, Any]) -> None:
        if "state" in said:
            self.state, self.done = said["state"], said["done"]
            self.acknowledged = time.monotonic()
        self.broken |= said.get("broken", False)
        self.error = said.get("error", self.error)
        self.modules += said.get("modules", [])
        self.points += [(name, number) for name, number in said.get("points", [])]


def _run(attempt: Attempt, pipe: int) -> None:
    """In the fork: the steps that are left; never returns."""
    points: list[Point] = []

    def tell(**said: Any) -> None:
        os.write(pipe, json.dumps(said).encode() + b"\n")

    def before(point: Point) -> None:
        points.append(point)
        if attempt.how is not None and point == attempt.how.point:
            tell(broken=True)
            WAYS[attempt.how.way](attempt.world)

    code = 1
    try:
        if not attempt.cold:
            warm.share()
        state = dict(attempt.state)
        with attempt.world.context() as ctx:
            watch(attempt.world.rescore_home, before)
            steps = ACTS[attempt.act].steps
            for number in range(attempt.first, len(steps)):
                steps[number](attempt.world, ctx, state)
                if number + 1 == len(steps):
                    before(END)
                tell(state=state, done=number + 1)
        code = 0
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = "" if isinstance(error, RescoreError) else f", of no kind of ours, at {where.name}"
        tell(error=f"{type(error).__name__}{said}: {error}")
    finally:
        if attempt.trace:
            tell(modules=[*sys.modules])
            for start in range(0, len(points), 200):
                tell(points=points[start : start + 200])
        os._exit(code)
