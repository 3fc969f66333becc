"""How good published scores turned out to be, once labels are known."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rescore import drift, source
from rescore.pipeline.context import Context, utc_now

__all__ = ["measure_run"]


def measure_run(ctx: Context, run_id: str, as_of: datetime | None = None) -> dict[str, Any]:
    """Realised performance of a run from the labels known by ``as_of``; the result is stored.

    Parameters
    ----------
    ctx : Context
        Store and connections.
    run_id : str
        A run that was scored.
    as_of : datetime, optional
        Default: now.

    Returns
    -------
    dict
        Metrics with intervals, the number of rows scored and labelled; see
        :func:`rescore.drift.realised`.
    """
    run = ctx.store.run(run_id)
    folder = ctx.model(run.model)
    as_of = as_of or utc_now()
    labels = source.labels(ctx.source_url(folder), folder, [run.interval], as_of)
    measured = drift.realised(ctx.store.scores_of(run_id), labels, folder.spec)
    ctx.store.record_performance(run_id, as_of, measured)
    return measured
