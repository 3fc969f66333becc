"""Tell the store when scores are due, so that it can say that they are late when nothing else runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

from rescore.folder import ModelFolder
from rescore.pipeline.context import Context, utc_now
from rescore.spec import ModelSpec
from rescore.store import DueInterval

__all__ = ["declare_timetable"]

#: How far ahead intervals are declared, and how many at most. One that is overdue is enough to be late, so
#: a store that nobody writes to any more stays right: only the number of gaps ends with the horizon.
HORIZON, MAX_INTERVALS = timedelta(days=400), 2_000


def declare_timetable(ctx: Context, folder: ModelFolder, *, now: datetime | None = None) -> bool:
    """Declare which intervals of the model are due, unless the store knows: cheap if it does.

    Scores of an interval are due at its end plus what a run is given: ``schedule.publish_within``, by default
    the time that the source may take to be ready and a task may take.

    Parameters
    ----------
    ctx : Context
        Store.
    folder : ModelFolder
        A model that was pinned and is not retired; of others nothing is due. Nor is what ended before the
        first pin.
    now : datetime, optional
        Aware; default is the clock.

    Returns
    -------
    bool
        Whether anything was declared.
    """
    now = now or utc_now()
    spec = folder.spec
    text, before = _described(spec), ctx.store.timetables.declared(spec.name)
    if before is not None and before.schedule == text and (before.ends or before.reaches_far(now)):
        return False
    live = ctx.store.timetables.live_since(spec.name)
    if live is None or spec.name in ctx.store.retirements.current():
        return False
    schedule = spec.schedule.schedule()
    since, current = schedule.floor(live), schedule.floor(now)
    # What ended is known for good by the store, which takes of it only what it lacks.
    past = [one for one in schedule.last_intervals(now, MAX_INTERVALS) if one.start >= since]
    coming = list(islice(schedule.intervals(current, now + HORIZON), MAX_INTERVALS))
    last = schedule.last_interval()
    ctx.store.timetables.declare(
        spec.name,
        text,
        [DueInterval(one, one.end + spec.publish_within) for one in [*past, *coming]],
        ends=last is not None and (not coming or coming[-1].end >= last.end),
    )
    return True


def _described(spec: ModelSpec) -> str:
    schedule = spec.schedule.schedule()
    bounds = f"from {schedule.start} until before {schedule.end}"
    return f"'{schedule.cron}' in {schedule.timezone}, {bounds}, published within {spec.publish_within}"
