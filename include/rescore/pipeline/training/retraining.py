"""Whether a model is due to be trained again, and asking for it not more often than declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from rescore.drift import alarm_of
from rescore.performance import METRICS
from rescore.pipeline.context import Context
from rescore.pipeline.monitoring.performance import latest_performance
from rescore.pipeline.monitoring.performance_evidence import evidence_after
from rescore.shown_text import number_of
from rescore.spec import ModelSpec
from rescore.store import Pin

__all__ = ["Retraining", "ask_for_retraining", "when_due"]


@dataclass(frozen=True)
class Retraining:
    """Whether a model is to be trained again, and why or why not."""

    due: bool
    reason: str


def when_due(ctx: Context, model_name: str, now: datetime) -> Retraining:
    """Whether ``model_name`` is due for retraining at ``now``, and why or why not.

    It is due when

    - nothing is pinned;
    - the pinned package knows labels up to longer ago than ``training.max_age``;
    - the last published run is at a verdict that ``drift.acts_on``, with ``drift.on_drift: retrain``;
    - an alarm stands that the pinned package does worse than in training, with ``performance.on_alarm:
      retrain``;
    - performance of the last week with labels is worse than ``training.retrain_at``: its whole
      95 % interval is (of a metric without one, its value),

    and no training was asked for within ``drift.retrain_every`` before ``now``, or later: what came of
    that one decides, not another like it.

    Parameters
    ----------
    ctx : Context
        Store, and the source for labels.
    model_name : str
        The model.
    now : datetime
        Aware; the end of the interval that is scored, so that a backfill decides as the scheduled
        run would have.
    """
    spec = ctx.model(model_name).spec
    retraining = _by_declaration(ctx, spec, now)
    if not retraining.due:
        return retraining
    asked = [
        one
        for one in ctx.store.retrainings.of_model(model_name)
        if one.as_of > now - spec.drift.retrain_every
    ]
    if asked:
        already = f"but a training was asked for as of {asked[-1].as_of.isoformat()} already"
        return Retraining(due=False, reason=f"{retraining.reason}; {already}")
    return retraining


def ask_for_retraining(
    ctx: Context,
    model_name: str,
    now: datetime,
    *,
    asked_by: str,
    check: Callable[[], None] = lambda: None,
) -> Retraining:
    """Decide as :func:`when_due`, and record the request if the answer is yes.

    A retry with the same ``asked_by`` and ``now`` gets the same yes; of others at the same time,
    only one does. ``check`` is called before a request is recorded: where it raises, because the training
    could not start, no request stands in the way of the next.
    """
    spec = ctx.model(model_name).spec
    retraining = _by_declaration(ctx, spec, now)
    if not retraining.due:
        return retraining
    check()
    stands = ctx.store.retrainings.ask_for(
        model_name, now, reason=retraining.reason, asked_by=asked_by, every=spec.drift.retrain_every
    )
    return retraining if stands else when_due(ctx, model_name, now)


def _by_declaration(ctx: Context, spec: ModelSpec, now: datetime) -> Retraining:
    """Whether a declared reason holds, whoever asked for a training before."""
    pinned = ctx.store.pins.current(spec.name)
    if pinned is None:
        return Retraining(due=True, reason="no package is pinned")
    known_by = datetime.fromisoformat(
        ctx.store.packages.find(spec.name, pinned.sha256).manifest.lineage.as_of
    )
    age = now - known_by
    if spec.training.max_age is not None and age > spec.training.max_age:
        known = (
            f"package {pinned.version} knows labels up to {known_by.isoformat()}, "
            f"{number_of(age.days, 'day')} ago"
        )
        return Retraining(due=True, reason=known)
    if spec.drift.on_drift == "retrain":
        for last in ctx.store.runs.published(spec.name, last=1, ended_by=now):
            alarm = alarm_of(ctx.store.reports.drift_of(last.run_id))
            stands = alarm is not None and alarm.raised
            if spec.drift.acts_at(last.verdict, alarm=stands) and last.package_sha256 == pinned.sha256:
                verdict = f"the run of {last.interval} is {last.verdict}: {last.sentence}"
                return Retraining(due=True, reason=verdict)
    if spec.performance.on_alarm == "retrain":
        alarm = evidence_after(ctx, spec.name, now - spec.target.delay, of=pinned.sha256).alarm
        if alarm is not None and alarm.raised:
            return Retraining(
                due=True, reason=f"package {pinned.version} does worse than in training: {alarm}"
            )
    worse = _performance(ctx, spec, pinned, known_by, now)
    if worse is not None:
        return Retraining(due=True, reason=worse)
    reason = f"package {pinned.version} is {number_of(age.days, 'day')} old and no declared reason holds"
    return Retraining(due=False, reason=reason)


def _performance(ctx: Context, spec: ModelSpec, pinned: Pin, known_by: datetime, now: datetime) -> str | None:
    limit = spec.training.retrain_at
    if limit is None:
        return None
    last_week = latest_performance(ctx, spec.name, now)
    # What came before is its predecessor's, which it has learnt from; labels it does not know are no measure.
    if last_week is None or last_week.until <= known_by or last_week.value is None:
        return None
    low = last_week.value if last_week.low is None else last_week.low
    high = last_week.value if last_week.high is None else last_week.high
    if not (high < limit if METRICS[last_week.metric].higher_is_better else low > limit):
        return None
    return (
        f"{last_week.metric} of the week until {last_week.until.isoformat()} is {last_week.value:.4g} "
        f"({low:.4g} to {high:.4g}, {number_of(last_week.rows, 'labelled row')}), worse than "
        f"{limit:g} beyond chance; package {pinned.version} scores"
    )
