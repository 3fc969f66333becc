"""Freeze one interval: exactly the declared rows, in one order, as known by one moment."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from rescore.digest import TableDigest, in_leaves
from rescore.disk import refuse_without_room
from rescore.errors import EmptyIntervalError, SourceSchemaError
from rescore.folder import ModelFolder
from rescore.interval import Interval, parse_moment
from rescore.progress import Progress, Ticker
from rescore.shown_text import number_of
from rescore.source.clock_and_chance import refuse_volatile
from rescore.source.columns import TEXT_TYPES, check_columns, input_types
from rescore.source.freeze import Freezer
from rescore.source.moments_from_text import TextCasts
from rescore.source.query import Rendered, quote_identifier, render
from rescore.source.row_laws import RowLaws
from rescore.source.session import Column, Session
from rescore.source.untimed import UntimedRows, untimed_rows

__all__ = ["FrozenInput", "InputQuery", "extract", "ordered", "probe"]

#: Rows in Parquet take half to a quarter of what the planner counts for them.
_LEAST_SHARE_ON_DISK = 0.25


@dataclass(frozen=True)
class FrozenInput:
    """One interval's rows in a file, and what they are.

    Attributes
    ----------
    path : Path
        Parquet, read back by ``read_frozen``.
    digest : TableDigest
        Names the content.
    rows : int
        Row count.
    interval : Interval
        What was extracted.
    as_of : datetime
        Only what was known by then is in it.
    query_sha256 : str
        Of the query that was run, values included.
    extracted_at : datetime
        When the transaction began, by the source database's clock, UTC.
    seconds : float
        How long it took.
    untimed : tuple of UntimedRows
        Columns that are NULL in rows of the source, which therefore are in no interval.
    """

    path: Path
    digest: TableDigest
    rows: int
    interval: Interval
    as_of: datetime
    query_sha256: str
    extracted_at: datetime
    seconds: float
    untimed: tuple[UntimedRows, ...] = ()


class InputQuery:
    """A model's ``extract.sql`` within one session: described once, then run for each interval.

    Parameters
    ----------
    session : Session
        Open.
    folder : ModelFolder
        The model.

    Raises
    ------
    SourceSchemaError, SourceQueryError, SpecError
        Before any row is read, at the first interval.
    """

    def __init__(self, session: Session, folder: ModelFolder) -> None:
        self._session = session
        self._folder = folder
        self.where = str(folder.path / "extract.sql")
        self._columns: list[Column] = []
        self._casts = TextCasts()
        self.schema = pa.schema([])

    def render(self, interval: Interval, as_of: datetime) -> Rendered:
        """The query for one interval; the first call compares its columns with the declared ones."""
        query = render(self._folder.extract_sql, interval, as_of, where=self.where)
        if not self._columns:
            self._columns = self._session.describe(query)
            self._casts = refuse_volatile(self._session, query)
            self.schema = check_columns(self._columns, input_types(self._folder.spec), where=self.where)
        return query

    def frozen_bytes(self, query: Rendered) -> int:
        """What the rows of a query will take on a disk at the least, by the database's own estimate."""
        rows, width = self._session.estimate(self._ordered(query), query)
        return int(rows * width * _LEAST_SHARE_ON_DISK)

    def rows(self, query: Rendered, interval: Interval, limit: int | None = None) -> Iterator[pa.RecordBatch]:
        """Stream an interval's rows in leaves, ordered by key and checked."""
        source = self._folder.spec.source
        laws = RowLaws(source.key, interval, event_time=source.event_time, where=self.where)
        for leaf in in_leaves(self._session.rows(self._ordered(query, limit), query)):
            batch = conform(leaf, self.schema, self.where)
            laws.check(batch)
            yield batch

    def _ordered(self, query: Rendered, limit: int | None = None) -> str:
        names, key = self.schema.names, self._folder.spec.source.key
        return ordered(self._casts.guard(query.text), self._columns, names, key, limit=limit)


