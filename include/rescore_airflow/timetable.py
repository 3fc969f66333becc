"""A model's schedule as Airflow sees it.

Airflow must be able to import this wherever it schedules, so the plugin registers it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self, cast

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from pendulum import DateTime, instance

from rescore.interval import Schedule

__all__ = ["ModelTimetable"]


class ModelTimetable(CronDataIntervalTimetable):
    """The data intervals of a cron expression, none before the first and none after the last.

    Three things differ from ``CronDataIntervalTimetable``:

    - The schedule's end is known here, not as the DAG's ``end_date``. Airflow never runs a task
      whose logical date lies past the DAG's ``end_date``, and the UI's trigger form proposes the
      present moment as logical date, so such a run would stand still without a word.
    - Boundaries come from :class:`rescore.interval.Schedule`, which gives the same ones, so that the
      scheduler and the command line can't disagree.
    - A run started by hand whose logical date is a boundary of the schedule means the interval
      that *starts* there, as for a scheduled run of the same logical date. Airflow's own class
      takes the one that ends there.

    Parameters
    ----------
    cron : str
        Five fields.
    timezone : str or timezone
        What the fields are read in.
    first, last : datetime, optional
        Starts of the first and the last interval.
    """

    def __init__(
        self, cron: str, timezone: Any, first: datetime | None = None, last: datetime | None = None
    ) -> None:
        super().__init__(cron, timezone)
        self._first = None if first is None else instance(first)
        self._last = None if last is None else instance(last)
        self._schedule = Schedule(self._expression, self._timezone.name)

    @classmethod
    def of(cls, schedule: Schedule) -> Self:
        """The timetable with the same intervals as ``schedule``."""
        first, last = schedule.first_interval(), schedule.last_interval()
        return cls(
            schedule.cron,
            schedule.timezone,
            None if first is None else first.start,
            None if last is None else last.start,
        )

    def serialize(self) -> dict[str, Any]:
        """What Airflow stores of the timetable."""
        return {
            **super().serialize(),
            "first": self._first and self._first.isoformat(),
            "last": self._last and self._last.isoformat(),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        """The timetable that :meth:`serialize` stored."""
        plain = cast("CronDataIntervalTimetable", CronDataIntervalTimetable.deserialize(data))
        first, last = (data[name] and datetime.fromisoformat(data[name]) for name in ("first", "last"))
        return cls(data["expression"], plain._timezone, first, last)

    def _get_next(self, current: DateTime) -> DateTime:
        return instance(self._schedule.next_boundary(datetime.fromisoformat(current.isoformat())))

    def _get_prev(self, current: DateTime) -> DateTime:
        return instance(self._schedule.previous_boundary(datetime.fromisoformat(current.isoformat())))

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next run within both Airflow's restriction and the schedule."""
        earliest = [moment for moment in (restriction.earliest, self._first) if moment is not None]
        latest = [moment for moment in (restriction.latest, self._last) if moment is not None]
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval,
            restriction=TimeRestriction(
                max(earliest, default=None), min(latest, default=None), restriction.catchup
            ),
        )

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """The interval that starts at ``run_after``, else the last one complete by then."""
        if self._align_to_prev(run_after) == run_after:
            return DataInterval(start=run_after, end=self._get_next(run_after))
        return super().infer_manual_data_interval(run_after=run_after)
