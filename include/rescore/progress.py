"""How long work says what it is doing, and how long the rest may take: one line of text per step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

__all__ = ["Progress", "Ticker", "as_time", "counted", "silent", "time_left"]

_Item = TypeVar("_Item")

#: Receives one line of text per step of long work.
Progress = Callable[[str], None]

_SECONDS_BETWEEN_LINES = 2.0


def silent(line: str) -> None:
    """Progress that nobody watches."""


def as_time(seconds: float) -> str:
    """A length of time to say: ``40 s``, ``3 min``."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def time_left(done: float, total: float, seconds: float) -> str:
    """How long the rest may take by the pace so far, ``about 40 s left``; empty where none is known.

    Parameters
    ----------
    done, total : float
        Steps, or shares of the work.
    seconds : float
        What ``done`` took.
    """
    return f"about {as_time(seconds / done * (total - done))} left" if 0 < done < total else ""


class Ticker:
    """Lines for a person who waits: not more often than every 2 seconds.

    Parameters
    ----------
    progress : callable or None
        Receives the lines.
    clock : callable
        Seconds that only grow.
    """

    def __init__(self, progress: Progress | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.line: Progress = progress or silent
        self._clock = clock
        self._began = self._last = clock()

    def now_and_then(self, line: str) -> None:
        """Say it, if the last line was long enough ago."""
        if self._clock() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = self._clock()
            self.line(line)

    def step(self, line: str, done: int, total: int) -> None:
        """The same, with how long the rest may take."""
        left = time_left(done, total, self._clock() - self._began)
        self.now_and_then(f"{line}, {left}" if left else line)


def counted(
    items: Iterable[_Item],
    what: str,
    progress: Progress | None,
    *,
    total: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[_Item]:
    """The items, saying now and then how many are done and how long the rest may take.

    Parameters
    ----------
    items : iterable
        What is worked on.
    what : str
        What they are, before the numbers.
    progress : callable or None
        Receives the lines.
    total : int, optional
        How many there are, of items that do not know it themselves.
    clock : callable
        Seconds that only grow.
    """
    if total is None:
        assert isinstance(items, Sized)  # noqa: S101 - else the caller gives the total
        total = len(items)
    say = Ticker(progress, clock=clock)
    for done, item in enumerate(items):
        say.step(f"{what}: {done:,} of {total:,} done", done, total)
        yield item
