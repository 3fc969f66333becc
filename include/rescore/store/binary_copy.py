"""Arrow tables into Postgres by binary COPY, bit for bit, and back by ADBC.

Why binary: the same 2,000,000 rows cost .3 s of CPU here, as text (Arrow's CSV writer, whose numbers
are exact too) 6.3 s, and the server took a third longer to read them. Floats keep every bit, a NaN's
payload included. How: the fixed-width fields of a row are one packed record of numpy, text fields go
between such records, and Arrow joins them element by element, so no row is touched by Python. The
format is PostgreSQL's documentation of COPY, "Binary Format", and each type's ``*_recv`` function.
"""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, cast

import numpy as np
import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from sqlalchemy import Connection

from rescore.errors import StoreError, StoreUnavailableError
from rescore.postgres_url import QUOTED, PostgresUrl
from rescore.shown_text import number_of
from rescore.sqlstates import is_retryable
from rescore.store.timeouts import BOUND_WAITS

__all__ = ["copy_batches", "copy_in", "held_as", "postgres_type", "query_batches"]

#: Rows encoded at a time; 6 MB or so, which bounds the memory of a COPY.
CHUNK_ROWS = 65_536

_AS_ANOTHER = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_DAYS_TO_2000 = 10_957
_MICROSECONDS_TO_2000 = _DAYS_TO_2000 * 86_400 * 1_000_000

_TIMESTAMP = pa.timestamp("us", tz="UTC")
# Arrow type → (Postgres type, big-endian layout); text has no fixed layout.
_TYPES: dict[pa.DataType, tuple[str, str | None]] = {
    pa.bool_(): ("boolean", ">u1"),
    pa.int16(): ("smallint", ">i2"),
    pa.int32(): ("integer", ">i4"),
    pa.int64(): ("bigint", ">i8"),
    pa.float64(): ("double precision", ">f8"),
    pa.date32(): ("date", ">i4"),
    _TIMESTAMP: ("timestamptz", ">i8"),
    pa.string(): ("text", None),
}

#: What the driver has read of each database's catalogue, by process and address: the columns of all tables,
#: views and indexes, over a connection of its own. What is needed of it, the types that Postgres comes with,
#: never changes.
_known: dict[tuple[int, str], Any] = {}
_MAX_KNOWN = 4


def held_as(name: str, kind: pa.DataType) -> pa.DataType:
    """The Arrow type a column of type ``kind`` is stored and read back as.

    Dictionaries and large strings are text; a moment of any zone is one in UTC.

    Raises
    ------
    StoreError
        The store has no column type for it.
    """
    if pa.types.is_dictionary(kind):
        return held_as(name, kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_timestamp(kind) and kind.tz is not None and kind.unit == "us":
        return _TIMESTAMP
    if kind not in _TYPES:
        raise StoreError(
            f"column {name!r} has type {kind}, for which the store has no column",
            expected=", ".join(str(known) for known in _TYPES),
            fix="cast it in extract.sql",
        )
    return kind


def postgres_type(kind: pa.DataType) -> str:
    """The Postgres type of a :func:`held_as` type."""
    return _TYPES[kind][0]


def copy_in(
    connection: Connection,
    target: sql.Identifier,
    table: pa.Table,
    *,
    constants: Mapping[str, uuid.UUID] | None = None,
) -> int:
    """Append the rows of a table; see :func:`copy_batches`."""
    return copy_batches(connection, target, table.schema, table.to_batches(), constants=constants)


def copy_batches(
    connection: Connection,
    target: sql.Identifier,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    constants: Mapping[str, uuid.UUID] | None = None,
) -> int:
    """Append rows to ``target`` in the connection's transaction, each batch as it comes.

    Parameters
    ----------
    connection : Connection
        On psycopg2.
    target : psycopg2.sql.Identifier
        A table with the columns of ``constants`` and ``schema``.
    schema : pyarrow.Schema
        The columns of all batches.
    batches : iterable of pyarrow.RecordBatch
        Only text columns may hold NULLs. An error among them ends the COPY; nothing of it is kept.
    constants : mapping of str to UUID, optional
        Columns that are the same in every row.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    StoreError
        A NULL in another column than text, or a type without a column.
    """
    constants = dict(constants or {})
    held = pa.schema([(field.name, held_as(field.name, field.type)) for field in schema])
    encoder = _Encoder(held, [value.bytes for value in constants.values()])
    names = sql.SQL(", ").join(map(sql.Identifier, [*constants, *held.names]))
    statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT binary)").format(target, names)
    with closing(connection.connection.cursor()) as cursor:
        stream = _Stream(encoder.encoded(batches))
        try:
            cast(Any, cursor).copy_expert(statement, stream, size=1 << 18)
        except psycopg2.Error:
            if stream.failure is not None:  # the server only says that our side broke it off
                raise stream.failure from None
            raise
    return encoder.rows


