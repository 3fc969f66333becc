"""The account of a campaign, and of several."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from tests.faults.points import Point

__all__ = ["Account"]


@dataclass
class Account:
    """What was done, and what was found; every list has to stay empty.

    Attributes
    ----------
    faults : int
        Attempts that were broken.
    ways, acts : dict of str to int
        The same by way and by act.
    tried, known : set of tuple
        The points at which attempts were broken, of those that there are.
    missed : int
        Attempts that ended before they came to their point.
    publications : int
        Made by all rounds.
    polls : int
        Readings of the consumers' views.
    reproduced : dict of str to int
        Verdicts over every run that is current at the end.
    wrong, torn, lost, duplicated : list of str
        As ``history.check`` finds them.
    stuck : list of str
        Rounds that did not end as they should, however often they were tried again.
    left : list of str
        What was left behind.
    functions : list of str
        The functions of the store's protocol that the acts call.
    """

    faults: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    tried: set[Point] = field(default_factory=set)
    known: set[Point] = field(default_factory=set)
    missed: int = 0
    rounds: int = 0
    publications: int = 0
    polls: int = 0
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    reproduced: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)

    def findings(self) -> list[str]:
        """All that should not be."""
        return [*self.wrong, *self.torn, *self.lost, *self.duplicated, *self.stuck, *self.left]

    def add(self, other: Account) -> None:
        """Add what another campaign did and found."""
        for one in fields(self):
            ours, theirs = getattr(self, one.name), getattr(other, one.name)
            if one.name == "seconds":
                self.seconds = max(ours, theirs)
            elif one.name == "functions":
                self.functions = sorted({*ours, *theirs})
            elif isinstance(ours, set):
                ours |= theirs
            else:
                setattr(self, one.name, ours + theirs)

    def to_dict(self) -> dict[str, Any]:
        """For a script; of points, how many."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        plain = {Counter: dict, set: len}
        return {name: plain.get(type(value), lambda same: same)(value) for name, value in values.items()}
