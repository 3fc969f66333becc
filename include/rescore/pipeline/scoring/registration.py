"""Register a model: make its typed tables and consumers' views, as the owner of the store does."""

from __future__ import annotations

from rescore import source
from rescore.pipeline.context import Context, utc_now

__all__ = ["register_model"]


def register_model(ctx: Context, model_name: str) -> None:
    """Make the model's tables from what its extract gives now; they may be there already.

    The store learns whether the model's packages need four eyes, also that they need them no longer. A model
    that was retired is in use again.

    Parameters
    ----------
    ctx : Context
        Store and source; the store's owner (``RESCORE_OWNER_URL``) makes the tables.
    model_name : str
        The model.

    Raises
    ------
    SourceError
        The source is down, or its columns are not those declared.
    StoreError
        The tables are not there, and the login may not create any.
    """
    folder = ctx.model(model_name)
    schedule = folder.spec.schedule.schedule()
    interval = schedule.first_interval() or schedule.interval_ending(schedule.previous_boundary(utc_now()))
    rows = source.probe(ctx.source_url(folder), folder, interval, interval.end, limit=1)
    keys = folder.spec.source.row_columns
    ctx.store.models.ensure(folder.spec, {name: rows.schema.field(name).type for name in keys})
    if ctx.store.retirements.take_back(model_name):
        ctx.progress(f"{model_name}: is in use again")
    ctx.store.pins.declare(folder.spec)
    if ctx.store.pins.relax(folder.spec):
        ctx.progress(f"{model_name}: who trains a package may approve it from now on")
