"""Look after a model: measure what has labels now, and say how its last runs stand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rescore.pipeline.context import Context
from rescore.pipeline.monitoring.performance import latest_performance, measure_due

__all__ = ["monitor_model"]

#: Features named per run, the most unusual first.
MOST_DRIFTED = 5


def monitor_model(
    ctx: Context, model_name: str, now: datetime, run_ids: Sequence[str] | None = None
) -> dict[str, Any]:
    """Measure every run whose labels are due, and sum up what is known of the last ones.

    Parameters
    ----------
    ctx : Context
        Store, archive and connections.
    model_name : str
        The model.
    now : datetime
        Aware; labels known by then count.
    run_ids : sequence of str, optional
        Published runs to sum up, such as those published since the last time. Default: the last one.

    Returns
    -------
    dict
        ``model``, ``measured`` (how many runs), ``performance`` (see
        :func:`rescore.pipeline.latest_performance`, moments as text; None without labels) and ``runs``, by
        interval, each with ``run_id``, ``interval``, ``interval_end``, ``package_version``, ``verdict``,
        ``sentence``, ``p_value``, ``acts`` (whether ``on_drift`` happens, or it is an outage) and
        ``features``: per feature ``name``, ``psi``, ``effect``, ``missing``, ``p_value``, ``flagged``.
        JSON-serialisable.
    """
    measured = measure_due(ctx, model_name, now)
    last = 1 if run_ids is None else None
    chosen = ctx.store.runs.published(model_name, last=last, run_ids=run_ids)
    lately = latest_performance(ctx, model_name, now)
    declared = ctx.model(model_name).spec.drift
    return {
        "model": model_name,
        "measured": len(measured),
        "performance": lately and {**lately, "until": lately["until"].isoformat()},
        "runs": [
            {
                "run_id": run.run_id,
                "interval": str(run.interval),
                "interval_end": run.interval.end.isoformat(),
                "package_version": run.package_version,
                "verdict": run.verdict,
                "sentence": run.sentence,
                "acts": declared.acts_at(run.verdict) or run.verdict == "outage",
                **_drift(ctx, run.run_id),
            }
            for run in chosen
        ],
    }


def _drift(ctx: Context, run_id: str) -> dict[str, Any]:
    report = ctx.store.reports.drift_of(run_id) or {}
    features = sorted(
        report.get("features", []),
        key=lambda one: (not one["outage"], one["p_value"], -one["share_of_statistic"], one["name"]),
    )
    kept = ("name", "psi", "effect", "missing", "p_value", "flagged")
    return {
        "p_value": report.get("p_value"),
        "features": [{name: one[name] for name in kept} for one in features[:MOST_DRIFTED]],
    }
