"""What needs a person, as far as the store alone can tell: also when no scheduler and no task runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from rescore.errors import RescoreError
from rescore.pipeline.context import Context, utc_now
from rescore.spec import ModelSpec
from rescore.store import ModelStatus, ScoredRun

__all__ = ["Alarm", "alarms"]

#: Ripe runs in a row without any label before labels count as stopped, and how much later than declared
#: labels may come meanwhile.
SILENT_RUNS, LABEL_SLACK = 3, timedelta(days=1)


@dataclass(frozen=True)
class Alarm:
    """Something about a model that waits for a person.

    Attributes
    ----------
    model : str
        The model.
    kind : str
        ``unusable``: consumers should not use what is published, or nothing is; ``late``: scores that are
        due are not there; ``held``: a run waits for its release; ``labels``: none came of late;
        ``approval``: a package waits for approval; ``folder``: the model's folder can't be read.
    sentence : str
        What is wrong, since when.
    """

    model: str
    kind: Literal["unusable", "late", "held", "labels", "approval", "folder"]
    sentence: str


def alarms(ctx: Context, model_name: str | None = None, *, now: datetime | None = None) -> list[Alarm]:
    """Everything that waits for a person, by model; of one model, if it is named.

    Reads the store and the model folders, no source and no Airflow. Each look reads a bounded number of
    rows a model, however long its history is.

    Parameters
    ----------
    ctx : Context
        Store and model folders.
    model_name : str, optional
        Only this model.
    now : datetime, optional
        Aware; default is the clock. Lateness is by the clock of the database.

    Raises
    ------
    UnknownModelError
        There is no such folder, and the store knows no such model.
    """
    now = now or utc_now()
    rows = {row.model: row for row in ctx.store.history.status()}
    if model_name is not None and model_name not in rows:
        ctx.model(model_name)  # says which there are
    found: list[Alarm] = []
    for name in sorted({*rows, *ctx.models()} if model_name is None else {model_name}):
        found += _of_model(ctx, name, rows.get(name), now)
    return found


def _of_model(ctx: Context, name: str, row: ModelStatus | None, now: datetime) -> list[Alarm]:
    found = [] if row is None else _of_status(row)
    if name not in ctx.models():
        return found
    try:
        spec = ctx.model(name).spec
    except RescoreError as error:
        return [*found, Alarm(name, "folder", error.what)]
    return found if row is None else [*found, *_labels(ctx, spec, now), *_approval(ctx, spec, now)]


def _of_status(row: ModelStatus) -> list[Alarm]:
    found = []
    if row.late:
        begun = row.attempt_interval_end is not None and (
            row.interval_end is None or row.attempt_interval_end > row.interval_end
        )
        found.append(Alarm(row.model, "late", row.why + ("" if begun else "; no run of it was begun")))
    elif not row.usable and row.run_id is not None:
        found.append(Alarm(row.model, "unusable", row.why))
    if row.attempt_held:
        found.append(Alarm(row.model, "held", f"run {row.attempt_run_id} waits for its release: {row.why}"))
    return found


def _labels(ctx: Context, spec: ModelSpec, now: datetime) -> list[Alarm]:
    """Whether the last runs whose labels should be known have none at all."""
    ripe = ctx.store.runs.published(
        spec.name, ended_by=now - spec.target.delay - LABEL_SLACK, last=SILENT_RUNS
    )
    if len(ripe) < SILENT_RUNS or any(_has_labels(ctx, run) for run in ripe):
        return []
    measured = any(ctx.store.reports.performances(run) for run in ripe)
    what = "no label has come" if measured else f"nothing was measured (does monitor_{spec.name} run?)"
    sentence = (
        f"{what} for the last {SILENT_RUNS} runs whose labels are due, "
        f"of {ripe[0].interval.start:%Y-%m-%d %H:%M} to {ripe[-1].interval.end:%Y-%m-%d %H:%M} UTC"
    )
    return [Alarm(spec.name, "labels", sentence)]


def _has_labels(ctx: Context, run: ScoredRun) -> bool:
    return any(one.label_coverage for one in ctx.store.reports.performances(run))


def _approval(ctx: Context, spec: ModelSpec, now: datetime) -> list[Alarm]:
    """Whether the newest comparison has waited for half of the time that a person has to answer."""
    newest = next(iter(ctx.store.comparisons.of_model(spec.name, last=1)), None)
    if newest is None or not spec.airflow.answer_within / 2 <= now - newest.recorded_at:
        return []
    if now - newest.recorded_at > spec.airflow.answer_within:  # no answer is a rejection
        return []
    pinned = ctx.store.pins.current(spec.name)
    if pinned is not None and (
        pinned.sha256 == newest.challenger_sha256 or pinned.pinned_at > newest.recorded_at
    ):
        return []
    challenger = ctx.store.packages.find(spec.name, newest.challenger_sha256)
    sentence = (
        f"package {challenger.version} was compared with the pinned one at "
        f"{newest.recorded_at:%Y-%m-%d %H:%M} UTC and is not pinned; without an answer by "
        f"{newest.recorded_at + spec.airflow.answer_within:%Y-%m-%d %H:%M} UTC it is rejected"
    )
    return [Alarm(spec.name, "approval", sentence)]
