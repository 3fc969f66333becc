"""One read-only look at the source database: a transaction whose result depends on the data alone.

Everything that a run reads comes through one :class:`Session`, so all of it is one snapshot (law 3).
Here also: what an error of the driver means to a person, and whether trying again can help.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_manager._reader import AdbcRecordBatchReader
from adbc_driver_postgresql import StatementOptions

from rescore.errors import SettingsError, SourceError, SourceQueryError, SourceUnavailableError
from rescore.postgres_url import QUOTED, PostgresUrl
from rescore.prefetch import Prefetch
from rescore.source.query import Rendered, quote_literal
from rescore.spec import SourceSpec
from rescore.sqlstates import is_retryable, is_statement_timeout, lacks_permission, login_is_refused

__all__ = ["Column", "Session", "not_connected", "source_address", "unavailable"]

_BEGIN = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Whatever a role, a database or a server may have set otherwise and a query's result can depend on, with
# the value of a server that nobody has configured. search_path is the deployment's own business and stays.
_FIXED = {
    "timezone": "UTC",
    "timezone_abbreviations": "Default",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_numeric": "C",
    "lc_monetary": "C",
    "lc_time": "C",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "default_text_search_config": "pg_catalog.english",
    "gin_fuzzy_search_limit": "0",
    "xmloption": "content",
    "xmlbinary": "base64",
    # float8 sums in parallel plans, and after a synchronised scan, come out differently each time.
    "max_parallel_workers_per_gather": "0",
    "synchronize_seqscans": "off",
    "jit": "off",
}
_FIX = "SELECT " + ", ".join(
    f"set_config({quote_literal(name)}, {quote_literal(value)}, true)" for name, value in _FIXED.items()
)
# A server in SQL_ASCII knows no encoding: its bytes come as they are, and are checked column by column.
_FIX_ENCODING = (
    "SELECT set_config('client_encoding', CASE current_setting('server_encoding')"
    " WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, true)"
)
# Rows are sorted by their key: in memory where they fit. What somebody has set on purpose stays.
_SORT_IN_MEMORY = (
    "SELECT set_config('work_mem', '256MB', true) FROM pg_settings WHERE name = 'work_mem'"
    " AND source IN ('default', 'configuration file') AND setting::bigint < 262144"
)
# How many batches of the driver (each of some MB) are read before the first of them is asked for.
_AHEAD = 2
_BATCH_BYTES = 8 * 1024**2
# Parameters of every connection to a source, unless its URL says otherwise.
_CONNECTION = {"application_name": "rescore", "connect_timeout": "10"}
# Where statements of our own stand, for errors.
_OURS = "the session's settings"
_READ_ONLY = "25006"
_DRIVER_PREFIX = re.compile(r"^(?:[A-Z_]+: )?(?:\[libpq\] )?")


@dataclass(frozen=True)
class Column:
    """One output column of a query, as the database describes it.

    Attributes
    ----------
    name : str
        Its name.
    postgres : str
        Name of its Postgres type, like ``int4`` or ``numeric``.
    arrow : pyarrow.DataType
        What the driver gives for it.
    """

    name: str
    postgres: str
    arrow: pa.DataType


class Session:
    """One REPEATABLE READ, READ ONLY transaction, open between ``with`` and its end.

    Parameters
    ----------
    url : str
        ``postgresql://…``, also as SQLAlchemy and Airflow spell it.
    declared : SourceSpec
        Its ``statement_timeout``, after which the database gives up a statement, and ``snapshot_max_age``:
        as long as the snapshot is open, Postgres removes no row that has died.

    Raises
    ------
    SettingsError
        The URL can't be read, or the database refuses us for good (password, no such database).
    SourceUnavailableError
        The database can't be reached now.
    """

    def __init__(self, url: str, declared: SourceSpec) -> None:
        address = source_address(url)
        self.where = f"database {address}"
        self._address = address
        self._declared = declared
        self._began = time.monotonic()
        self._reading: Prefetch[pa.RecordBatch] | None = None

    def __enter__(self) -> Session:
        try:
            # Imports pandas: .4 s that only who reads a source pays.
            from adbc_driver_postgresql import dbapi

            self._connection = dbapi.connect(self._address.dsn, autocommit=True)
            if self._quotes_all():
                self._connection.close()
                plain = self._address.with_setting(QUOTED, "off")
                self._connection = dbapi.connect(plain.dsn, autocommit=True)
        except adbc_driver_manager.Error as error:
            raise not_connected(_message(error), self._address) from None
        self._began = time.monotonic()
        try:
            timeout = _timeout_setting(self._declared.statement_timeout)
            for statement in (_BEGIN, _FIX, _FIX_ENCODING, _SORT_IN_MEMORY, timeout):
                self._run(statement)
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reading is not None:
            self._reading.close()
        # Read only: nothing to commit. Closing ends the transaction, also one that was broken off.
        with suppress(adbc_driver_manager.Error):
            self._connection.close()

    def _quotes_all(self) -> bool:
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT current_setting('{QUOTED}') = 'on'")
            [(answer,)] = cursor.fetchall()
        # The driver that does not know bool by its name gives the byte.
        return answer not in {False, b"\x00"}

    def describe(self, query: Rendered) -> list[Column]:
        """The output columns of a query, in order, without running it.

        Raises
        ------
        SourceQueryError
            The database refuses the SQL; with its message and the place in the file.
        """
        with self._connection.cursor() as cursor:
            try:
                schema = cursor.adbc_execute_schema(query.text)
            except adbc_driver_manager.Error as error:
                raise self._failed(error, query.where, query.locate) from None
        return [Column(field.name, _postgres_type(field), field.type) for field in schema]

    def rows(self, sql: str, query: Rendered) -> Iterator[pa.RecordBatch]:
        """Run ``sql``, which was made from ``query``, and stream what it gives, one query at a time.

        The driver reads on a thread of its own, a few batches ahead, so that the server works on the
        next while these are digested and written.

        Raises
        ------
        SourceQueryError
            The database gives up in the middle of it: division by zero, statement timeout, …; or the
            snapshot has become older than it may.
        SourceUnavailableError
            The connection is lost.
        """
        self._reading = Prefetch(self._read(sql, query), depth=_AHEAD, interrupt=self._cancel)
        return self._reading

    def _read(self, sql: str, query: Rendered) -> Iterator[pa.RecordBatch]:
        with self._connection.cursor() as cursor:
            try:
                cursor.adbc_statement.set_options(
                    **{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)}
                )
                cursor.execute(sql)
                # fetch_record_batch() would give pyarrow's own reader, whose errors have no SQLSTATE.
                stream = cursor.fetch_arrow()
                reader = AdbcRecordBatchReader._import_from_c(stream.address)
            except adbc_driver_manager.Error as error:
                raise self._failed(error, query.where) from None
            with closing(reader):
                while (batch := self._next(reader, query)) is not None:
                    self._refuse_old(query)
                    yield batch

    def _cancel(self) -> None:
        with suppress(adbc_driver_manager.Error):
            self._connection.adbc_cancel()

    def _refuse_old(self, query: Rendered) -> None:
        age = timedelta(seconds=time.monotonic() - self._began)
        limit = self._declared.snapshot_max_age
        if age > limit:
            raise SourceQueryError(
                f"the snapshot of the source is {age.total_seconds():,.0f} s old and still being read",
                where=f"{query.where}; {self.where}",
                expected=f"an extraction of at most {limit.total_seconds():,.0f} s: as long as it "
                "lasts, Postgres can remove no row that has died",
                fix="read from a replica, score shorter intervals, or raise source.snapshot_max_age",
                data={"seconds": age.total_seconds(), "max_seconds": limit.total_seconds()},
            )

    def estimate(self, sql: str, query: Rendered) -> tuple[int, int]:
        """How many rows the planner expects of ``sql``, which was made from ``query``, and bytes of each."""
        with self._connection.cursor() as cursor:
            try:
                cursor.adbc_statement.set_options(**{StatementOptions.USE_COPY.value: "false"})
                cursor.execute("EXPLAIN (FORMAT JSON) " + sql)
                [(plan,)] = cursor.fetchall()
            except adbc_driver_manager.Error as error:
                raise self._failed(error, query.where) from None
        [top] = json.loads(plan)
        return int(top["Plan"]["Plan Rows"]), int(top["Plan"]["Plan Width"])

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a question of our own, to the catalogue or the server."""
        with self._connection.cursor() as cursor:
            try:
                cursor.execute(sql)
                answers: list[dict[str, Any]] = cursor.fetch_arrow_table().to_pylist()
            except adbc_driver_manager.Error as error:
                raise self._failed(error, _OURS) from None
        return answers

    def parameter_types(self, sql: str) -> list[str] | None:
        """The types that the server gives the parameters of a statement; None where it can't tell."""
        self._run("SAVEPOINT rescore_types")
        try:
            self._run(f"PREPARE rescore_types AS {sql}")
        except SourceQueryError:
            self._run("ROLLBACK TO SAVEPOINT rescore_types")
            return None
        [row] = self.ask(
            "SELECT parameter_types::text[] AS types FROM pg_prepared_statements WHERE name = 'rescore_types'"
        )
        self._run("DEALLOCATE rescore_types")
        self._run("RELEASE SAVEPOINT rescore_types")
        return list(row["types"])

    @contextmanager
    def at_most(self, limit: timedelta) -> Iterator[None]:
        """Give statements no more than this; the transaction goes on where one is given up or refused."""
        self._run("SAVEPOINT rescore_at_most")
        try:
            self._run(_timeout_setting(min(limit, self._declared.statement_timeout)))
            yield
        finally:
            # Takes the setting back, too.
            self._run("ROLLBACK TO SAVEPOINT rescore_at_most")

    def moment(self) -> datetime:
        """When this transaction began, by the database's clock, UTC."""
        [row] = self.ask("SELECT now() AS moment")
        moment: datetime = row["moment"]
        return moment.astimezone(UTC)

    def _run(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            try:
                cursor.execute(statement)
            except adbc_driver_manager.Error as error:
                raise self._failed(error, _OURS) from None

    def _next(self, reader: AdbcRecordBatchReader, query: Rendered) -> pa.RecordBatch | None:
        """The next batch of a stream; None at its end."""
        try:
            return reader.read_next_batch()
        except StopIteration:
            return None
        except adbc_driver_manager.Error as error:
            if error.sqlstate or not self._alive():
                raise self._failed(error, query.where) from None
            # The driver's own, from a server that lives: it can't read what came.
            raise _query_error(_message(error), "", query.where, self.where) from None
        except (OSError, pa.ArrowException) as error:
            if not self._alive():
                raise unavailable(_message(error), self.where) from None
            raise _query_error(_message(error), "", query.where, self.where) from None

    def _alive(self) -> bool:
        with self._connection.cursor() as cursor:
            try:
                cursor.adbc_execute_schema("SELECT 1")
            except adbc_driver_manager.Error as error:
                return bool(error.sqlstate)  # "transaction is aborted" comes from a living server
        return True

    def _failed(
        self, error: adbc_driver_manager.Error, place: str, locate: Callable[[int], str] | None = None
    ) -> SourceError:
        """The error for what the server said at a place; ``locate`` names one in the statement as it ran."""
        diagnostics = {str(key): value.decode(errors="replace") for key, value in _details(error)}
        state = error.sqlstate or ""
        message = diagnostics.get("PG_DIAG_MESSAGE_PRIMARY") or _message(error)
        if not state or is_retryable(state):
            return unavailable(message, self.where)
        hints = [
            diagnostics[f"PG_DIAG_{part}"]
            for part in ("MESSAGE_DETAIL", "MESSAGE_HINT")
            if f"PG_DIAG_{part}" in diagnostics
        ]
        position = diagnostics.get("PG_DIAG_STATEMENT_POSITION")
        if locate and position:
            place = locate(int(position) - 1)
        return _query_error(message, state, place, self.where, hints)


def _query_error(
    message: str, state: str, place: str, database: str, hints: list[str] | None = None
) -> SourceQueryError:
    fix = "correct the query; Postgres' own words are above"
    if is_statement_timeout(state):
        fix = "add an index for the query, or raise source.statement_timeout in model.yaml"
    elif state == _READ_ONLY:
        fix = "a query of a model only reads"
    elif "depends on the clock>" in message:
        message = "a text that is cast to a moment names the present: " + message
        fix = "leave such rows out or make them NULL in the query; for the time of the run write :as_of"
    elif lacks_permission(state):
        fix = let_grant(message)
    return SourceQueryError(
        f"the database refused the query: {message}",
        where=f"{place}; {database}",
        examples=hints or (),
        fix=fix,
        data={"sqlstate": state, "message": message},
    )


def let_grant(message: str) -> str:
    """What to do about a right that is lacking, from the server's message."""
    right = "TEMPORARY on the database" if "temporary" in message else "SELECT"
    return f"let the database's administrator grant {right} to the role of this connection"


def not_connected(message: str, address: PostgresUrl) -> SettingsError | SourceUnavailableError:
    """The error for a connection that did not come about, from libpq's message."""
    where = f"database {address}"
    if login_is_refused(message, address.parameters):
        return SettingsError(
            f"the source database refuses the connection: {message}",
            where=where,
            expected="a database and a role that exist, its password, and TLS as sslmode asks for it",
            fix="correct the connection's URL, or let the database's administrator admit the role",
        )
    return unavailable(message, where)


def unavailable(message: str, where: str) -> SourceUnavailableError:
    """The error for a database that is down or busy now."""
    return SourceUnavailableError(
        f"the source database is not available: {message}",
        where=where,
        expected="a connection that lasts for the whole extraction",
        fix="nothing was kept; try again when the database is up",
    )


def source_address(url: str) -> PostgresUrl:
    """The source's database, with the parameters that every connection to a source has.

    Raises
    ------
    SettingsError
        The URL can't be read; nothing of it is shown.
    """
    where = "the source connection that model.yaml names"
    return PostgresUrl.parse(url, where=where).with_defaults(**_CONNECTION)


def _timeout_setting(timeout: timedelta) -> str:
    # Postgres' own bound is 2**31 - 1, some 25 days.
    milliseconds = min(max(1, int(timeout.total_seconds() * 1000)), 2**31 - 1)
    return "SET LOCAL statement_timeout TO " + str(milliseconds)


def _postgres_type(field: pa.Field) -> str:
    metadata = field.metadata or {}
    name: bytes = metadata.get(b"POSTGRESQL:type", str(field.type).encode())
    return name.decode()


def _details(error: adbc_driver_manager.Error) -> list[tuple[Any, bytes]]:
    return [
        (key.decode() if isinstance(key, bytes) else key, value)
        for key, value in getattr(error, "details", [])
    ]


def _message(error: BaseException) -> str:
    """Return what the server or libpq said, without the driver's frame and the query's text."""
    text = str(error).split("\nQuery was:")[0].strip()
    text = _DRIVER_PREFIX.sub("", text)
    return re.sub(r"\s*\n\s*", " ", re.sub(r"^Execution error \[\w+\]: ", "", text))
