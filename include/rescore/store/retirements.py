"""Models that score no more, by whose word and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import distinct_on

from rescore.store.database import Database, call
from rescore.store.schema.tables import retirement as retirement_table

__all__ = ["Retirement", "Retirements"]


@dataclass(frozen=True)
class Retirement:
    """Who retired a model, why, and when."""

    model: str
    who: str
    why: str
    decided_at: datetime


class Retirements:
    """Which models are retired: nothing of theirs is due, and no run of theirs begins."""

    def __init__(self, database: Database, as_person: Database, as_owner: Database) -> None:
        self._database = database
        self._as_person = as_person
        self._as_owner = as_owner

    def retire(self, model: str, *, who: str, why: str) -> None:
        """Let a model score no more.

        Raises
        ------
        NotFoundError
            The store knows no such model.
        StoreError
            It is not said who or why, it is retired already, or the login may not act in a person's name.
        """
        with self._as_person.transaction() as connection:
            call(connection, "retire_model", model, who, why)

    def take_back(self, model: str) -> bool:
        """Let a retired model score again; gives whether it was retired.

        Raises
        ------
        StoreError
            The login is not the store's owner.
        """
        if model not in self.current():
            return False
        with self._as_owner.transaction() as connection:
            login = connection.exec_driver_sql("SELECT session_user").scalar_one()
            row = {"model": model, "retired": False, "who": login, "why": "registered again"}
            connection.execute(insert(retirement_table).values(row))
        return True

    def current(self) -> dict[str, Retirement]:
        """The models that are retired now."""
        columns = retirement_table.c
        query = select(retirement_table).ext(distinct_on(columns.model))
        query = query.order_by(columns.model, columns.retirement_id.desc())
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return {
            row.model: Retirement(row.model, row.who, row.why, row.decided_at) for row in rows if row.retired
        }
