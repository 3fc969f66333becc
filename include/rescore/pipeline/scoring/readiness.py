"""Whether an interval is fully loaded: asked often and cheaply, so nothing heavy is imported."""

from __future__ import annotations

from datetime import datetime

from rescore import source
from rescore.interval import Interval
from rescore.pipeline.context import Context

__all__ = ["is_ready"]


def is_ready(ctx: Context, model_name: str, interval: Interval, as_of: datetime | None = None) -> bool:
    """Whether the source says that ``interval`` is fully loaded.

    A model that declares no ``source.ready`` is always ready.

    Raises
    ------
    SourceUnavailableError
        The source does not answer; try again later.
    """
    folder = ctx.model(model_name)
    return source.is_ready(ctx.source_url(folder), folder, interval, as_of or interval.end)
