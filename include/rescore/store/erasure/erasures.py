"""Erasures in the store: begun, their tombstones, done; and the rows of people in our own tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from psycopg2 import sql
from psycopg2.extras import Json
from sqlalchemy import Connection, delete, insert, select

from rescore.digest import TableDigest
from rescore.errors import StoreError, StoreUnavailableError
from rescore.store.database import Database, call, run_sql, store_table
from rescore.store.erasure.key_rows import delete_keys, forget_keys, keys_of, rows_of
from rescore.store.erasure.redaction import NamingReport, redact_reports, reports_naming
from rescore.store.erasure.tombstone import Tombstone, last_tombstones, leaves_without
from rescore.store.records import ScoredRun
from rescore.store.runs.queries import run_row
from rescore.store.runs.scores import stored_batches
from rescore.store.schema.model_registration import has_tables, score_layout
from rescore.store.schema.removal_tables import deletion as deletion_table
from rescore.store.schema.removal_tables import erasure as erasure_table
from rescore.store.schema.removal_tables import erasure_done as done_table
from rescore.store.schema.removal_tables import freezing as freezing_table
from rescore.store.schema.removal_tables import tombstone as tombstone_table

__all__ = ["Erasure", "Erasures"]


@dataclass(frozen=True)
class Erasure:
    """A request: whom (by pseudonym), on what ground, by whom; ``done_at`` is None before its end."""

    erasure_id: int
    pseudonym: str
    ground: str
    asked_by: str
    begun_at: datetime
    done_at: datetime | None
    report: Mapping[str, Any] | None


class Erasures:
    """Who was erased, without saying who."""

    def __init__(self, database: Database, as_owner: Database | None = None) -> None:
        self._database = database
        self._as_owner = as_owner or database

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other erasure begins while the block runs: each builds on the tombstones before it.

        Raises
        ------
        StoreUnavailableError
            Another erasure is under way.
        """
        with self._as_owner.session_lock("erasure") as ours:
            if not ours:
                raise StoreUnavailableError(
                    "another erasure is under way",
                    where=self._as_owner.where,
                    expected="one at a time: each builds on what the one before it left",
                    fix="try again when it has ended",
                )
            yield

    def begin(self, pseudonym: str, *, ground: str, asked_by: str) -> Erasure:
        """Begin an erasure, or go on with one of the same pseudonym that has not come to its end.

        Raises
        ------
        StoreError
            It is not said on what ground, or by whom.
        """
        if not ground.strip() or not asked_by.strip():
            raise StoreError(
                "the erasure does not say on what ground, or who asks for it",
                expected="a ground (a law's article, a ticket) and a name",
                fix="give both; they are kept for ever",
            )
        with self._as_owner.transaction() as connection:
            under_way = (erasure_table.c.pseudonym == pseudonym, done_table.c.done_at.is_(None))
            known = _read(connection, *under_way)
            if known:
                return known[0]
            values = {"pseudonym": pseudonym, "ground": ground, "asked_by": asked_by}
            connection.execute(insert(erasure_table).values(values))
            return _read(connection, *under_way)[0]

    def finish(self, erasure_id: int, report: Mapping[str, Any]) -> None:
        """Note that an erasure came to its end; noting it again changes nothing."""
        with self._as_owner.transaction() as connection:
            if not _read(connection, done_table.c.erasure_id == erasure_id):
                connection.execute(insert(done_table).values(erasure_id=erasure_id, report=dict(report)))

    def all(self) -> list[Erasure]:
        """All erasures, in their order."""
        with self._database.transaction() as connection:
            return _read(connection)

    def of_frozen(self) -> dict[str, Tombstone]:
        """The last tombstone of each frozen table that lost rows, by the table's digest."""
        return self._last("frozen")

    def of_scores(self) -> dict[str, Tombstone]:
        """The last tombstone of each run's scores that lost rows, by the run's id."""
        return self._last("scores")

    def end_unscored(self, erasure: Erasure, models: Iterable[str], digest: str) -> list[str]:
        """End the runs that were to make scores of a frozen table; what they set aside and staged goes.

        Parameters
        ----------
        erasure : Erasure
            Why.
        models : iterable of str
            Whose runs.
        digest : str
            Of the frozen table.

        Returns
        -------
        list of str
            Ids of the runs.

        Raises
        ------
        KeptError
            A legal hold covers one.
        StoreUnavailableError
            An attempt at one writes, and goes on to longer than the lock timeout; try again.
        """
        function = sql.SQL("SELECT e::text FROM {}(%s, %s, %s, %s) e")
        with self._as_owner.transaction() as connection:
            query = function.format(store_table(connection, "end_unscored"))
            values = (Json([*models]), str(digest), _rule(erasure), erasure.asked_by)
            return [str(run) for (run,) in run_sql(connection, query, values)]

    def ended(self, erasure: Erasure) -> list[str]:
        """The runs that an erasure ended with :meth:`end_unscored`."""
        return self._noted(_rule(erasure))

    def strays(self, erasure: Erasure) -> list[str]:
        """The files that an erasure deleted with :meth:`delete_stray`."""
        return self._noted(_rule_of_strays(erasure))

    def delete_stray(self, erasure: Erasure, digest: str, *, size: int, delete: Callable[[], object]) -> None:
        """Note that a file that no frozen table is read from is deleted, and delete it: both or neither.

        Raises
        ------
        KeptError
            It was recorded meanwhile, or a legal hold covers it; nothing was deleted.
        """
        rule = _rule_of_strays(erasure)
        with self._as_owner.transaction() as connection:
            call(connection, "note_stray_deletion", digest, size, rule, erasure.asked_by, None)
            delete()

    def _noted(self, rule: str) -> list[str]:
        query = select(deletion_table.c.subject).where(deletion_table.c.rule == rule)
        with self._database.transaction() as connection:
            return list(connection.execute(query.order_by(deletion_table.c.deletion_id)).scalars())

    def bury_frozen(
        self,
        erasure: Erasure,
        digest: str,
        tombstone: Tombstone,
        count: int,
        *,
        after: Tombstone | None,
        models: Iterable[str],
        searched: Iterable[str],
    ) -> bool:
        """Note that rows of a frozen table are gone; from then on no score is made of it.

        Parameters
        ----------
        erasure : Erasure
            Why.
        digest, tombstone : str and Tombstone
            Of which table, and what remains of it; the archive has that already.
        count : int
            How many rows are gone.
        after : Tombstone or None
            The table's last tombstone, on which this one builds.
        models : iterable of str
            Whose runs may have scored it.
        searched : iterable of str
            Ids of the runs whose rows have been erased.

        Returns
        -------
        bool
            False, and nothing is noted, if a run has not been searched: another one began meanwhile.

        Raises
        ------
        KeptError
            A legal hold covers it, by any of its names.
        StoreUnavailableError
            It lost other rows meanwhile; try again.
        """
        names = sql.SQL("SELECT s.model, s.interval_start, s.interval_end FROM {}(%s) s")
        with self._as_owner.transaction() as connection:
            call(connection, "lock_name", "holds")
            for name in run_sql(connection, names.format(store_table(connection, "names_of")), (digest,)):
                call(connection, "refuse_held", *name, f"frozen table {digest}")
            (free,) = call(connection, "may_bury", [*models], str(digest), [*searched])
            last = last_tombstones(connection, "frozen", digest).get(digest)
            if last != after:
                raise StoreUnavailableError(
                    f"frozen table {digest} lost other rows while this erasure worked on it",
                    where=self._as_owner.where,
                    fix="erase again: it builds on what is left",
                )
            (known,) = call(connection, "erased_since_frozen", str(digest))
            # A crash may have come after the tombstone: only the file is left to delete.
            if free and not (known and last is not None and last.erased == tombstone.erased):
                _bury(connection, erasure, "frozen", digest, tombstone, count)
        return bool(free)

    def counts(self, erasure: Erasure) -> dict[tuple[str, str], int]:
        """How many rows an erasure took, by kind (``frozen`` or ``scores``) and digest or run."""
        query = select(tombstone_table.c.what, tombstone_table.c.subject, tombstone_table.c.erased)
        query = query.where(tombstone_table.c.erasure_id == erasure.erasure_id)
        found: dict[tuple[str, str], int] = {}
        with self._database.transaction() as connection:
            for row in connection.execute(query):
                found[row.what, row.subject] = found.get((row.what, row.subject), 0) + row.erased
        return found

    def leftovers(self) -> set[str]:
        """Digests of tables that a later erasure replaced: no file of them may be left."""
        query = select(tombstone_table.c.remaining).where(tombstone_table.c.what == "frozen")
        with self._database.transaction() as connection:
            every = set(connection.execute(query).scalars())
        return every - {tombstone.remaining for tombstone in self.of_frozen().values()}

    def keys_of(self, run: ScoredRun, subject: Mapping[str, str]) -> pa.Table | None:
        """The keys of a person's rows of a run; None where the key does not say whose a row is."""
        with self._database.transaction() as connection:
            layout = score_layout(connection, run.model)
            if not set(subject) <= set(layout.row_schema.names):
                return None
            return keys_of(connection, layout, run.run_id, subject)

    def erase_rows(self, erasure: Erasure, run: ScoredRun, keys: pa.Table) -> int:
        """Delete a run's scores and excluded rows of these keys, with the tombstone; all or none.

        Parameters
        ----------
        erasure : Erasure
            Why.
        run : ScoredRun
            Whose rows.
        keys : pyarrow.Table
            The rows; of their columns the key and the event time are read.

        Returns
        -------
        int
            How many rows were deleted.

        Raises
        ------
        KeptError
            A legal hold covers the run.
        """
        # Before anything is locked: a large run takes long to read. Its scores go by erasures, one at a time,
        # and by deletions, which take all of them.
        with self._as_owner.transaction() as connection:
            layout = score_layout(connection, run.model)
            digest = TableDigest.from_dict(run_row(connection, run.run_id).score_digest)
            before = last_tombstones(connection, "scores", run.run_id).get(run.run_id)
            digested = layout.as_digested(digest.columns)
            batches = stored_batches(connection, digested, run.run_id)
        erased, without_score = (before.erased, before.without_score) if before else ([], [])
        names = layout.row_schema.names
        gone, touched = leaves_without(digested.score_schema, batches, digest, erased, rows_of(keys, names))
        with self._as_owner.transaction() as connection:
            call(connection, "lock_name", "holds")  # before the run, as each deletion
            lock = sql.SQL("SELECT FROM {} WHERE run_id = %s FOR UPDATE")
            run_sql(connection, lock.format(store_table(connection, "run")), (run.run_id,))
            call(connection, "refuse_held", run.model, run.interval.start, run.interval.end, _rows_of(run))
            scores = delete_keys(connection, layout.scores_table, run.run_id, keys, names)
            excluded = delete_keys(
                connection, layout.excluded_table, run.run_id, keys, names, giving="position"
            )
            if len(scores) != len(gone):
                raise StoreUnavailableError(
                    f"run {run.run_id} lost rows while they were read",
                    where=self._as_owner.where,
                    fix="erase again: it builds on what is left",
                )
            deleted = len(scores) + len(excluded)
            if not deleted:
                return 0
            call(connection, "lock_name", f"keys {run.model}")
            forget_keys(connection, layout, keys)
            tombstone = Tombstone(
                original=digest.to_dict(),
                erased=sorted([*erased, *gone]),
                touched=touched,
                without_score=sorted({*without_score, *map(int, excluded)}),
            )
            _bury(connection, erasure, "scores", run.run_id, tombstone, deleted)
        return deleted

    def forget_keys(self, model: str, rows: pa.Table) -> None:
        """Forget the keys of these rows that no score of the model has any more.

        Parameters
        ----------
        model : str
            The model; one without tables, or whose key is not in the rows, has no such keys.
        rows : pyarrow.Table
            The rows; of their columns the key is read.
        """
        with self._as_owner.transaction() as connection:
            if not rows.num_rows or not has_tables(connection, model):
                return
            layout = score_layout(connection, model)
            if set(layout.key_names) <= set(rows.schema.names):
                call(connection, "lock_name", f"keys {model}")
                forget_keys(connection, layout, rows)

    def drop_staged(self, model: str) -> None:
        """Drop what attempts at a model staged and can finish no more: whose rows it is, nobody asks.

        Raises
        ------
        StoreUnavailableError
            Somebody uses a table for longer than the lock timeout: nothing was dropped, try again.
        """
        with self._as_owner.transaction() as connection:
            call(connection, "drop_all_staged", model)

    def redact(self, erasure: Erasure, named: Mapping[str, Iterable[str]]) -> int:
        """Replace a person's values in reports; see :func:`redact_reports`."""
        return redact_reports(self._as_owner, erasure.erasure_id, named)

    def naming(self, named: Mapping[str, Iterable[str]]) -> list[NamingReport]:
        """Reports that name a person, by the same values."""
        return reports_naming(self._database, named)

    def _last(self, what: str) -> dict[str, Tombstone]:
        with self._database.transaction() as connection:
            return last_tombstones(connection, what)


