"""Score the intervals that have no scores, one after the other, and say of each what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rescore.errors import RescoreError
from rescore.interval import Interval
from rescore.pipeline.context import Context
from rescore.pipeline.scoring.publishing import Published
from rescore.pipeline.scoring.stages import score_interval

__all__ = ["Backfilled", "backfill", "without_scores"]


@dataclass(frozen=True)
class Backfilled:
    """What became of one interval: what was published, or why nothing was."""

    interval: Interval
    published: Published | None = None
    error: RescoreError | None = None


def without_scores(ctx: Context, model_name: str, intervals: Sequence[Interval]) -> list[Interval]:
    """Those of some intervals that have no published scores, in order."""
    if not intervals:
        return []
    first = min(interval.start for interval in intervals)
    outcomes = ctx.store.overview.outcomes({model_name: first})[model_name]
    published = {one.interval for one in outcomes if one.published}
    return [interval for interval in intervals if interval not in published]


def backfill(ctx: Context, model_name: str, intervals: Sequence[Interval]) -> Iterator[Backfilled]:
    """Score and publish intervals in order; one that fails or is held does not keep the next from it.

    Each sees what its scheduled run would have seen: rows known at its own end.

    Parameters
    ----------
    ctx : Context
        Store, archive and source.
    model_name : str
        The model.
    intervals : sequence of Interval
        Of its schedule; see :func:`without_scores`.
    """
    for interval in intervals:
        try:
            yield Backfilled(interval, published=score_interval(ctx, model_name, interval))
        except RescoreError as error:
            yield Backfilled(interval, error=error)
