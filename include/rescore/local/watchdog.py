"""Ends the components of a stack whose supervisor was killed.

The kernel sends each component SIGTERM when the supervisor dies, but Airflow's scheduler can then wait
for ever for workers of its own. This small process reads the supervisor's component sessions, one a
line, from a pipe that nobody else holds: the end of the pipe is the end of the supervisor.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable

from rescore.local.processes import Process, end_all

__all__ = ["ALL_ENDED", "end_sessions"]

#: What the supervisor writes last when it has ended everything itself.
ALL_ENDED = "done"


def end_sessions(sessions: Iterable[int], *, seconds: float) -> None:
    """End every process of these sessions, and whatever those have started outside of them."""
    members = set(Process.in_sessions(sessions))
    for member in tuple(members):
        members.update(member.descendants())
    end_all(members, seconds=seconds)


def main() -> None:
    """Read sessions until the pipe ends."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sessions = set()
    for line in sys.stdin:
        if line.strip() == ALL_ENDED:
            return
        sessions.add(int(line))
    end_sessions(sessions, seconds=3)


if __name__ == "__main__":
    main()
