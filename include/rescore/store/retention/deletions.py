"""What was deleted: a row for each thing; a run's rows are deleted together with their row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select

from rescore.store.database import Database, call
from rescore.store.schema.removal_tables import deletion as deletion_table

__all__ = ["Deletion", "Deletions"]


@dataclass(frozen=True)
class Deletion:
    """One thing that was deleted: how many rows or bytes, by which rule, by whom and when.

    ``subject`` is the content digest of a frozen table, the id of a run whose rows went, or a folder.
    """

    deletion_id: int
    model: str | None
    what: str
    subject: str
    rows: int | None
    bytes: int | None
    rule: str
    done_by: str
    at: datetime

    def __str__(self) -> str:
        return f"deleted on {self.at:%Y-%m-%d} ({self.rule})"


class Deletions:
    """What was deleted, by which rule."""

    def __init__(self, database: Database, as_person: Database | None = None) -> None:
        self._database = database
        self._as_person = as_person or database

    def record_file(
        self,
        *,
        model: str | None,
        what: Literal["frozen input", "training snapshot", "cached file", "environment"],
        subject: str,
        rule: str,
        done_by: str,
        rows: int | None = None,
        size: int | None = None,
    ) -> None:
        """Note that a file, or a folder of files, of ``size`` bytes was deleted."""
        with self._as_person.transaction() as connection:
            call(connection, "note_deletion", model, what, subject, rows, size, rule, done_by)

    def delete_rows(self, run_id: str, *, rule: str, done_by: str) -> int:
        """Delete a run's scores and its rows without a score, and note it: both or neither.

        A run that never ended is closed as failed before: whoever still works on it can't publish it.

        Returns
        -------
        int
            How many rows were deleted.

        Raises
        ------
        NotFoundError
            No such run.
        StoreError
            The run's publication is what consumers see, the run waits for a person, or a legal hold
            covers it.
        """
        with self._as_person.transaction() as connection:
            (deleted,) = call(connection, "delete_rows", run_id, rule, done_by)
        return int(deleted)

    def all(self, model: str | None = None) -> list[Deletion]:
        """All deletions, oldest first; only a model's."""
        query = select(deletion_table).order_by(deletion_table.c.deletion_id)
        if model is not None:
            query = query.where(deletion_table.c.model == model)
        with self._database.transaction() as connection:
            return [Deletion(**row._mapping) for row in connection.execute(query)]

    def last_of(self, subjects: Iterable[str]) -> dict[str, Deletion]:
        """The last deletion of each subject that was ever deleted."""
        query = select(deletion_table).where(deletion_table.c.subject.in_(list(subjects)))
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(deletion_table.c.deletion_id)).all()
        return {row.subject: Deletion(**row._mapping) for row in rows}
