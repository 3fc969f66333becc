"""Waiting for what another process does: on a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

Value = TypeVar("Value")

_NEVER = Event()


def until(
    condition: Callable[[], Value], what: str = "it", *, seconds: float = 30, every: float = 0.02
) -> Value:
    """Ask until the answer is true, and give it; after ``seconds`` the test fails, naming ``what``."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} seconds"
        _NEVER.wait(every)
    return found
