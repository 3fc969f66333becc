"""The connection to the store's database, transactions, and what database errors mean.

No table is named here but Alembic's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extras import Json
from sqlalchemy import Connection, Engine, create_engine, event, exc, text
from sqlalchemy.pool import ConnectionPoolEntry

from rescore.errors import SettingsError, StoreError, StoreSchemaError, StoreUnavailableError
from rescore.json_values import json_value
from rescore.postgres_url import PostgresUrl
from rescore.sqlstates import is_retryable, is_statement_timeout, login_is_refused
from rescore.store.identifiers import CONSUMER_SCHEMA, SCHEMA, checked_name, sql_template
from rescore.store.refusals import refusal
from rescore.store.timeouts import BOUND_WAITS, KEEPALIVES

__all__ = [
    "KNOWN_VERSIONS",
    "Database",
    "address_of",
    "call",
    "lock_by_name",
    "run_sql",
    "schema_names",
    "store_table",
    "where_of",
]

#: The schema versions this code can work on: the steps under ``schema/migrations/versions``, in order.
KNOWN_VERSIONS = tuple(
    sorted(file.name[1:5] for file in (Path(__file__).parent / "schema/migrations/versions").glob("v*.py"))
)

#: How long a host that does not answer is waited for (seconds), unless the URL says.
_CONNECT_SECONDS = "10"

_MIGRATE = "run `rescore store migrate`"
#: program_limit_exceeded, as of an index's entry that is too large.
_PROGRAM_LIMIT = "54000"

_NOT_MIGRATED = {"42P01", "3F000", "42883", "42703"}


class Database:
    """One Postgres that holds a store.

    Nothing connects before the first use. Connections are few, checked before use, and never shared
    with a forked child (Airflow's tasks are forks).

    Parameters
    ----------
    url : str
        A Postgres URL of any spelling.
    store_schema, consumer_schema : str
        Plain lower-case identifiers, not the same.
    """

    def __init__(
        self, url: str, *, store_schema: str = SCHEMA, consumer_schema: str = CONSUMER_SCHEMA
    ) -> None:
        self.address = PostgresUrl.parse(
            url, where="environment variable RESCORE_DATABASE_URL"
        ).with_defaults(connect_timeout=_CONNECT_SECONDS, **KEEPALIVES)
        self.url = url
        self.store_schema = checked_name(store_schema, "schema")
        self.consumer_schema = checked_name(consumer_schema, "schema")
        if store_schema == consumer_schema:
            raise SettingsError(
                f"the store and its consumers share schema {store_schema!r}",
                expected="two schemas: consumers may use one and not the other",
                fix="set RESCORE_STORE_SCHEMA and RESCORE_CONSUMER_SCHEMA to different names",
            )
        self._version_checked = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where!r}, {self.store_schema!r}, {self.consumer_schema!r})"

    @cached_property
    def engine(self) -> Engine:
        """The SQLAlchemy engine; table objects of ``tables.py`` meet the configured schemas here."""
        engine = create_engine(self.address.sqlalchemy(), pool_size=2, max_overflow=8, pool_pre_ping=True)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "checkout", _refuse_inherited)
        names = {SCHEMA: self.store_schema, CONSUMER_SCHEMA: self.consumer_schema}
        return engine.execution_options(schema_translate_map=names, address=self.address)

    def as_login(self, url: str | None) -> Database:
        """The same schemas through the URL of another login; without one, through this."""
        if url is None or url == self.url:
            return self
        return Database(url, store_schema=self.store_schema, consumer_schema=self.consumer_schema)

    @property
    def libpq_url(self) -> str:
        """The connection string as libpq and ADBC read it; it holds the password."""
        return self.address.dsn

    @property
    def where(self) -> str:
        """Host, port, database and user, for people; no password."""
        return str(self.address)

    def close(self) -> None:
        """Close idle connections."""
        if "engine" in self.__dict__:
            self.engine.dispose()

    @contextmanager
    def transaction(self, *, checked: bool = True) -> Iterator[Connection]:
        """One transaction; commits unless the block raises.

        Parameters
        ----------
        checked : bool
            Whether the store has to be migrated to a version this code knows.

        Raises
        ------
        StoreUnavailableError
            The database is down or refuses us.
        StoreSchemaError
            Not migrated, or newer than this code.
        StoreError
            Anything else the database says.
        """
        with self.translated(), self.engine.begin() as connection:
            if checked and not self._version_checked:
                self.check_version(connection)
                self._version_checked = True
            yield connection

    @contextmanager
    def session_lock(self, name: str) -> Iterator[bool]:
        """Hold the lock ``name`` of this store over several transactions; says whether we have it.

        Nobody waits for it. It is on a connection of its own, and gone with that at the latest.
        """
        lock = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
        unlock = text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))")
        key = {"name": f"rescore session {name} {self.store_schema}"}
        with self.translated(), self.engine.connect() as plain:
            # Outside of a transaction: one that idles is ended.
            connection = plain.execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()
            ours = bool(connection.execute(lock, key).scalar())
            try:
                yield ours
            finally:
                if ours:
                    with suppress(exc.DBAPIError):
                        connection.execute(unlock, key)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn database errors of the block into ours."""
        try:
            yield
        except exc.DBAPIError as error:
            said = error.orig if error.orig is not None else error
            raise refusal(said) or self._explained(said) from error
        except psycopg2.Error as error:
            raise refusal(error) or self._explained(error) from error

    def read_version(self, connection: Connection) -> str | None:
        """The schema's version as the transaction sees it, None if nothing was ever migrated here."""
        known = connection.execute(
            text("SELECT to_regclass(:name)"), {"name": f'"{self.store_schema}".alembic_version'}
        ).scalar()
        if known is None:
            return None
        query = sql_template("SELECT version_num FROM {store}.alembic_version", store=self.store_schema)
        version: str | None = connection.execute(text(query)).scalar()
        return version

    def check_version(self, connection: Connection) -> None:
        """Refuse a store that this code can't work on.

        Raises
        ------
        StoreSchemaError
            Not migrated, older or newer than this code.
        """
        version = self.read_version(connection)
        where = f"schema {self.store_schema} of {self.where}"
        if version is None:
            raise StoreSchemaError(
                "the store has not been set up",
                where=where,
                expected=f"version {KNOWN_VERSIONS[-1]}",
                fix=_MIGRATE,
            )
        if version not in KNOWN_VERSIONS:
            raise StoreSchemaError(
                f"the store has version {version}, which is newer than this code",
                where=where,
                expected=f"version {KNOWN_VERSIONS[-1]}",
                fix="upgrade rescore here, too; a store is never migrated back",
                data={"version": version, "known": list(KNOWN_VERSIONS)},
            )
        if version != KNOWN_VERSIONS[-1]:
            raise StoreSchemaError(
                f"the store has version {version}, which is older than this code",
                where=where,
                expected=f"version {KNOWN_VERSIONS[-1]}",
                fix=_MIGRATE,
                data={"version": version, "known": list(KNOWN_VERSIONS)},
            )

    def _explained(self, error: BaseException) -> StoreError | SettingsError:
        code = getattr(error, "pgcode", None)
        message = str(error).strip()
        if code is None and login_is_refused(message, self.address.parameters):
            return SettingsError(
                f"the store's database refuses the connection: {message}",
                where=self.where,
                expected="a database and a role that exist, its password, and TLS as sslmode asks for it",
                fix="correct RESCORE_DATABASE_URL, or let the database's administrator admit the role",
            )
        if code is None and isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
            first = message.splitlines()[0] if message else "no reason given"
            return StoreUnavailableError(
                f"the store's database does not answer: {first}",
                where=self.where,
                expected="a Postgres that takes connections",
                fix="start it (the local one: `rescore up`), or correct RESCORE_DATABASE_URL",
            )
        if code is not None and is_retryable(code):
            return StoreUnavailableError(
                f"the store's database refuses: {message}",
                where=self.where,
                fix="try again later",
                data={"sqlstate": code},
            )
        if code in _NOT_MIGRATED:
            return StoreSchemaError(
                f"something is missing in the store: {message}",
                where=f"schema {self.store_schema} of {self.where}",
                expected=f"version {KNOWN_VERSIONS[-1]}",
                fix=_MIGRATE,
                data={"sqlstate": code},
            )
        if code == "42501":
            return StoreError(
                f"not permitted: {message}",
                where=self.where,
                expected="the rights that `rescore store roles` gives",
                fix="set-up needs the owner (RESCORE_OWNER_URL), acts in a person's name a member of "
                "rescore_release (RESCORE_RELEASE_URL), runs a member of rescore_run",
                data={"sqlstate": code},
            )
        fix = None
        if code is not None and is_statement_timeout(code):
            fix = "raise statement_timeout for this role or in the options of RESCORE_DATABASE_URL"
        elif code == _PROGRAM_LIMIT and "index" in message:
            fix = (
                "if an index can't hold a key's text, identify rows by a shorter column, or by md5(…) of it, "
                "in extract.sql"
            )
        return StoreError(
            f"the store's database says: {message}", where=self.where, fix=fix, data={"sqlstate": code}
        )


def run_sql(connection: Connection, statement: sql.Composable, values: Any = None) -> list[tuple[Any, ...]]:
    """Run composed SQL (quoted identifiers, bound values) in the connection's transaction; give its rows."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall()) if cursor.description else []


def call(connection: Connection, function: str, *values: Any) -> tuple[Any, ...]:
    """Call a function of the protocol; gives the one row that it returns.

    Mappings and lists are passed as jsonb.

    Raises
    ------
    RescoreError
        What the function refuses, as ``rescore.store.refusals`` reads it.
    """
    passed = [Json(json_value(value)) if isinstance(value, Mapping | list) else value for value in values]
    values_of = ", ".join(["%s"] * len(passed))
    # Plain identifiers both; through SQLAlchemy, so that listeners see the statement.
    statement = f'SELECT * FROM "{schema_names(connection)[0]}"."{function}"({values_of})'  # noqa: S608
    return tuple(connection.exec_driver_sql(statement, tuple(passed)).one())


def schema_names(connection: Connection) -> tuple[str, str]:
    """The configured schemas: the store's and its consumers'."""
    names = connection.get_execution_options()["schema_translate_map"]
    return names[SCHEMA], names[CONSUMER_SCHEMA]


def store_table(connection: Connection, name: str) -> sql.Identifier:
    """The quoted, qualified name of a table, view or function of the store."""
    return sql.Identifier(schema_names(connection)[0], name)


def address_of(connection: Connection) -> PostgresUrl:
    """Where the connection leads, as configured."""
    address: PostgresUrl = connection.get_execution_options()["address"]
    return address


def where_of(connection: Connection, table: str) -> str:
    """A table and the database it is in, for people."""
    return f"{schema_names(connection)[0]}.{table} of {address_of(connection)}"


def lock_by_name(connection: Connection, name: str) -> None:
    """Wait for the lock ``name`` of this store, and hold it until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
        {"name": f"rescore {name} {schema_names(connection)[0]}"},
    )


def _prepare(raw: Any, entry: ConnectionPoolEntry) -> None:
    entry.info["pid"] = os.getpid()
    with raw.cursor() as cursor:
        # Moments are read back in UTC, whatever the role's or the database's default.
        cursor.execute("SET TIME ZONE 'UTC'")
        cursor.execute("SET application_name = 'rescore'")
        cursor.execute(BOUND_WAITS)
    raw.commit()


def _refuse_inherited(raw: Any, entry: Any, proxy: Any) -> None:
    """Never use a connection made before a fork; the documented recipe of SQLAlchemy's pool."""
    if entry.info["pid"] != os.getpid():
        entry.dbapi_connection = proxy.dbapi_connection = None
        raise exc.DisconnectionError("the connection belongs to the parent process")
