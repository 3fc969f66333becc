"""Scores: staged under a run's id, invisible to consumers, and read back as the same table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import psycopg2.extensions
import pyarrow as pa
from psycopg2 import sql
from sqlalchemy import Connection

from rescore.digest import TableDigest, TableHasher
from rescore.errors import StoreError
from rescore.interval import Interval
from rescore.store.binary_copy import copy_batches, query_batches
from rescore.store.database import Database, address_of, call, run_sql, store_table
from rescore.store.records import RunHandle, RunReference, run_id_of
from rescore.store.runs.queries import run_row
from rescore.store.runs.score_stream import ScoreStream
from rescore.store.schema.model_registration import score_layout
from rescore.store.schema.score_table import ScoreLayout

__all__ = ["Scores", "digest_of", "score_stream", "stored_batches", "stored_scores"]


class Scores:
    """Scores, staged and published."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stage(
        self,
        run: RunHandle,
        scores: pa.Table | Iterable[pa.RecordBatch],
        *,
        package_version: str,
        package_sha256: str,
        environment: Mapping[str, Any] | None = None,
    ) -> TableDigest:
        """Write a run's scores, all or none; record them, and what made them, by one digest.

        Staging the same table again changes nothing. Consumers see nothing before it is published.

        Parameters
        ----------
        run : RunHandle
            An open run of a model that has tables (``models.ensure``).
        scores : pyarrow.Table, or iterable of pyarrow.RecordBatch
            Key columns, event time, ``score`` (float64), unless a regression ``label``, and the declared
            probabilities; ordered by key, as extraction orders (text by its UTF-8 bytes). Batches are
            written as they come, and none is held.
        package_version, package_sha256 : str
            The package that made them.
        environment : mapping, optional
            The numeric environment that it ran in; default: the claim's stays.

        Returns
        -------
        TableDigest
            What reading back must give.

        Raises
        ------
        StaleFenceError
            A later attempt has begun.
        StoreError
            Other columns, rows out of order or twice, an event time outside the interval, or the run has
            other scores already.
        """
        run_id = run.run_id
        stream = score_stream(self._database, run_id)
        batches = stream.checked(scores.to_batches() if isinstance(scores, pa.Table) else scores)
        with self._database.transaction() as connection:
            (staged,) = call(connection, "stage_begin", run_id, run.fence)
        if staged is None:  # the run has scores: these, or finishing says so
            for _ in batches:
                pass
        else:
            with self._database.transaction() as connection:
                copy_batches(connection, store_table(connection, staged), stream.schema, batches)
        digest = stream.digest()
        with self._database.transaction() as connection:
            made_by = (package_version, package_sha256)
            call(connection, "stage_finish", run_id, run.fence, *made_by, digest.to_dict(), environment)
        return digest

    def of_run(self, run: RunReference) -> pa.Table:
        """A run's staged or published scores, ordered by key: the very table that was staged.

        Raises
        ------
        NotFoundError
            No such run.
        """
        with self._database.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            layout = score_layout(connection, row.model)
            if row.score_digest is not None:
                layout = layout.as_digested(TableDigest.from_dict(row.score_digest).columns)
            interval = Interval(row.interval_start, row.interval_end)
            batches = stored_batches(connection, layout, row.run_id, interval)
        return pa.Table.from_batches(batches, schema=layout.score_schema)

    def values_of_run(self, run: RunReference) -> npt.NDArray[np.float64]:
        """A run's staged or published scores alone, shape (n_rows,), ordered by key; no other column is read.

        They are not proved: publishing digests all that stands in the table.

        Raises
        ------
        NotFoundError
            No such run.
        """
        return np.concatenate([np.empty(0), *(one.to_numpy() for one in self._column(run, "score"))])

    def named_of_run(self, run: RunReference) -> npt.NDArray[np.object_]:
        """The labels that go with :meth:`values_of_run`: of each row the class that its score is of."""
        # Each text is one object a batch: a million rows name a few classes.
        read = (one.dictionary_encode() for one in self._column(run, "label"))
        texts = [one.dictionary.to_numpy(zero_copy_only=False)[one.indices.to_numpy()] for one in read]
        return np.concatenate([np.empty(0, dtype=object), *texts])

    def _column(self, run: RunReference, name: str) -> Iterator[pa.Array]:
        with self._database.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            layout = score_layout(connection, row.model)
            interval = Interval(row.interval_start, row.interval_end)
            query = _query(connection, layout, row.run_id, interval, only=name)
            url = address_of(connection).dsn
        yield from (batch.column(0) for batch in query_batches(url, query))

    def of_key(
        self, model: str, key: Mapping[str, str], *, interval: Interval | None = None
    ) -> list[tuple[str, pa.Table]]:
        """The published scores that consumers see now of a key, or of part of one.

        Parameters
        ----------
        model : str
            The model.
        key : mapping of str to str
            Key columns and event time to values, as text that Postgres reads as the column's type.
        interval : Interval, optional
            Only this one.

        Returns
        -------
        list of tuple
            Run id and its matching rows, in the order of time; at most 100 rows in all.

        Raises
        ------
        StoreError
            No such column, or a value that is none of its type.
        """
        with self._database.transaction() as connection:
            layout = score_layout(connection, model)
            names = layout.row_schema.names
            unknown = [name for name in key if name not in names]
            if unknown:
                raise StoreError(
                    f"{model} has no key column {unknown[0]!r}", expected=", ".join(names), examples=unknown
                )
            matches = [
                sql.SQL("s.{} = {}").format(sql.Identifier(name), sql.Literal(value))
                for name, value in key.items()
            ]
            if interval is not None:
                bounds = (("interval_start", interval.start), ("interval_end", interval.end))
                matches += [
                    sql.SQL("p.{} = {}").format(sql.Identifier(name), sql.Literal(moment))
                    for name, moment in bounds
                ]
            statement = sql.SQL(
                "SELECT s.run_id::text, {columns} FROM {scores} s JOIN {current} p ON p.run_id = s.run_id"
                " WHERE p.model = {model} AND {matches} ORDER BY p.interval_start, {order} LIMIT 100"
            ).format(
                columns=sql.SQL(", ").join(
                    sql.SQL("s.{}").format(sql.Identifier(n)) for n in layout.score_schema.names
                ),
                scores=store_table(connection, layout.scores_table),
                current=store_table(connection, "publication_current"),
                model=sql.Literal(model),
                matches=sql.SQL(" AND ").join(matches) if matches else sql.SQL("true"),
                order=sql.SQL(", ").join(sql.SQL("s.{}").format(sql.Identifier(n)) for n in layout.key_names),
            )
            try:
                rows = run_sql(connection, statement)
            except psycopg2.DataError as error:
                raise StoreError(
                    f"a value of the key is none of its column's type: {str(error).splitlines()[0]}",
                    where=", ".join(f"{name}={value}" for name, value in key.items()),
                    expected=", ".join(f"{field.name} {field.type}" for field in layout.row_schema),
                ) from None
        found: dict[str, list[tuple[Any, ...]]] = {}
        for run_id, *values in rows:
            found.setdefault(run_id, []).append(tuple(values))
        return [
            (
                run_id,
                pa.table(
                    [
                        pa.array(column, field.type)
                        for column, field in zip(zip(*some, strict=True), layout.score_schema, strict=True)
                    ],
                    schema=layout.score_schema,
                ),
            )
            for run_id, some in found.items()
        ]


