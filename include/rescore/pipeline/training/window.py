"""Which intervals a training learns from."""

from __future__ import annotations

from datetime import datetime

from rescore.errors import ParameterError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.spec import ModelSpec
from rescore.spec_values import duration_text

__all__ = ["due_window", "training_window"]


def due_window(spec: ModelSpec, as_of: datetime) -> list[Interval]:
    """The last ``training.intervals`` whose labels are due by ``as_of``; fewer if the schedule has fewer."""
    return spec.schedule.schedule().last_intervals(as_of - spec.target.delay, spec.training.intervals)


def training_window(
    folder: ModelFolder,
    as_of: datetime,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[Interval]:
    """The intervals to train on: those named, else the last declared number whose labels are due.

    Raises
    ------
    ParameterError
        No interval of the schedule lies there, or one has not ended by ``as_of``.
    """
    spec = folder.spec
    schedule = spec.schedule.schedule()
    if (start is None) != (end is None):
        raise ParameterError(
            "only one bound of the training window is named",
            expected="both start and end, or neither",
            fix="give both, or leave both out",
        )
    if start is not None and end is not None:
        intervals = list(schedule.intervals(start, end))
    else:
        intervals = due_window(spec, as_of)
    if not intervals:
        delay = duration_text(spec.target.delay)
        raise ParameterError(
            f"no interval of {folder.name} lies in the training window",
            where=f"as of {as_of.isoformat()}, labels due {delay} after an interval's end",
            expected=f"intervals due from {spec.schedule.start} on",
            fix="name a later as_of, or start and end",
        )
    if intervals[-1].end > as_of:
        raise ParameterError(
            f"the training window ends at {intervals[-1].end}, after its as_of {as_of}",
            expected="a window that lies before as_of",
            fix="name a later as_of or an earlier end",
        )
    return intervals
