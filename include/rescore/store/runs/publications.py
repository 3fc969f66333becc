"""Publishing: one transaction after which consumers see a run's scores, or it never happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Row, func, select

from rescore.digest import TableDigest
from rescore.errors import DigestMismatchError, StoreUnavailableError
from rescore.interval import Interval
from rescore.shown_text import number_of
from rescore.store.database import Database, call, where_of
from rescore.store.records import Publication, RunHandle, RunReference, run_id_of
from rescore.store.runs.queries import publications_of, run_row
from rescore.store.runs.scores import digest_of, stored_batches
from rescore.store.schema.model_registration import score_layout
from rescore.store.schema.score_views import create_view_of_rows_once
from rescore.store.schema.view_handles import publication_current, publication_history

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg2.extensions
    import pyarrow as pa

    from rescore.store.schema.score_table import ScoreLayout

__all__ = ["Publications"]


class Publications:
    """What consumers see."""

    def __init__(self, database: Database, as_person: Database | None = None) -> None:
        self._database = database
        self._as_person = as_person or database

    def publish(
        self, run: RunReference, *, reason: str | None = None, released_by: str | None = None
    ) -> Publication:
        """Make a run's scores what consumers see of its interval.

        Read the staged rows back and digest them; then, in one short transaction: lock the claim, compare the
        fence, check row accounting, compare the digest and that of what made them, insert the publication.
        Publishing a run again changes nothing, and gives the publication it has.

        Parameters
        ----------
        run : str or RunHandle or Run
            A checked run; or one that is held or was stopped, released by a person with a reason.
        reason : str, optional
            Why it is published although its verdict is an outage, or it is held or stopped; shown
            beside the scores.
        released_by : str, optional
            The person who releases it; shown beside the scores.

        Raises
        ------
        StaleFenceError
            A later attempt has begun, or another run has claimed the interval.
        RowAccountingError
            extracted != scored + quarantined + rejected, or the counts are not those of the rows.
        DigestMismatchError
            The staged rows are not those that were staged.
        OutageError
            The verdict is an outage, and no reason is given.
        HeldError
            The run is held, and nobody releases it with a reason.
        StoreError
            The run has not been checked, or failed, or was stopped and nobody releases it.
        """
        by = self._database if released_by is None else self._as_person
        with by.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            published = _publication(connection, row)
            if published is not None:
                return published
            batches = _staged(connection, row)
        # Before the claim is locked: nobody waits for it, and no transaction idles. Bound scores lose rows
        # to deletions and erasures alone, which publishing refuses, and change in no other way.
        stored = batches and digest_of(*batches)
        with by.transaction() as connection:
            fence = run.fence if isinstance(run, RunHandle) else None
            if released_by is None:
                call(connection, "publish", row.run_id, fence, reason)
            else:
                call(connection, "release", row.run_id, fence, reason, released_by)
            _refuse_tampered(connection, run_row(connection, row.run_id), stored)
            found = _publication(connection, row)
            if found is None:
                raise AssertionError(row.run_id)
            return found

    def run_ids(
        self,
        model: str,
        *,
        interval: Interval | None = None,
        ended_in: Interval | None = None,
        last: int | None = None,
    ) -> list[str]:
        """The ids of the runs that consumers see now, by interval: nothing else is read.

        Parameters
        ----------
        model : str
            The model.
        interval : Interval, optional
            Only this one's.
        ended_in : Interval, optional
            Only of intervals that end within.
        last : int, optional
            Only of so many intervals, the latest.
        """
        current = publication_current.c
        bounds = (current.interval_start, current.interval_end)
        query = select(current.run_id).where(current.model == model)
        if interval is not None:
            query = query.where(bounds[0] == interval.start, bounds[1] == interval.end)
        if ended_in is not None:
            query = query.where(bounds[1] >= ended_in.start, bounds[1] < ended_in.end)
        query = query.order_by(*(bound.desc() for bound in bounds)).limit(last)
        with self._database.transaction() as connection:
            return list(connection.execute(query).scalars())[::-1]

    def of_model(self, model: str, interval: Interval | None = None) -> list[Publication]:
        """What consumers of the model saw and see, in the order of publication."""
        conditions = []
        if interval is not None:
            conditions = [
                publication_history.c.interval_start == interval.start,
                publication_history.c.interval_end == interval.end,
            ]
        with self._database.transaction() as connection:
            return publications_of(connection, [model], *conditions)

    def overlapping(self, model: str) -> list[Interval]:
        """What consumers see of intervals that begin before an earlier one has ended, in order.

        Claims refuse such intervals. A store that took another schedule before they did may have
        some, and consumers see the keys of the shared moments once for each interval.
        """
        current = publication_current.c
        bounds = (current.interval_start, current.interval_end)
        until = func.max(current.interval_end).over(order_by=bounds, rows=(None, -1)).label("until")
        seen = select(*bounds, until).where(current.model == model).subquery()
        query = select(seen).where(seen.c.until > seen.c.interval_start)
        query = query.order_by(seen.c.interval_start, seen.c.interval_end)
        with self._database.transaction() as connection:
            return [Interval(row.interval_start, row.interval_end) for row in connection.execute(query)]

    def view_of_rows_once(self, model: str) -> str:
        """The statement that makes a view of each key and event time once, as published last.

        What was published stays as it is: consumers of a model whose intervals overlap read this view.

        Raises
        ------
        NotFoundError
            The model is not registered.
        """
        with self._database.transaction() as connection:
            layout = score_layout(connection, model)
            view = create_view_of_rows_once(layout, self._database.consumer_schema)
            driver = cast("psycopg2.extensions.connection", connection.connection.dbapi_connection)
            return view.as_string(driver)


def _staged(connection: Connection, row: Row[Any]) -> tuple[ScoreLayout, Iterator[pa.RecordBatch]] | None:
    """What there is of a run's scores, in the types that they were digested in; None before it has any."""
    if row.score_digest is None:
        return None
    layout = score_layout(connection, row.model)
    layout = layout.as_digested(TableDigest.from_dict(row.score_digest).columns)
    interval = Interval(row.interval_start, row.interval_end)
    return layout, stored_batches(connection, layout, row.run_id, interval)


def _refuse_tampered(connection: Connection, row: Row[Any], stored: TableDigest | None) -> None:
    staged = TableDigest.from_dict(row.score_digest)
    if stored is None:
        raise StoreUnavailableError(
            f"run {row.run_id} got its scores while it was about to be published",
            where=_where(row),
            fix="publish it again",
        )
    layout = score_layout(connection, row.model)
    if stored != staged:
        raise DigestMismatchError(
            f"the stored scores of run {row.run_id} are not those that were staged",
            where=f"{where_of(connection, layout.scores_table)}, {_where(row)}",
            expected=f"{staged.root}, {number_of(staged.rows, 'row')}",
            examples=staged.differences(stored),
            fix="find out who changed them; then score the interval again",
            data={"expected": staged.root, "got": stored.root, "run_id": row.run_id},
        )


def _publication(connection: Connection, row: Row[Any]) -> Publication | None:
    found = publications_of(connection, [row.model], publication_history.c.run_id == row.run_id)
    return found[0] if found else None


def _where(row: Row[Any]) -> str:
    return f"{row.model} {Interval(row.interval_start, row.interval_end)}"