def score_stream(database: Database, run_id: str) -> ScoreStream:
    """What checks and digests a run's scores on their way into a table.

    Raises
    ------
    NotFoundError
        No such run, or its model has no tables.
    """
    with database.transaction() as connection:
        row = run_row(connection, run_id)
        layout = score_layout(connection, row.model)
    interval = Interval(row.interval_start, row.interval_end)
    return ScoreStream(layout, interval, f"scores of {row.model} {interval}")


def stored_batches(
    connection: Connection,
    layout: ScoreLayout,
    run_id: str,
    interval: Interval | None = None,
    snapshot: str | None = None,
) -> Iterator[pa.RecordBatch]:
    """What the table holds of a run, ordered by key, as batches that are read over a connection of their own.

    The given connection is only asked for names: let its transaction end before a long run is read, since one
    that idles is ended by the server.

    Parameters
    ----------
    connection : Connection
        In a transaction of the store.
    layout : ScoreLayout
        The columns, in the types that they were digested in.
    run_id : str
        The run.
    interval : Interval, optional
        Its interval; None: in all months.
    snapshot : str, optional
        An exported snapshot, whose transaction has to last; None: what is committed.
    """
    return _batches(
        address_of(connection).dsn, layout, _query(connection, layout, run_id, interval), snapshot
    )


def stored_scores(
    connection: Connection, layout: ScoreLayout, run_id: str, snapshot: str | None = None
) -> pa.Table:
    """All that the table holds of a run now, or in an exported snapshot, ordered by key."""
    batches = stored_batches(connection, layout, run_id, snapshot=snapshot)
    return pa.Table.from_batches(batches, schema=layout.score_schema)


def digest_of(layout: ScoreLayout, batches: Iterable[pa.RecordBatch]) -> TableDigest:
    """Digest a run's scores in one pass."""
    hasher = TableHasher(layout.score_schema)
    for batch in batches:
        hasher.update(batch)
    return hasher.root()


def _batches(
    url: str, layout: ScoreLayout, query: str, snapshot: str | None = None
) -> Iterator[pa.RecordBatch]:
    for batch in query_batches(url, query, snapshot):
        # Narrower than the table's, where the key was widened since.
        columns = [
            column.cast(field.type) for column, field in zip(batch.columns, layout.score_schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=layout.score_schema)


def _query(
    connection: Connection,
    layout: ScoreLayout,
    run_id: str,
    interval: Interval | None,
    only: str | None = None,
) -> str:
    within: sql.Composable = sql.SQL("")
    if interval is not None:  # leaves all months but the interval's out of the plan
        within = sql.SQL(" AND {column} >= {start} AND {column} < {end}").format(
            column=sql.Identifier(layout.event_time),
            start=sql.Literal(interval.start),
            end=sql.Literal(interval.end),
        )
    query = sql.SQL("SELECT {columns} FROM {scores} WHERE run_id = {run}{within} ORDER BY {order}").format(
        columns=layout.select_list() if only is None else sql.Identifier(only),
        scores=store_table(connection, layout.scores_table),
        run=sql.Literal(run_id),
        within=within,
        order=layout.order(),
    )
    driver = cast("psycopg2.extensions.connection", connection.connection.dbapi_connection)
    return query.as_string(driver)
