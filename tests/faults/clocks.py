"""Clocks that jump: the time of day of the server, and of whoever works with it, as a file says.

A library is compiled (``clock.c``) and preloaded into the processes of a campaign, which asks the system for
the time through it. Where there is no C compiler, clocks stay as they are.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

__all__ = ["MOVABLE", "jump", "with_movable_clocks"]

_FILE = "FAULTS_CLOCK"
_SOURCE = Path(__file__).with_name("clock.c")
_NUMBER = struct.Struct("q")

#: Whether the clocks of this process, and of a server that it starts, can be moved.
MOVABLE = _FILE in os.environ


def with_movable_clocks(folder: Path) -> dict[str, str]:
    """What a process has to be started with for its clocks to be movable; nothing without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return {}
    library, file = folder / "clock.so", folder / "clock"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, _SOURCE], check=True)
    file.write_bytes(bytes(2 * _NUMBER.size))
    for each, mode in ((folder, 0o755), (library, 0o755), (file, 0o644)):
        each.chmod(mode)  # the server may run as another user
    return {"LD_PRELOAD": str(library), _FILE: str(file)}


def jump(seconds: int, *, server: bool) -> None:
    """Set the server's clock, or that of everybody else, ahead or back."""
    with open(os.environ[_FILE], "r+b") as file, mmap.mmap(file.fileno(), 0) as both:  # noqa: PTH123
        place = 0 if server else _NUMBER.size
        [now] = _NUMBER.unpack_from(both, place)
        _NUMBER.pack_into(both, place, now + seconds)
