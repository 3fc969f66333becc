"""Publishing: one transaction after which consumers see a run's scores, or it never happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Row, func, select

from rescore.digest import TableDigest
from rescore.errors import DigestMismatchError
from rescore.interval import Interval
from rescore.store.database import Database, call, where_of
from rescore.store.records import Publication, RunHandle, RunReference, run_id_of
from rescore.store.runs.queries import publications_of, run_row
from rescore.store.runs.scores import stored_digest
from rescore.store.schema.model_registration import score_layout
from rescore.store.schema.score_views import create_view_of_rows_once
from rescore.store.schema.view_handles import publication_current, publication_history

if TYPE_CHECKING:
    import psycopg2.extensions

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

        In one transaction: lock the claim, compare the fence, check row accounting, read the staged
        rows back, compare their digest and that of what made them, insert the publication. Publishing a
        run again changes nothing, and gives the publication it has.

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
            fence = run.fence if isinstance(run, RunHandle) else None
            if released_by is None:
                call(connection, "publish", row.run_id, fence, reason)
            else:
                call(connection, "release", row.run_id, fence, reason, released_by)
            _refuse_tampered(connection, row)
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


def _refuse_tampered(connection: Connection, row: Row[Any]) -> None:
    layout = score_layout(connection, row.model)
    interval = Interval(row.interval_start, row.interval_end)
    staged = TableDigest.from_dict(row.score_digest)
    stored = stored_digest(connection, layout.as_digested(staged.columns), row.run_id, interval)
    if stored != staged:
        raise DigestMismatchError(
            f"the stored scores of run {row.run_id} are not those that were staged",
            where=f"{where_of(connection, layout.scores_table)}, {_where(row)}",
            expected=f"{staged.root}, {staged.rows:,} rows",
            examples=staged.differences(stored),
            fix="find out who changed them; then score the interval again",
            data={"expected": staged.root, "got": stored.root, "run_id": row.run_id},
        )


def _publication(connection: Connection, row: Row[Any]) -> Publication | None:
    found = publications_of(connection, [row.model], publication_history.c.run_id == row.run_id)
    return found[0] if found else None


def _where(row: Row[Any]) -> str:
    return f"{row.model} {Interval(row.interval_start, row.interval_end)}"
