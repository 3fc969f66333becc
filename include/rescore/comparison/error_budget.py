"""A year's budget of errors: how much chance each comparison may take, so that all of a year take .05.

A challenger a week, each as good as the champion, has one promoted by luck in seven years of ten if every one
of them may err in 2.5 %. So the n-th comparison of a year may err in ``.05 / (n * (n + 1))``: the first as
before, all together never more than .05, however many there are (a spending sequence; Foster and
Stine, *JRSS B* 70, 2008, on spending in a stream of tests). Whether they are independent plays no part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["ERROR_A_YEAR", "YEAR", "Asked", "error_of", "place_in_year"]

#: The chance, at most, that in a year the rule promotes a challenger that is no better than its champion.
ERROR_A_YEAR = 0.05

YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Asked:
    """A question put to labelled rows: whether this challenger is better there by this metric.

    With ``shadow`` live days are asked, too, and each of both may err in half of what the place has.
    """

    champion_sha256: str
    challenger_sha256: str
    snapshot_digest: str
    metric: str
    shadow: bool = False


def place_in_year(asked: Asked, before: Iterable[tuple[Asked, datetime]], now: datetime) -> int:
    """Which comparison of the last 365 days this is, from 1; one that is made again keeps its place.

    Parameters
    ----------
    asked : Asked
        The one that is made now.
    before : iterable of (Asked, datetime)
        Those of the model, in any order.
    now : datetime
        Zoned.
    """
    within_a_year = [one for one, at in sorted(before, key=lambda pair: pair[1]) if now - at < YEAR]
    different = list(dict.fromkeys(within_a_year))
    return different.index(asked) + 1 if asked in different else len(different) + 1


def error_of(place: int, *, shadow: bool = False) -> float:
    """The chance of an error that a year's comparison of this place may take, from 1.

    With ``shadow`` half of it: hold-out and live days get one half each, however often these are looked at.
    """
    return ERROR_A_YEAR / (place * (place + 1)) / (2 if shadow else 1)
