"""When retraining was asked for without a person: what keeps it from being asked for in a loop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from rescore.interval import parse_moment
from rescore.store.database import Database, call
from rescore.store.schema.tables import retraining as retraining_table

__all__ = ["Retraining", "Retrainings"]


@dataclass(frozen=True)
class Retraining:
    """One request for a training.

    ``as_of`` is the moment whose knowledge made it due, ``asked_at`` when that was noticed; they lie
    far apart in a backfill. ``asked_by`` is the task that asked.
    """

    retraining_id: int
    model: str
    as_of: datetime
    reason: str
    asked_by: str
    asked_at: datetime


class Retrainings:
    """How often retraining was asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask_for(self, model: str, as_of: datetime, *, reason: str, asked_by: str, every: timedelta) -> bool:
        """Record a request, unless there is one of less than ``every`` before ``as_of`` or of later.

        Of any number that ask at once one is recorded. Who asks again for the same moment (a retried
        task) gets the same answer.

        Returns
        -------
        bool
            Whether the request stands.
        """
        as_of = parse_moment(as_of, name="as_of")
        with self._database.transaction() as connection:
            (stands,) = call(connection, "ask_for_retraining", model, as_of, reason, asked_by, every)
        return bool(stands)

    def of_model(self, model: str) -> list[Retraining]:
        """All requests of the model, by the moment at which they were due."""
        query = select(retraining_table).where(retraining_table.c.model == model)
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(retraining_table.c.as_of)).all()
        return [Retraining(**row._mapping) for row in rows]
