"""Labels that have stopped, or that come for far fewer rows than they did; of many models by two queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import DateTime, Row, Select, Subquery, Text, column, func, select, true, values

from rescore.interval import Interval
from rescore.store.schema.tables import performance as performance_table
from rescore.store.schema.tables import run as run_table
from rescore.store.schema.view_handles import publication_current

__all__ = ["AGAIN_AFTER", "LABEL_SLACK", "SilentLabels", "silent_labels"]

#: Ripe runs in a row without any label before labels count as stopped (of so many that are looked at; those
#: without rows don't count).
SILENT_RUNS, LOOKED_AT = 3, 30

#: How much later than declared labels may come without being missed, how often they are looked for meanwhile,
#: and how much later still the last of these looks may be: a monitor that runs once a day.
LABEL_SLACK, AGAIN_AFTER, LOOKED_FOR = timedelta(days=1), timedelta(hours=6), timedelta(days=1)

#: Labels have thinned out where each of those runs has less than this part of what the runs before it had at
#: its age (their median), and less than nine in ten of them; so many runs before are needed.
THIN, EARLIER = 0.5, 10


@dataclass(frozen=True)
class SilentLabels:
    """That the last runs with rows whose labels should be known have none, or far fewer than runs before.

    Attributes
    ----------
    within : Interval
        From the first of these runs to the last.
    measured : bool
        Whether anybody looked for their labels.
    most, usual : float
        The largest share of a run's rows with a label among these, and the least that was to be expected, 0
        to 1; both 0 where there is no label at all.
    """

    model: str
    within: Interval
    measured: bool
    most: float = 0.0
    usual: float = 0.0

    def __str__(self) -> str:
        """What is wrong, since when."""
        what = (
            "no label has come" if self.measured else f"nothing was measured (does monitor_{self.model} run?)"
        )
        if self.most:
            what = f"at most {self.most:.1%} of the rows have a label (before: {self.usual:.1%} or more)"
        within = f"{self.within.start:%Y-%m-%d %H:%M} to {self.within.end:%Y-%m-%d %H:%M} UTC"
        return f"{what} for the last {SILENT_RUNS} runs whose labels are due, of {within}"


def silent_labels(
    rows: Callable[[Select[Any]], Iterable[Row[Any]]], delays: Mapping[str, timedelta], now: datetime
) -> dict[str, SilentLabels]:
    """Of each model whose labels have stopped or thinned out the runs that lack them.

    Parameters
    ----------
    rows : callable
        What a query gives.
    delays : mapping of str to timedelta
        Model to how long after an interval's end its labels are known.
    now : datetime
        Aware.
    """
    if not delays:
        return {}
    ripe = _ripe({model: now - delay - LABEL_SLACK - LOOKED_FOR for model, delay in delays.items()})
    measured = (
        select(func.max(performance_table.c.label_coverage).label("most"), func.count().label("times"))
        .where(performance_table.c.run_id == ripe.c.run_id)
        .lateral()
    )
    most = func.coalesce(func.max(measured.c.most), 0)
    query = (
        select(
            ripe.c.model,
            func.min(ripe.c.interval_start).label("start"),
            func.max(ripe.c.interval_end).label("end"),
            func.bool_or(measured.c.times > 0).label("measured"),
            most.label("most"),
        )
        .select_from(ripe.join(measured, true()))
        .where(ripe.c.number <= SILENT_RUNS)
        .group_by(ripe.c.model)
        .having(func.count() == SILENT_RUNS, most < THIN)  # half of a share is never more
    )
    found: dict[str, SilentLabels] = {}
    few: dict[str, SilentLabels] = {}
    for row in rows(query):
        silence = SilentLabels(row.model, Interval(row.start, row.end), row.measured)
        (few if row.most else found)[row.model] = silence
    if few:
        for model, coverages in _coverages(rows, ripe, few).items():
            if thinned := _thinned(few[model], coverages):
                found[model] = thinned
    return found


def _ripe(ended_by: Mapping[str, datetime]) -> Subquery:
    """The last published runs with rows of each model that ended by a moment, numbered from the newest."""
    asked = values(column("model", Text), column("ended_by", DateTime(timezone=True)), name="asked").data(
        list(ended_by.items())
    )
    of, current = run_table.c, publication_current.c
    recent = (
        select(of.run_id, of.interval_start, of.interval_end, of.rows_scored)
        .join(publication_current, current.run_id == of.run_id)
        .where(of.model == asked.c.model, of.interval_end <= asked.c.ended_by)
        .order_by(of.interval_start.desc(), of.interval_end.desc())
        .limit(LOOKED_AT)
        .lateral()
    )
    newest_first = recent.c.interval_start.desc(), recent.c.interval_end.desc()
    number = func.row_number().over(partition_by=asked.c.model, order_by=newest_first)
    return (
        select(asked.c.model, *recent.c, number.label("number"))
        .select_from(asked.join(recent, true()))
        .where(recent.c.rows_scored > 0)
        .subquery()
    )


@dataclass(frozen=True)
class _Coverage:
    """The share of a run's rows with a label so long after its interval had ended."""

    age: timedelta
    share: float


def _coverages(
    rows: Callable[[Select[Any]], Iterable[Row[Any]]], ripe: Subquery, models: Iterable[str]
) -> dict[str, list[list[_Coverage]]]:
    """Of each model its ripe runs, the newest first, with their measurements, the oldest first."""
    of = performance_table.c
    query = (
        select(ripe.c.model, ripe.c.number, ripe.c.interval_end, of.as_of, of.label_coverage)
        .join(performance_table, of.run_id == ripe.c.run_id, isouter=True)
        .select_from(ripe)
        .where(ripe.c.model.in_(list(models)))
        .order_by(ripe.c.model, ripe.c.number, of.performance_id)
    )
    found: dict[str, dict[int, list[_Coverage]]] = defaultdict(lambda: defaultdict(list))
    for row in rows(query):
        of_run = found[row.model][row.number]
        if row.as_of is not None:
            of_run.append(_Coverage(row.as_of - row.interval_end, row.label_coverage or 0.0))
    return {model: list(of_model.values()) for model, of_model in found.items()}


def _thinned(silence: SilentLabels, runs: Sequence[Sequence[_Coverage]]) -> SilentLabels | None:
    """The silence with its figures, if each of the last runs has unusually few labels."""
    last, before = runs[:SILENT_RUNS], runs[SILENT_RUNS:]
    least = [_least(run[-1].age, before) if run else 0.0 for run in last]
    most, usual = max(run[-1].share if run else 0.0 for run in last), min(least)
    return None if most >= usual else SilentLabels(silence.model, silence.within, True, most, usual)


def _least(age: timedelta, before: Sequence[Sequence[_Coverage]]) -> float:
    """The share with a label below which a run of that age has unusually few; 0 if too little is known.

    Runs before are taken as they were when they were as old: labels go on coming.
    """
    then = [[one.share for one in run if one.age <= age + LABEL_SLACK] for run in before]
    had = sorted(shares[-1] for shares in then if shares)
    return min(THIN * median(had), had[len(had) // 10]) if len(had) >= EARLIER else 0.0
