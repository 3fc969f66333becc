"""Which things are due to be deleted: a function of facts, with no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from rescore.interval import Interval
from rescore.shown_text import number_of
from rescore.spec import RetentionSpec
from rescore.store import LegalHold

__all__ = ["Due", "Facts", "FrozenTable", "RunRows", "due"]


@dataclass(frozen=True)
class FrozenTable:
    """That a model froze a table of this content digest; several may name one digest.

    ``frozen_at`` is the last moment at which it was frozen, or an attempt at a run with it began; ``rows``
    counts its rows.
    """

    digest: str
    what: Literal["frozen input", "training snapshot"]
    model: str
    interval: Interval
    frozen_at: datetime
    rows: int


@dataclass(frozen=True)
class RunRows:
    """The rows of a run that nobody reads any more: superseded, or without progress and attempts since."""

    run_id: str
    what: Literal["scores", "staged rows"]
    model: str
    interval: Interval
    since: datetime


@dataclass(frozen=True)
class Facts:
    """All that decides.

    Attributes
    ----------
    retention : mapping
        What each model declares; of a model that is not in it, nothing is deleted.
    frozen : sequence of FrozenTable
        What is in the archive, by every name that it has.
    runs : sequence of RunRows
        Runs that have rows.
    needed : mapping of str to str
        Digests that somebody needs, and who.
    holds : sequence of LegalHold
        Those that hold.
    """

    retention: Mapping[str, RetentionSpec]
    frozen: Sequence[FrozenTable] = ()
    runs: Sequence[RunRows] = ()
    needed: Mapping[str, str] = field(default_factory=dict)
    holds: Sequence[LegalHold] = ()


@dataclass(frozen=True)
class Due:
    """One thing to delete: a table by its digest, or a run's rows by its id; and the rule.

    ``last_used`` is the last use that the rule knew of: a later one keeps it.
    """

    what: Literal["frozen input", "training snapshot", "scores", "staged rows"]
    subject: str
    model: str
    interval: Interval
    rule: str
    last_used: datetime
    rows: int | None = None


def due(facts: Facts, now: datetime) -> list[Due]:
    """What is past its time, and neither needed nor held; in a fixed order.

    A table is due only if it is by every name that it has: two intervals without a row share a digest.
    """
    found = [one for run in facts.runs if (one := _due_run(facts, run, now)) is not None]
    names: dict[str, list[FrozenTable]] = {}
    for table in facts.frozen:
        names.setdefault(table.digest, []).append(table)
    for digest, tables in names.items():
        rules = [_due_table(facts, table, now) for table in tables]
        if digest not in facts.needed and all(rule is not None for rule in rules):
            first = tables[0]
            last_used = max(table.frozen_at for table in tables)
            found.append(
                Due(first.what, digest, first.model, first.interval, str(rules[0]), last_used, first.rows)
            )
    return sorted(found, key=lambda one: (one.model, one.what, one.interval.start, one.subject))


def _due_run(facts: Facts, run: RunRows, now: datetime) -> Due | None:
    declared = facts.retention.get(run.model)
    if declared is None or _held(facts, run.model, run.interval):
        return None
    name = "superseded_scores" if run.what == "scores" else "abandoned_runs"
    keep: timedelta = getattr(declared, name)
    if now - run.since <= keep:
        return None
    return Due(run.what, run.run_id, run.model, run.interval, _rule(name, keep), run.since)


def _due_table(facts: Facts, table: FrozenTable, now: datetime) -> str | None:
    declared = facts.retention.get(table.model)
    if declared is None or _held(facts, table.model, table.interval):
        return None
    if now - table.frozen_at <= declared.frozen_inputs:
        return None
    return _rule("frozen_inputs", declared.frozen_inputs)


def _held(facts: Facts, model: str, interval: Interval) -> bool:
    return any(hold.covers(model, interval) for hold in facts.holds)


def _rule(name: str, keep: timedelta) -> str:
    return f"retention.{name}: {number_of(keep.days, 'day')}" if keep.days else f"retention.{name}: {keep}"
