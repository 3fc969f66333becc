"""Files of the local stack: secrets and records that only their owner reads, and the ends of logs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from rescore.disk import make_parents
from rescore.errors import LocalStackError

__all__ = ["kept_secret", "make_folders", "tail", "turn_over", "write_secret"]

_LARGEST_LOG_BYTES = 16 * 1024**2


def make_folders(private: Path, logs: Path) -> None:
    """Make a folder that only its owner can enter, and one for logs.

    Raises
    ------
    LocalStackError
        One can't be made.
    """
    try:
        for folder, mode in ((private, 0o700), (logs, 0o755)):
            make_parents(folder)  # not private: a server of another user may have its data there
            folder.mkdir(exist_ok=True, mode=mode)
    except OSError as error:
        raise LocalStackError(
            f"the folder for local data can't be made: {error.strerror}",
            where=str(private),
            fix="set RESCORE_HOME to a folder you can write to",
        ) from None


def write_secret(path: Path, text: str) -> None:
    """Replace a file that only its owner can read; a reader never sees half of it, nor others any of it."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
    partial.replace(path)


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """The secret in ``path``, made by ``make`` the first time."""
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        text = ""
    if not text:
        text = make()
        write_secret(path, text)
    return text


def tail(file: Path, lines: int, *, since: int = 0) -> list[str]:
    """Last lines of a log, not reading more than its last 64 KiB, from byte ``since`` on."""
    try:
        with file.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(since, size - 65_536))
            return log.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def turn_over(log: Path) -> None:
    """Begin a log anew that has grown large, keeping the one before; called when its writer starts."""
    if log.exists() and log.stat().st_size > _LARGEST_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
