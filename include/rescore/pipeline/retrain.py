"""Whether a model is due to be trained again."""

from __future__ import annotations

from datetime import datetime

from rescore.pipeline.context import Context

__all__ = ["when_due"]


def when_due(ctx: Context, model_name: str, now: datetime) -> tuple[bool, str]:
    """Whether ``model_name`` is due for retraining at ``now``, and why or why not.

    It is due when nothing is pinned, when the pinned package saw labels of longer ago than
    ``training.max_age``, or when the last published run drifted and ``drift.on_drift`` is
    ``retrain``.

    Parameters
    ----------
    ctx : Context
        Store.
    model_name : str
        The model.
    now : datetime
        Aware; the end of the interval that is scored, so that a backfill decides as the scheduled
        run would have.
    """
    spec = ctx.model(model_name).spec
    pinned = ctx.store.current_pin(model_name)
    if pinned is None:
        return True, "no package is pinned"
    lineage = ctx.store.find_package(model_name, pinned.sha256).manifest["lineage"]
    age = now - datetime.fromisoformat(lineage["as_of"])
    if spec.training.max_age is not None and age > spec.training.max_age:
        return True, f"package {pinned.version} knows labels up to {lineage['as_of']}, {age.days} days ago"
    if spec.drift.on_drift == "retrain":
        published = [run for run in ctx.store.published_runs(model_name) if run.interval.end <= now]
        last = published[-1] if published else None
        if (
            last is not None
            and last.verdict in {"drifted", "consequential"}
            and last.package_sha256 == pinned.sha256
        ):
            return True, f"the run of {last.interval} is {last.verdict}"
    return False, f"package {pinned.version} is {age.days} days old and no declared reason holds"
