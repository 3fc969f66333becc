"""What was deleted: a row for each thing; a run's rows are deleted together with their row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Select, func, select, union_all

from rescore.store.database import Database, call
from rescore.store.schema.removal_tables import deletion as deletion_table
from rescore.store.schema.removal_tables import freezing as freezing_table
from rescore.store.schema.removal_tables import tombstone as tombstone_table

__all__ = ["Deletion", "Deletions", "deleted_runs"]


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


_OF_RUNS = ("scores", "staged rows")


def deleted_runs() -> Select[str]:
    """The query for the ids of runs whose rows were deleted."""
    return select(deletion_table.c.subject).where(deletion_table.c.what.in_(_OF_RUNS))


class Deletions:
    """What was deleted, by which rule."""

    def __init__(self, database: Database, as_person: Database | None = None) -> None:
        self._database = database
        self._as_person = as_person or database

    def delete_folder(
        self,
        *,
        model: str | None,
        what: Literal["cached file", "environment"],
        subject: str,
        rule: str,
        done_by: str,
        delete: Callable[[], object],
        rows: int | None = None,
        size: int | None = None,
    ) -> None:
        """Note that a folder of this machine with ``size`` bytes is deleted, and delete it: both or neither.

        ``subject`` is its path. Who may not note it deletes nothing.
        """
        with self._as_person.transaction() as connection:
            call(connection, "note_deletion", model, what, subject, rows, size, rule, done_by)
            delete()

    def delete_table(
        self,
        *,
        model: str,
        what: Literal["frozen input", "training snapshot"],
        digest: str,
        rule: str,
        done_by: str,
        last_used: datetime,
        delete: Callable[[], object],
        rows: int | None = None,
        size: int | None = None,
    ) -> None:
        """Note that a frozen table is deleted, and delete its files: both or neither.

        Until both are done nobody places a hold, records the same rows as frozen again, or begins an
        attempt at a run with them. After a crash in between the files are gone and it is not noted.

        Parameters
        ----------
        model, what, digest, rule, done_by
            What is deleted, by which rule, by whom.
        last_used : datetime
            When it was last frozen or tried to be scored, as far as the caller knows.
        delete : callable
            Deletes the files.
        rows, size : int, optional
            How many rows and bytes.

        Raises
        ------
        KeptError
            A legal hold covers it, or it was used after ``last_used``; nothing was deleted.
        """
        with self._as_person.transaction() as connection:
            call(connection, "note_table_deletion", model, what, digest, rows, size, last_used, rule, done_by)
            delete()

    def delete_rows(
        self, run_id: str, *, rule: str, done_by: str, last_progress: datetime | None = None
    ) -> int:
        """Delete a run's scores and its rows without a score, and note it: both or neither.

        A run that never ended is closed as failed before: whoever still works on it can't publish it.

        Parameters
        ----------
        run_id, rule, done_by
            Whose rows, by which rule, by whom.
        last_progress : datetime, optional
            When the run entered its state or was tried last, as far as the caller knows.

        Returns
        -------
        int
            How many rows were deleted.

        Raises
        ------
        NotFoundError
            No such run.
        KeptError
            The run's publication is what consumers see, the run waits for a person, went on after
            ``last_progress``, or a legal hold covers it.
        """
        with self._as_person.transaction() as connection:
            (deleted,) = call(connection, "delete_rows", run_id, last_progress, rule, done_by)
        return int(deleted)

    def tend_partitions(self, model: str) -> list[str]:
        """Make a model's partition of scores for the month to come; drop those over for a month and empty.

        Returns
        -------
        list of str
            The names of those that were dropped.

        Raises
        ------
        StoreUnavailableError
            Somebody has read or written the model's scores for longer than two seconds; nothing was dropped.
        """
        with self._as_person.transaction() as connection:
            (dropped,) = call(connection, "tend_partitions", model)
        return list(dropped)

    def withdraw_package(
        self,
        model: str,
        version: str,
        *,
        reason: str,
        done_by: str,
        size: int,
        delete: Callable[[], object],
    ) -> None:
        """Note that a package is withdrawn, and delete its file: both or neither; again is nothing.

        Raises
        ------
        NotFoundError
            No such package.
        KeptError
            It is pinned, or a legal hold covers what it was trained on.
        """
        with self._as_person.transaction() as connection:
            call(connection, "withdraw_package", model, version, size, reason, done_by)
            delete()

    def strays(self, there: Iterable[str]) -> dict[str, datetime]:
        """Tables among those of the archive that are of no use, and since when.

        Whoever put one there was killed before it was recorded, or an erasure took rows out of it. Files that
        this store knows nothing of are not among them: another one may use the same archive.

        Parameters
        ----------
        there : iterable of str
            Content digests of the archive's tables.
        """
        known = union_all(
            select(freezing_table.c.digest, freezing_table.c.at),
            *(
                select(column.label("digest"), tombstone_table.c.at).where(tombstone_table.c.what == "frozen")
                for column in (tombstone_table.c.subject, tombstone_table.c.remaining)
            ),
        ).subquery()
        query = (
            select(known.c.digest, func.max(known.c.at).label("since"))
            .where(known.c.digest.in_([*there]))
            .group_by(known.c.digest)
        )
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
            return {row.digest: row.since for row in rows if call(connection, "is_stray", row.digest)[0]}

    def delete_stray(
        self,
        digest: str,
        *,
        since: datetime,
        rule: str,
        done_by: str,
        size: int,
        delete: Callable[[], object],
    ) -> None:
        """Note that a stray is deleted, and delete its files: both or neither.

        ``since`` is what :meth:`strays` gave: one that somebody freezes again since then is left.

        Raises
        ------
        KeptError
            It was recorded meanwhile, or a legal hold covers it; nothing was deleted.
        """
        with self._as_person.transaction() as connection:
            call(connection, "note_stray_deletion", digest, size, rule, done_by, since)
            delete()

    def all(self, model: str | None = None) -> list[Deletion]:
        """All deletions, oldest first; only a model's."""
        query = select(deletion_table).order_by(deletion_table.c.deletion_id)
        if model is not None:
            query = query.where(deletion_table.c.model == model)
        with self._database.transaction() as connection:
            return [Deletion(**row._mapping) for row in connection.execute(query)]

    def of_runs(self, run_ids: Iterable[str]) -> dict[str, Deletion]:
        """The last deletion of the rows of each run that lost any."""
        return self._last(run_ids, _OF_RUNS)

    def of_tables(self, digests: Iterable[str]) -> dict[str, Deletion]:
        """The last deletion of each frozen table that was ever deleted."""
        return self._last(digests, ("frozen input", "training snapshot"))

    def of_packages(self, digests: Iterable[str]) -> dict[str, Deletion]:
        """The withdrawal of each package, by the sha256 of its file, that was withdrawn."""
        return self._last(digests, ("package",))

    def _last(self, subjects: Iterable[str], what: Iterable[str]) -> dict[str, Deletion]:
        query = select(deletion_table).where(
            deletion_table.c.subject.in_(list(subjects)), deletion_table.c.what.in_(list(what))
        )
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(deletion_table.c.deletion_id)).all()
        return {row.subject: Deletion(**row._mapping) for row in rows}
