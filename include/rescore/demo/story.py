"""The chapters of the demo: what it does now and why, and how long the rest may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console

from rescore.progress import Progress, as_time, time_left

__all__ = ["CHAPTERS", "HOUSE_CHAPTERS", "Chapter", "Story", "indented", "try_next"]


@dataclass(frozen=True)
class Chapter:
    """One chapter.

    Attributes
    ----------
    title : str
        What is done, in a sentence for somebody who sees it for the first time.
    share : float
        Of the whole time, as measured on two busy cores; how a machine differs shows in the first chapters.
    """

    title: str
    share: float


#: In the order in which they are told.
CHAPTERS = {
    "start": Chapter("start a Postgres and an Airflow of its own on this machine", 0.12),
    "load": Chapter("load a year of real flights into source tables", 0.03),
    "train": Chapter(
        "train on January to March, twice, and keep the package if both give the same bytes", 0.37
    ),
    "score": Chapter("score the flights of 1 to 7 April, each day before its first flight leaves", 0.38),
    "outage": Chapter("score 31 December, a morning without any weather reading: it has to stop", 0.06),
    "prove": Chapter("derive every published score again and compare to the last bit", 0.04),
}

#: Of the second demo, which needs no Airflow.
HOUSE_CHAPTERS = {
    "load": Chapter("load 2,930 sales of houses in Ames, Iowa, into source tables", 0.05),
    "train": Chapter(
        "train on the sales of 2006 and 2007, twice, and keep the package if both give the same bytes", 0.35
    ),
    "score": Chapter(
        "score on the first of each month, January 2008 to May 2010, the houses listed the month before", 0.55
    ),
    "prove": Chapter("derive the first month's scores again and compare to the last bit", 0.05),
}


@dataclass
class Story:
    """Says each chapter as it begins, and from the second one on how long the rest may take.

    Parameters
    ----------
    say : callable
        Receives one line of text.
    chapters : mapping
        What there is to tell, in order.
    clock : callable
        Seconds that only grow.
    """

    say: Progress
    chapters: Mapping[str, Chapter] = field(default_factory=lambda: CHAPTERS)
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _told: float = field(init=False, default=0.0)
    _number: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return self.clock() - self._began

    @contextmanager
    def chapter(self, name: str) -> Iterator[None]:
        """Tell a chapter; what is done in it counts for how long the rest may take."""
        chapter = self.chapters[name]
        self._number += 1
        line = f"{self._number} of {len(self.chapters)}: {chapter.title}"
        if self._told:
            line += f"  [{as_time(self.seconds)} so far, {time_left(self._told, 1, self.seconds)}]"
        self.say(line)
        yield
        self._told += chapter.share


def indented(say: Progress) -> Progress:
    """What happens within a chapter, under its title."""
    return lambda line: say(f"   {line.strip()}")


def try_next(out: Console, commands: Mapping[str, str]) -> None:
    """Print what to look at after the demo: commands, and what each shows."""
    out.print("Try next:")
    for command, what in commands.items():
        out.print(f"  {command}", soft_wrap=True)
        out.print(f"      {what}", soft_wrap=True)
