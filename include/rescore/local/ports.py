"""Free TCP ports on loopback, remembered so that an address stays the same across restarts."""

from __future__ import annotations

import random
import shlex
import socket
from pathlib import Path

from rescore.errors import LocalStackError

__all__ = ["LOOPBACK", "free_port", "is_free", "port_taken", "remembered_port"]

LOOPBACK = "127.0.0.1"

#: Below the range from which kernels take ports for outgoing connections (32768 and up), so that a
#: remembered port is not lost to somebody's browser.
_FIRST, _LAST = 15_432, 32_000


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Pick a free port at random; two stacks that start at once seldom pick the same."""
    # Not a secret: only a way to spread.
    for candidate in random.sample(range(_FIRST, _LAST), 200):
        if is_free(candidate):
            return candidate
    raise LocalStackError("no free TCP port on 127.0.0.1", expected=f"one of {_FIRST}-{_LAST}")


def remembered_port(file: Path) -> int | None:
    """Port written in ``file``, or None when there is none."""
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def port_taken(port: int, file: Path, program: str) -> LocalStackError:
    """The error for a remembered port on which somebody else listens."""
    return LocalStackError(
        f"TCP port {port} on {LOOPBACK} is taken by another program",
        where=str(file),
        expected=f"the port the local {program} had last time",
        fix=f"end that program, or `rm {shlex.quote(str(file))}` to let {program} take another port",
    )