def _read(connection: Connection, *conditions: Any) -> list[Erasure]:
    query = select(erasure_table, done_table.c.done_at, done_table.c.report)
    joined = query.join(done_table, done_table.c.erasure_id == erasure_table.c.erasure_id, isouter=True)
    rows = connection.execute(joined.where(*conditions).order_by(erasure_table.c.erasure_id))
    return [Erasure(**row._mapping) for row in rows]


def _rule(erasure: Erasure) -> str:
    return f"rows of its input were erased (erasure {erasure.erasure_id})"


def _rule_of_strays(erasure: Erasure) -> str:
    return f"it had rows of an erased person (erasure {erasure.erasure_id})"


def _rows_of(run: ScoredRun) -> str:
    return f"the rows of run {run.run_id}"


def _bury(
    connection: Connection, erasure: Erasure, what: str, subject: str, tombstone: Tombstone, count: int
) -> None:
    values = {
        "erasure_id": erasure.erasure_id,
        "what": what,
        "subject": subject,
        "erased": count,
        "remaining": tombstone.remaining,
        "document": tombstone.to_dict(),
    }
    connection.execute(insert(tombstone_table).values(values))
    # What is left has a name from here on.
    connection.execute(delete(freezing_table).where(freezing_table.c.digest == tombstone.remaining))
