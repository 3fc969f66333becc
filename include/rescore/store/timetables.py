"""When scores are due, as rows: so that lateness is seen by whoever asks the database alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text

from rescore.interval import Interval
from rescore.store.database import Database, schema_names
from rescore.store.schema.tables import due as due_table
from rescore.store.schema.tables import pin as pin_table
from rescore.store.schema.tables import timetable as timetable_table

__all__ = ["DeclaredTimetable", "DueInterval", "Timetables"]


@dataclass(frozen=True)
class DueInterval:
    """An interval, and the moment by which its scores are due."""

    interval: Interval
    due_at: datetime


@dataclass(frozen=True)
class DeclaredTimetable:
    """What was last declared of a model: its schedule as text, and until when intervals are known.

    ``ends``: no interval follows the last one known.
    """

    schedule: str
    known_until: datetime
    ends: bool
    declared_at: datetime

    def reaches_far(self, now: datetime) -> bool:
        """Whether at least half of what was known ahead still is."""
        return self.known_until - now > (self.known_until - self.declared_at) / 2


class Timetables:
    """Which intervals of a model are due, and by when."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def declared(self, model: str) -> DeclaredTimetable | None:
        """What was last declared, None before the first time."""
        names = ("schedule", "known_until", "ends", "declared_at")
        query = select(*(timetable_table.c[name] for name in names)).where(timetable_table.c.model == model)
        with self._database.transaction() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else DeclaredTimetable(*row)

    def live_since(self, model: str) -> datetime | None:
        """When the model was first pinned: what ended before then was never due. None if it never was."""
        query = select(func.min(pin_table.c.pinned_at)).where(pin_table.c.model == model)
        with self._database.transaction() as connection:
            moment: datetime | None = connection.execute(query).scalar()
        return moment

    def declare(self, model: str, schedule: str, due: Sequence[DueInterval], *, ends: bool) -> None:
        """Say which intervals come, in place of what was declared before; what has ended stays as it was.

        Parameters
        ----------
        model : str
            The model.
        schedule : str
            What they follow from; who finds the same text need not declare again before they run out.
        due : sequence of DueInterval
            Ascending, without overlap.
        ends : bool
            Whether none follows the last of them.
        """
        with self._database.transaction() as connection:
            connection.execute(
                text(
                    f'SELECT "{schema_names(connection)[0]}".declare_timetable(:model, :schedule, :ends,'
                    " CAST(:starts AS timestamptz[]), CAST(:stops AS timestamptz[]),"
                    " CAST(:moments AS timestamptz[]))"
                ),
                {
                    "model": model,
                    "schedule": schedule,
                    "ends": ends,
                    "starts": [one.interval.start for one in due],
                    "stops": [one.interval.end for one in due],
                    "moments": [one.due_at for one in due],
                },
            )

    def of_model(self, model: str) -> list[DueInterval]:
        """All intervals that are or were due, in order."""
        query = select(due_table).where(due_table.c.model == model).order_by(due_table.c.interval_start)
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return [DueInterval(Interval(row.interval_start, row.interval_end), row.due_at) for row in rows]