def extract(
    url: str,
    folder: ModelFolder,
    interval: Interval,
    as_of: datetime,
    destination: Path,
    *,
    progress: Progress | None = None,
) -> FrozenInput:
    """Freeze the rows of one interval as known by ``as_of``.

    One REPEATABLE READ, READ ONLY transaction. The source is read once; each leaf is checked, digested
    and compressed while the server and the driver work on the next, and memory does not grow with the
    row count.

    Parameters
    ----------
    url : str
        The source database.
    folder : ModelFolder
        The model.
    interval : Interval
        Half-open, UTC.
    as_of : datetime
        Aware.
    destination : Path
        The Parquet file; there is none if anything fails.
    progress : callable, optional
        Receives a line about every 2 seconds.

    Raises
    ------
    SourceUnavailableError
        The database is down; trying again can help.
    SourceQueryError, SourceSchemaError, SourceKeyError, SourceEventTimeError
        What it gave can't be scored.
    EmptyIntervalError
        No row, and ``schedule.empty`` is ``error``.
    DiskFullError
        The disk has no room for the rows: by the planner's estimate, before any is read, or on the way.
    SpecError, SettingsError
        ``extract.sql`` or the connection is wrong.
    """
    started = time.monotonic()
    as_of = parse_moment(as_of, name="as_of")
    say = Ticker(progress)
    with Session(url, folder.spec.source) as session:
        extracted_at = session.moment()
        inputs = InputQuery(session, folder)
        query = inputs.render(interval, as_of)
        refuse_without_room(
            destination.parent, inputs.frozen_bytes(query), f"the rows that {inputs.where} may give"
        )
        with Freezer(destination, inputs.schema, where=inputs.where) as freezer:
            rows = 0
            for batch in inputs.rows(query, interval):
                freezer.write(batch)
                rows += batch.num_rows
                say.now_and_then(f"{folder.name}: {number_of(rows, 'row')} extracted")
            if rows == 0 and folder.spec.schedule.empty == "error":
                raise _empty(folder, interval, as_of, session.where)
            digest = freezer.keep()
        untimed = tuple(untimed_rows(session, folder, interval))
    seconds = time.monotonic() - started
    say.line(f"{folder.name}: {number_of(rows, 'row')} of {interval} extracted in {seconds:.1f} s")
    return FrozenInput(
        path=destination,
        digest=digest,
        rows=rows,
        interval=interval,
        as_of=as_of,
        query_sha256=query.sha256,
        extracted_at=extracted_at,
        seconds=seconds,
        untimed=untimed,
    )


def probe(
    url: str, folder: ModelFolder, interval: Interval, as_of: datetime, *, limit: int = 1000
) -> pa.Table:
    """The first rows of an interval, by key, with all the checks; nothing is kept.

    Raises
    ------
    SourceError, SpecError, SettingsError
        As :func:`extract`; an empty interval is no error.
    """
    with Session(url, folder.spec.source) as session:
        inputs = InputQuery(session, folder)
        query = inputs.render(interval, parse_moment(as_of, name="as_of"))
        batches = list(inputs.rows(query, interval, limit))
    return pa.Table.from_batches(batches, schema=inputs.schema)


def ordered(
    query: str,
    columns: Sequence[Column],
    names: Sequence[str],
    key: Sequence[str],
    *,
    limit: int | None = None,
) -> str:
    """Select the declared columns of a query in a total order.

    Text sorts by its bytes (``COLLATE "C"``): other collations differ from database to database. To
    ``bpchar`` (``char(n)``, and what is made of it) ``'a'`` equals ``'a '``, and here they are two keys:
    the lengths of such columns come last in the order, which stays as it is where it is total without them.
    """
    texts = {column.name for column in columns if column.postgres in TEXT_TYPES}
    selected = ", ".join(quote_identifier(name) for name in names)
    padded = {column.name for column in columns if column.postgres == "bpchar"}
    order = [quote_identifier(name) + ' COLLATE "C"' * (name in texts) for name in key]
    order += [f"octet_length({quote_identifier(name)})" for name in key if name in padded]
    parts = ["SELECT", selected, "FROM (", query, ") AS extract ORDER BY", ", ".join(order)]
    return "\n".join(parts if limit is None else [*parts, "LIMIT", str(int(limit))])


def conform(batch: pa.RecordBatch, schema: pa.Schema, where: str) -> pa.RecordBatch:
    """Give a batch the described schema; the driver must have kept its word on types."""
    if batch.schema.types != schema.types or batch.schema.names != schema.names:
        raise SourceSchemaError(
            "the database gave other columns than it described",
            where=where,
            expected=", ".join(f"{field.name} {field.type}" for field in schema),
            examples=[f"{field.name} {field.type}" for field in batch.schema],
            fix="update adbc-driver-postgresql, or report this",
        )
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_string(column.type):
            _require_utf8(name, column, where)
    return pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _require_utf8(name: str, column: pa.Array, where: str) -> None:
    """A server whose encoding is SQL_ASCII hands on whatever bytes it was given."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raise SourceSchemaError(
            f"{name}: holds text that is not UTF-8",
            where=where,
            expected="UTF-8; the database's encoding is SQL_ASCII, which checks none",
            fix=f"name its encoding in the query: convert_from({name}::bytea, 'LATIN1') AS {name}",
            data={"column": name},
        ) from None


def _empty(folder: ModelFolder, interval: Interval, as_of: datetime, database: str) -> EmptyIntervalError:
    return EmptyIntervalError(
        f"{folder.name} has no row in {interval}",
        where=f"{folder.path / 'extract.sql'}, as of {as_of.isoformat()}; {database}",
        expected="at least one row",
        fix="was the source loaded? If empty intervals are usual, set schedule.empty: publish in model.yaml",
    )
