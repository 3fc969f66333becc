"""Answer an access request: everything that is kept of a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from rescore import source
from rescore.pipeline.context import Context
from rescore.pipeline.erasure.erase import passed_over, survey, without_input
from rescore.pipeline.erasure.strays import strays_with
from rescore.pipeline.erasure.subjects import FrozenRows, Subject, frozen_tables, models_of, runs_of
from rescore.store import ScoredRun

__all__ = ["Kept", "show_subject"]


@dataclass(frozen=True)
class Kept:
    """One thing that is kept of a person.

    Attributes
    ----------
    what : str
        ``frozen row``; ``row of a run`` whose frozen rows are gone; ``report``, which names the person's row;
        ``stray file``, of which no run or package is made; or ``not searched``: ``values`` say what.
    model, interval : str or None
        Whose.
    frozen : str or None
        The digest of the frozen table or file.
    values : dict
        Column to value.
    scores : list of dict
        What each run made of it: ``run_id``, score and label.
    without_score : list of dict
        Runs that set it aside: ``run_id``, ``kind`` and ``reason``.
    """

    what: str
    model: str | None = None
    interval: str | None = None
    frozen: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    scores: list[dict[str, Any]] = field(default_factory=list)
    without_score: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For a script."""
        return asdict(self)


def show_subject(ctx: Context, values: dict[str, str]) -> list[Kept]:
    """All that is kept of a person: rows, what runs made of them, reports; and what can't be searched.

    Raises
    ------
    ParameterError
        No model declares these columns.
    """
    subject = Subject(values)
    models = models_of(ctx, subject)
    found = [
        one
        for table in frozen_tables(ctx, models, subject)
        if table.model in models
        for one in _frozen_rows(ctx, table)
    ]
    unsearched = []
    for run in without_input(ctx, models, subject):
        keys = ctx.store.erasures.keys_of(run, subject.values)
        if keys is None:
            unsearched.append(f"run {run.run_id}: neither frozen rows nor keys say whose its scores are")
        else:
            found += _rows_of_run(ctx, run, keys)
    for digest in strays_with(ctx, subject):
        rows = source.read_frozen(ctx.archive.get_input(digest), digest)
        theirs = rows.filter(pa.array(subject.mask(rows))).to_pylist()
        found += [Kept("stray file", frozen=digest, values=row) for row in theirs]
    found += [
        Kept("report", one.model, one.interval, values={one.about: one.report})
        for one in ctx.store.erasures.naming(survey(ctx, subject)[1])
    ]
    found += [
        Kept("not searched", values={"what": one})
        for one in (*unsearched, *passed_over(ctx, list(models), subject))
    ]
    return found


def _frozen_rows(ctx: Context, table: FrozenRows) -> Iterator[Kept]:
    spec = ctx.model(table.model).spec.source
    names = spec.row_columns
    scored: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    set_aside: dict[int, list[dict[str, Any]]] = {}
    for run in runs_of(ctx, [table.model], table.digest):
        for row in ctx.store.scores.of_run(run).to_pylist():
            scored.setdefault(tuple(row[name] for name in names), []).append(_score(run, row, names))
        for row in ctx.store.excluded.kinds(run):
            set_aside.setdefault(row["position"], []).append(_excluded(run, row))
    rows = table.rows.take(pa.array(table.places)).to_pylist()
    for row, position in zip(rows, table.theirs, strict=True):
        yield Kept(
            "frozen row",
            table.model,
            str(table.interval),
            table.digest,
            row,
            scored.get(tuple(row[name] for name in names), []),
            set_aside.get(position, []),
        )


def _rows_of_run(ctx: Context, run: ScoredRun, keys: pa.Table) -> Iterator[Kept]:
    names = keys.schema.names
    wanted = {tuple(row.values()): row for row in keys.to_pylist()}
    scores = {tuple(row[name] for name in names): row for row in ctx.store.scores.of_run(run).to_pylist()}
    excluded = {tuple(row[name] for name in names): row for row in ctx.store.excluded.rows(run)}
    for key, row in wanted.items():
        yield Kept(
            "row of a run",
            run.model,
            str(run.interval),
            None,
            row,
            [_score(run, scores[key], names)] if key in scores else [],
            [_excluded(run, excluded[key])] if key in excluded else [],
        )


def _score(run: ScoredRun, row: dict[str, Any], names: list[str]) -> dict[str, Any]:
    said = {"run_id": run.run_id, "label": None}
    return said | {name: value for name, value in row.items() if name not in names}


def _excluded(run: ScoredRun, row: dict[str, Any]) -> dict[str, Any]:
    return {"run_id": run.run_id, "kind": row["kind"], "reason": row["reason"]}
