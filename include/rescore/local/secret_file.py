"""Secrets that are made once and kept in files which only their owner reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["kept_secret", "write_secret"]


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, never readable by others on the way."""
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
