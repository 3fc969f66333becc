"""Whether a model is due to be trained again, and asking for it not more often than declared."""

from __future__ import annotations

from datetime import datetime

from rescore.performance import METRICS
from rescore.pipeline.context import Context
from rescore.pipeline.monitoring.performance import latest_performance
from rescore.spec import ModelSpec
from rescore.store import Pin

__all__ = ["ask_for_retraining", "when_due"]


def when_due(ctx: Context, model_name: str, now: datetime) -> tuple[bool, str]:
    """Whether ``model_name`` is due for retraining at ``now``, and why or why not.

    It is due when

    - nothing is pinned;
    - the pinned package knows labels up to longer ago than ``training.max_age``;
    - the last published run is at a verdict that ``drift.acts_on``, with ``drift.on_drift: retrain``;
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
    due, reason = _reason(ctx, spec, now)
    if not due:
        return False, reason
    asked = [
        one
        for one in ctx.store.retrainings.of_model(model_name)
        if one.as_of > now - spec.drift.retrain_every
    ]
    if asked:
        return False, f"{reason}; but a training was asked for as of {asked[-1].as_of.isoformat()} already"
    return True, reason


def ask_for_retraining(ctx: Context, model_name: str, now: datetime, *, asked_by: str) -> tuple[bool, str]:
    """Decide as :func:`when_due`, and record the request if the answer is yes.

    A retry with the same ``asked_by`` and ``now`` gets the same yes; of others at the same time,
    only one does.

    Returns
    -------
    tuple of bool and str
        Whether to start a training, and why or why not.
    """
    spec = ctx.model(model_name).spec
    due, reason = _reason(ctx, spec, now)
    if not due:
        return False, reason
    stands = ctx.store.retrainings.ask_for(
        model_name, now, reason=reason, asked_by=asked_by, every=spec.drift.retrain_every
    )
    return (True, reason) if stands else when_due(ctx, model_name, now)


def _reason(ctx: Context, spec: ModelSpec, now: datetime) -> tuple[bool, str]:
    pinned = ctx.store.pins.current(spec.name)
    if pinned is None:
        return True, "no package is pinned"
    known_by = datetime.fromisoformat(
        ctx.store.packages.find(spec.name, pinned.sha256).manifest["lineage"]["as_of"]
    )
    age = now - known_by
    if spec.training.max_age is not None and age > spec.training.max_age:
        return (
            True,
            f"package {pinned.version} knows labels up to {known_by.isoformat()}, {age.days} days ago",
        )
    if spec.drift.on_drift == "retrain":
        for last in ctx.store.runs.published(spec.name, last=1, ended_by=now):
            if spec.drift.acts_at(last.verdict) and last.package_sha256 == pinned.sha256:
                return True, f"the run of {last.interval} is {last.verdict}: {last.sentence}"
    worse = _performance(ctx, spec, pinned, known_by, now)
    if worse is not None:
        return True, worse
    return False, f"package {pinned.version} is {age.days} days old and no declared reason holds"


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
        f"({low:.4g} to {high:.4g}, {last_week.rows:,} labelled rows), worse than {limit:g} beyond chance; "
        f"package {pinned.version} scores"
    )
