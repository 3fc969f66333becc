"""What needs a person, as far as the store alone can tell: also when no scheduler and no task runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from rescore.errors import RescoreError
from rescore.interval import Interval
from rescore.pipeline.context import Context, utc_now
from rescore.runbooks import runbook
from rescore.spec import ModelSpec
from rescore.store import OPEN_STATES, ModelStatus

__all__ = ["Alarm", "alarms"]

#: An interval that was passed over is told for so long after it was due; then it is history.
GAPS_OF = timedelta(days=30)

#: Packages, and comparisons, whose answer is looked for: the latest.
LATEST = 10


@dataclass(frozen=True)
class Alarm:
    """Something about a model that waits for a person.

    Attributes
    ----------
    model : str
        The model.
    kind : str
        ``unusable``: consumers should not use what is published, or nothing is; ``late``: scores that are
        due are not there; ``gap``: nor are those of an earlier interval, while later ones are; ``held``: a
        run waits for its release; ``labels``: none came of late, or far fewer than before; ``approval``: a
        package waits for approval; ``folder``: the model's folder can't be read.
    sentence : str
        What is wrong, since when.
    """

    model: str
    kind: Literal["unusable", "late", "gap", "held", "labels", "approval", "folder"]
    sentence: str

    def to_dict(self) -> dict[str, str]:
        """As JSON-serialisable values, with the section that says what to do."""
        return {
            "model": self.model,
            "kind": self.kind,
            "sentence": self.sentence,
            "runbook": runbook(self.kind),
        }


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
    if row is not None and row.retired_at is not None:
        return []
    found = [] if row is None else [*_of_status(row), *_gaps(ctx, row, now)]
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
        found.append(
            Alarm(row.model, "late", row.why + (_unfinished(row) if begun else "; no run of it was begun"))
        )
    elif not row.usable and row.run_id is not None:
        found.append(Alarm(row.model, "unusable", row.why))
    if row.attempt_held:
        found.append(Alarm(row.model, "held", f"run {row.attempt_run_id} waits for its release: {row.why}"))
    return found


def _unfinished(row: ModelStatus) -> str:
    """What a run that was begun, and has neither ended nor is held, says of itself: it may be killed."""
    if row.attempt_held or row.attempt_state not in OPEN_STATES or row.attempt_at is None:
        return ""
    since = f"{row.attempt_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"; run {row.attempt_run_id} of it is {row.attempt_state}, without progress since {since}"


def _gaps(ctx: Context, row: ModelStatus, now: datetime) -> list[Alarm]:
    """What was passed over: runs that wait behind later ones, and intervals that nobody published.

    A run that was stopped is none: it was told, and somebody or the declared rule decided.
    """
    if row.interval_end is None:
        return []
    gaps = ctx.store.history.gaps(row.model, due_after=now - GAPS_OF, ended_by=row.interval_end)
    found = [
        Alarm(
            row.model,
            "held",
            f"run {gap.run_id} of {_utc(gap.interval)} waits for its release: {gap.problem}",
        )
        for gap in gaps
        if gap.state == "held" and gap.run_id != row.attempt_run_id
    ]
    if missing := [gap for gap in gaps if gap.state not in {"held", "stopped"}]:
        last = missing[-1]
        tried = "no run of it was begun" if last.state is None else f"its last attempt is {last.state}"
        several = f" and {len(missing) - 1} before" if len(missing) > 1 else ""
        problem = f": {last.problem}" if last.problem else ""
        sentence = (
            f"scores of {_utc(last.interval)}{several} are missing, later ones are there; {tried}{problem}"
        )
        found.append(Alarm(row.model, "gap", sentence))
    return found


def _utc(interval: Interval) -> str:
    return f"{interval.start:%Y-%m-%d %H:%M} to {interval.end:%Y-%m-%d %H:%M} UTC"


def _labels(ctx: Context, spec: ModelSpec, now: datetime) -> list[Alarm]:
    """Whether the last runs with rows whose labels should be known have none, or far fewer than before."""
    found = ctx.store.overview.silent_labels({spec.name: spec.target.delay}, now)
    return [Alarm(name, "labels", str(one)) for name, one in found.items()]


def _approval(ctx: Context, spec: ModelSpec, now: datetime) -> list[Alarm]:
    """Packages that have waited for half of the time that a person has to answer.

    Those that were compared wait from then on, others (the first one, say) since they were made. After all
    of that time no answer is a rejection.
    """
    within, pinned = spec.airflow.answer_within, ctx.store.pins.current(spec.name)
    since = {
        one.challenger_sha256: (one.recorded_at, "compared with the pinned one")
        for one in ctx.store.comparisons.of_model(spec.name, last=LATEST)[::-1]
    }
    found = []
    for package in ctx.store.packages.of_model(spec.name, last=LATEST):
        at, what = since.get(package.sha256, (package.created_at, "made"))
        answered = pinned is not None and (pinned.sha256 == package.sha256 or pinned.pinned_at > at)
        if within / 2 <= now - at <= within and not answered:
            sentence = (
                f"package {package.version} was {what} at {at:%Y-%m-%d %H:%M} UTC and is not pinned; if "
                f"train_{spec.name} asks for an answer, none by {at + within:%Y-%m-%d %H:%M} UTC is a no"
            )
            found.append(Alarm(spec.name, "approval", sentence))
    return found
