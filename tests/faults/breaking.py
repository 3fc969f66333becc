"""Ways to break an attempt, from inside of it and at one of its points."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Mapping

from tests.faults import clocks
from tests.faults.world import World

__all__ = ["WAYS"]

_OURS = "usename IN ('rescore_worker', 'rescore_person', 'rescore_owner', 'rescore_reader')"


def _kill(_: World) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _pause(_: World) -> None:
    """Stop, as a machine that swaps or a container that is frozen does; somebody else wakes us."""
    os.kill(os.getpid(), signal.SIGSTOP)


def _stop_server(world: World) -> None:
    """Stop the database server at once: every connection breaks, and it recovers when it starts."""
    process = world.server.process()
    if process is not None:
        process.send(signal.SIGQUIT)
        process.wait(30)


def _cut(world: World) -> None:
    """Cut every connection that works on the store."""
    world.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OURS}")


def _fill_disk(_: World) -> None:
    """No file of this process and its children gets larger, as on a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))


def _fill_disk_of_store(world: World) -> None:
    """No file that the server writes for our connections gets larger."""
    for (pid,) in world.execute(f"SELECT pid FROM pg_stat_activity WHERE {_OURS}"):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))


def _jump(seconds: int, *, server: bool) -> Callable[[World], None]:
    return lambda _: clocks.jump(seconds, server=server)


#: More than what waits, is tried again or expires within a day.
_FAR = 25 * 60 * 60

WAYS: Mapping[str, Callable[[World], None]] = {
    "killed": _kill,
    "server stopped": _stop_server,
    "connections cut": _cut,
    "disk full": _fill_disk,
    "store's disk full": _fill_disk_of_store,
    "paused": _pause,
    "clock set ahead": _jump(_FAR, server=False),
    "clock set back": _jump(-_FAR, server=False),
    "server's clock set ahead": _jump(_FAR, server=True),
    "server's clock set back": _jump(-_FAR, server=True),
}