def query_batches(url: str, query: str, snapshot: str | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a query as Arrow batches, over a connection of its own (it sees committed rows).

    Parameters
    ----------
    url : str
        A connection string for libpq.
    query : str
        SQL with everything in it; compose it with ``psycopg2.sql``.
    snapshot : str, optional
        What ``pg_export_snapshot`` gave in a transaction that lasts until the last batch: sees what it sees.

    Raises
    ------
    StoreUnavailableError
        The database went away.
    StoreError
        The database refused.
    """
    import adbc_driver_manager

    try:
        with _connected(url) as connection, adbc_driver_manager.AdbcStatement(connection) as statement:
            as_another = () if snapshot is None else (_AS_ANOTHER, f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            for first in (BOUND_WAITS, *as_another):
                statement.set_sql_query(first)
                statement.execute_update()
            statement.set_sql_query(query)
            stream, _ = statement.execute_query()
            with pa.RecordBatchReader.from_stream(stream) as batches:
                for batch in batches:
                    # The driver's own metadata is not part of the data.
                    yield batch.replace_schema_metadata(None)
    except adbc_driver_manager.Error as error:
        passes = not error.sqlstate or is_retryable(error.sqlstate)
        kind = StoreUnavailableError if passes else StoreError
        raise kind(f"scores can't be read back: {error}") from error
    except (pa.ArrowException, OSError) as error:  # amid the rows, which the query itself can't fail at
        raise StoreUnavailableError(f"scores can't be read back: {error}") from error


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    """A connection of ADBC that knows the types of columns, whatever the server quotes."""
    # Not the driver's DB-API: that imports pandas, .4 s in every process that reads scores.
    import adbc_driver_manager
    import adbc_driver_postgresql

    key = (os.getpid(), url)  # a fork begins with none
    if (known := _known.get(key)) is not None:
        with adbc_driver_manager.AdbcConnection(known) as connection:
            yield connection
        return
    plain = PostgresUrl.parse(url, where="the store's own connection").with_setting(QUOTED, "off").dsn
    for address in (url, plain):
        database = adbc_driver_postgresql.connect(address)
        with adbc_driver_manager.AdbcConnection(database) as connection:
            if address is plain or not _quotes_all(connection):
                while len(_known) >= _MAX_KNOWN:
                    _known.pop(next(iter(_known)), None)
                _known[key] = database
                yield connection
                return
        database.close()


def _quotes_all(connection: Any) -> bool:
    import adbc_driver_manager

    with adbc_driver_manager.AdbcStatement(connection) as statement:
        statement.set_sql_query(f"SELECT current_setting('{QUOTED}') = 'on'")
        stream, _ = statement.execute_query()
        with pa.RecordBatchReader.from_stream(stream) as batches:
            [answer] = batches.read_all().column(0).to_pylist()
    # The driver that does not know bool by its name gives the byte.
    return answer not in {False, b"\x00"}


class _Encoder:
    """Encodes batches in COPY's binary form, and counts their rows."""

    def __init__(self, schema: pa.Schema, constants: list[bytes]) -> None:
        self.rows = 0
        self._schema = schema
        self._constants = constants

    def encoded(self, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes | memoryview]:
        """The bytes of a whole COPY, some 65,536 rows at a time."""
        yield _HEADER
        for given in batches:
            batch = given.cast(self._schema)
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if column.null_count and column.type != pa.string():
                    raise StoreError(
                        f"column {name!r} is NULL in {column.null_count:,} of "
                        f"{number_of(batch.num_rows, 'row')}",
                        expected="a value in every row",
                    )
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                yield _encode(batch.slice(start, CHUNK_ROWS), self._constants)
            self.rows += batch.num_rows
        yield _TRAILER


class _Record:
    """A run of fixed-width fields, gathered until a text field or the row's end closes it."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.fields: list[tuple[str, str]] = []
        self.values: list[Any] = []

    def add(self, layout: str, value: Any) -> None:
        self.fields.append((f"f{len(self.fields)}", layout))
        self.values.append(value)

    def close(self) -> pa.Array:
        """Give the packed records as one binary value per row, and start anew."""
        records = np.empty(self.rows, dtype=np.dtype(self.fields))
        for (name, _), value in zip(self.fields, self.values, strict=True):
            records[name] = value
        width = records.dtype.itemsize
        self.fields, self.values = [], []
        offsets = np.arange(0, (self.rows + 1) * width, width, dtype=np.int32)
        return pa.Array.from_buffers(
            pa.binary(), self.rows, [None, pa.py_buffer(offsets), pa.py_buffer(records)]
        )


def _encode(batch: pa.RecordBatch, constants: list[bytes]) -> memoryview:
    """Encode the rows of one batch in COPY's binary form."""
    record = _Record(batch.num_rows)
    pieces: list[pa.Array] = []
    record.add(">i2", len(constants) + batch.num_columns)
    for constant in constants:
        record.add(">i4", len(constant))
        record.add(f"V{len(constant)}", np.void(constant))
    for column in batch.columns:
        layout = _TYPES[column.type][1]
        if layout is None:
            # A NULL has length -1 and no bytes.
            record.add(">i4", pc.fill_null(pc.binary_length(column), -1).to_numpy())
            pieces += [record.close(), pc.fill_null(column.cast(pa.binary()), b"")]
        else:
            record.add(">i4", np.dtype(layout).itemsize)
            record.add(layout, _values(column))
    if record.fields:
        pieces.append(record.close())
    joined = pieces[0] if len(pieces) == 1 else pc.binary_join_element_wise(*pieces, b"")
    _, offsets, content = joined.buffers()
    end = int(np.frombuffer(offsets, np.int32)[joined.offset + len(joined)])
    return memoryview(content)[:end]


def _values(column: pa.Array) -> Any:
    if pa.types.is_timestamp(column.type):
        return column.view(pa.int64()).to_numpy() - _MICROSECONDS_TO_2000
    if pa.types.is_date32(column.type):
        return column.view(pa.int32()).to_numpy() - _DAYS_TO_2000
    return column.to_numpy(zero_copy_only=False)


class _Stream(io.RawIOBase):
    """The chunks of an iterator as a file that psycopg2 reads."""

    def __init__(self, chunks: Iterator[bytes | memoryview]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")
        self.failure: BaseException | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            try:
                chunk = next(self._chunks, None)
            except BaseException as error:
                self.failure = error
                raise
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        size = len(self._rest) if size < 0 else size
        piece, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return piece
