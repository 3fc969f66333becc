"""Legal holds: nothing that one covers is deleted until a person lifts it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from rescore.interval import Interval
from rescore.store.database import Database, call
from rescore.store.schema.removal_tables import hold_lifted as lifted_table
from rescore.store.schema.removal_tables import legal_hold as hold_table

__all__ = ["Holds", "LegalHold"]


@dataclass(frozen=True)
class LegalHold:
    """A hold; ``model`` or ``interval`` None: any. ``lifted_at`` is None while it holds."""

    hold_id: int
    model: str | None
    interval: Interval | None
    placed_by: str
    reason: str
    placed_at: datetime
    lifted_by: str | None = None
    lifted_at: datetime | None = None

    def covers(self, model: str, interval: Interval) -> bool:
        """Whether it keeps what is of this model and interval."""
        if self.lifted_at is not None or self.model not in (None, model):
            return False
        return self.interval is None or (
            self.interval.start < interval.end and interval.start < self.interval.end
        )


class Holds:
    """Who wants what kept, and why."""

    def __init__(self, database: Database, as_person: Database | None = None) -> None:
        self._database = database
        self._as_person = as_person or database

    def place(
        self, *, who: str, reason: str, model: str | None = None, interval: Interval | None = None
    ) -> int:
        """Keep all of a model and interval, whatever its retention says.

        Returns
        -------
        int
            The hold's id.

        Raises
        ------
        StoreError
            It is not said who wants it, or why.
        """
        start, end = (interval.start, interval.end) if interval is not None else (None, None)
        with self._as_person.transaction() as connection:
            (hold_id,) = call(connection, "place_hold", model, start, end, who, reason)
        return int(hold_id)

    def lift(self, hold_id: int, *, who: str, reason: str) -> None:
        """Let retention act again on what the hold covers.

        Raises
        ------
        NotFoundError
            No such hold, or it was lifted before.
        StoreError
            It is not said who lifts it, or why.
        """
        with self._as_person.transaction() as connection:
            call(connection, "lift_hold", hold_id, who, reason)

    def all(self) -> list[LegalHold]:
        """All holds, those that were lifted, too, in the order in which they were placed."""
        query = (
            select(hold_table, lifted_table.c.lifted_by, lifted_table.c.lifted_at)
            .join(lifted_table, lifted_table.c.hold_id == hold_table.c.hold_id, isouter=True)
            .order_by(hold_table.c.hold_id)
        )
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return [
            LegalHold(
                row.hold_id,
                row.model,
                None if row.interval_start is None else Interval(row.interval_start, row.interval_end),
                row.placed_by,
                row.reason,
                row.placed_at,
                row.lifted_by,
                row.lifted_at,
            )
            for row in rows
        ]
