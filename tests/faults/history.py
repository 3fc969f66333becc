"""What must hold of all that a reader saw: a function of what was seen, done and right, with no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.world import Expected, Key

__all__ = ["Acknowledged", "Counts", "Erased", "Publication", "Seen", "Stretch", "check", "read_seen"]

Row = tuple[str, str, int, str]


@dataclass(frozen=True)
class Stretch:
    """Polls, one after the other, that saw the same.

    Attributes
    ----------
    view : mapping
        A day's start (seconds since 1970) to the name of what was seen of it.
    agree : bool
        Whether the view of latest scores showed the same rows.
    first, last : float
        When the first and the last of the polls began (monotonic seconds).
    ended : float
        When the last one ended.
    polls : int
        How many.
    """

    view: Mapping[int, str]
    agree: bool
    first: float
    last: float
    ended: float
    polls: int


@dataclass(frozen=True)
class Seen:
    """All that the reader saw; ``contents`` has rows of run, gauge, reading and score by name."""

    stretches: Sequence[Stretch]
    contents: Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Publication:
    """What the store says was published: which day of which package, as the how-many-th."""

    day: int
    package: str
    sequence: int


@dataclass(frozen=True)
class Acknowledged:
    """That somebody was told, at ``when``, that the day's scores are those of ``run``."""

    when: float
    day: int
    run: str


@dataclass(frozen=True)
class Erased:
    """When a keeper's erasure began, and when it was said to be complete (None: never).

    ``unsearched`` are runs of which the erasure said that nobody knows any more whose rows are whose.
    """

    begun: float
    done: float | None
    unsearched: frozenset[str] = frozenset()


@dataclass
class Counts:
    """Findings, each a sentence; all of them have to stay empty."""

    polls: int = 0
    wrong: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)

    def all(self) -> list[str]:
        """Every finding."""
        return [*self.wrong, *self.torn, *self.lost, *self.duplicated]


def read_seen(path: Path) -> Seen:
    """What the reader wrote."""
    stretches, contents = [], {}
    for line in path.read_text().splitlines():
        said: dict[str, Any] = json.loads(line)
        if "content" in said:
            contents[said["content"]] = [(row[0], row[1], row[2], row[3]) for row in said["rows"]]
        else:
            view = {int(start): name for start, name in said.pop("view").items()}
            stretches.append(Stretch(view=view, **said))
    return Seen(stretches, contents)


def check(
    seen: Seen,
    publications: Mapping[str, Publication],
    acknowledged: Iterable[Acknowledged],
    erased: Mapping[str, Erased],
    expected: Expected,
) -> Counts:
    """Hold what was seen against what is right.

    *Torn*: a day with rows of two runs, part of a day, or part of a person in it. *Wrong*: a score that
    is not the package's, a row that is nobody's, a person after the erasure, views that differ.
    *Duplicated*: a key twice. *Lost*: what was seen, or said to be published, and is gone or older again.
    """
    counts = Counts(polls=sum(stretch.polls for stretch in seen.stretches))
    for name, day in sorted({(name, day) for one in seen.stretches for day, name in one.view.items()}):
        _check_rows(seen.contents[name], day, publications, expected, counts)
    newest: dict[int, int] = {}
    waiting = sorted(acknowledged, key=lambda one: one.when)
    for stretch in seen.stretches:
        if not stretch.agree:
            counts.wrong.append(f"{stretch.polls} polls: the view of latest scores shows other rows")
        shown = {
            day: publications[seen.contents[name][0][0]].sequence
            for day, name in stretch.view.items()
            if seen.contents[name][0][0] in publications
        }
        for day, sequence in newest.items():
            if shown.get(day, 0) < sequence:
                counts.lost.append(f"{_text(day)}: publication {sequence} was seen, then {shown.get(day)}")
        newest |= shown
        while waiting and waiting[0].when < stretch.last:
            one = waiting.pop(0)
            said = publications.get(one.run)
            if said is None or shown.get(one.day, 0) < said.sequence:
                counts.lost.append(
                    f"{_text(one.day)}: run {one.run} was said to be published, and is not seen"
                )
        for day, name in stretch.view.items():
            _check_people(seen.contents[name], day, stretch, erased, expected, counts)
    return counts


def _check_rows(
    rows: Sequence[Row],
    day: int,
    publications: Mapping[str, Publication],
    expected: Expected,
    counts: Counts,
) -> None:
    """What is right or wrong whenever it is seen."""
    keys = [(gauge, reading) for _, gauge, reading, _ in rows]
    if len(set(keys)) < len(keys):
        counts.duplicated.append(f"{_text(day)}: {len(keys) - len(set(keys))} keys twice")
    runs = {row[0] for row in rows}
    if len(runs) > 1:
        counts.torn.append(f"{_text(day)}: rows of {len(runs)} runs")
    for run in runs:
        published = publications.get(run)
        if published is None or published.day != day:
            counts.wrong.append(f"{_text(day)}: rows of run {run}, which was not published for it")
            return
    foreign = set(keys) - expected.keys[_moment(day)]
    if foreign:
        counts.wrong.append(f"{_text(day)}: {len(foreign)} rows of another day or nobody")
        return
    other = [
        (gauge, reading)
        for run, gauge, reading, score in rows
        if expected.scores[publications[run].package][(gauge, reading)] != score
    ]
    if other:
        counts.wrong.append(f"{_text(day)}: {len(other)} scores are not their package's, as of {other[0]}")
    missing = expected.keys[_moment(day)] - set(keys)
    for keeper in {expected.keeper[key] for key in missing}:
        theirs = {key for key in expected.keys[_moment(day)] if expected.keeper[key] == keeper}
        if theirs - missing:
            counts.torn.append(f"{_text(day)}: {len(theirs & missing)} of {len(theirs)} rows of {keeper}")


def _check_people(
    rows: Sequence[Row],
    day: int,
    stretch: Stretch,
    erased: Mapping[str, Erased],
    expected: Expected,
    counts: Counts,
) -> None:
    """Who may be missing when, and who must be."""
    keys: set[Key] = {(gauge, reading) for _, gauge, reading, _ in rows}
    for keeper in {expected.keeper[key] for key in expected.keys[_moment(day)] - keys}:
        if keeper not in erased or erased[keeper].begun > stretch.ended:
            counts.torn.append(f"{_text(day)}: {keeper} is missing, whom nobody erased")
    there = {expected.keeper[key] for key in keys if key in expected.keeper}
    for keeper in there & erased.keys():
        done = erased[keeper].done
        searched = rows[0][0] not in erased[keeper].unsearched
        if searched and done is not None and done < stretch.last:
            counts.wrong.append(f"{_text(day)}: {keeper} is seen after the erasure")


def _moment(day: int) -> datetime:
    return datetime.fromtimestamp(day, UTC)


def _text(day: int) -> str:
    return _moment(day).date().isoformat()
