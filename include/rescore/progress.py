"""How long work says what it is doing: one line of text per step."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "silent"]

#: Receives one line of text per step of long work.
Progress = Callable[[str], None]


def silent(line: str) -> None:
    """Progress that nobody watches."""
