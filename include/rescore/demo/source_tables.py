"""Source tables that a demo loads: completely or not at all; loading them again changes nothing.

Each table carries, as its comment, what it was made from. A load that finds tables made from the same files
by the same loader, with no row missing, leaves them; a table that it did not make is never touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rescore.errors import SourceQueryError, SourceSchemaError, SourceUnavailableError
from rescore.postgres_url import PostgresUrl

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class in lower case

__all__ = ["Loaded", "SourceTables"]


@dataclass(frozen=True)
class Loaded:
    """What a load left behind.

    Attributes
    ----------
    schema : str
        The source schema.
    rows : dict of str to int
        Rows per table.
    already : bool
        Whether all of it was there before, so that nothing was written.
    seconds : float
        How long it took.
    """

    schema: str
    rows: dict[str, int]
    already: bool
    seconds: float


@dataclass(frozen=True)
class SourceTables:
    """The tables of one demo.

    Attributes
    ----------
    what : str
        In messages: ``flights``.
    package : str
        The distribution that the data comes from.
    tables : tuple of str
        Their names.
    made_from : str
        Loader and files, so that another release of either is told from this one.
    """

    what: str
    package: str
    tables: tuple[str, ...]
    made_from: str

    def load(self, url: str, schema: str, fill: Callable[[Cursor], None]) -> Loaded:
        """Load them into ``schema``, in one transaction.

        Parameters
        ----------
        url : str
            A Postgres URL; the role needs CREATE on the database, or on the schema if that exists.
        schema : str
            Where the tables go.
        fill : callable
            Makes and fills the tables; called if they are not there.

        Raises
        ------
        SettingsError
            The URL can't be read.
        SourceUnavailableError
            The database can't be reached.
        SourceQueryError
            The role may not create tables, or the files are not what they were.
        SourceSchemaError
            The schema holds a table of one of these names that this loader did not make.
        """
        import psycopg2

        began = time.perf_counter()
        address = PostgresUrl.parse(url, where=f"the connection for the {self.what}")
        try:
            connection = psycopg2.connect(address.dsn)
        except psycopg2.OperationalError as error:
            raise SourceUnavailableError(
                f"the database for the {self.what} can't be reached: {str(error).strip()}",
                expected="a running Postgres",
                fix="start it (`rescore up`), or correct the connection's URL",
            ) from None
        try:
            # psycopg2: leaving this block commits, an exception rolls everything back.
            with connection, connection.cursor() as cursor:
                already = self._prepare(cursor, schema)
                if not already:
                    fill(cursor)
                rows = {table: _count(cursor, schema, table) for table in self.tables}
                if not already:
                    self._sign(cursor, schema, rows)
        except psycopg2.OperationalError as error:
            raise SourceUnavailableError(
                f"the database went away while the {self.what} were loaded: {str(error).strip()}",
                where=f"schema {schema}; nothing of it was kept",
                fix="look at the server's log and disk, then load again",
            ) from None
        except psycopg2.Error as error:
            raise SourceQueryError(
                f"the {self.what} can't be loaded: {str(error).strip()}",
                where=f"schema {schema}; nothing of it was kept",
                expected="a role that may create a schema, or tables in it if it exists",
                fix="GRANT CREATE ON DATABASE … TO the role, "
                f"or, if the error is about the data, install {self.package} again",
            ) from error
        finally:
            connection.close()
        return Loaded(schema, rows, already, time.perf_counter() - began)

    @property
    def _mark(self) -> str:
        return f"rescore demo {self.what}"

    def _prepare(self, cursor: Cursor, schema: str) -> bool:
        """Whether everything is there; if not, leave the schema without our tables."""
        from psycopg2 import sql

        # Two loads at once would both find nothing: the second waits, then finds the first one's rows.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(%s))", [self._mark, schema])
        cursor.execute("SET LOCAL TIME ZONE 'UTC'")
        cursor.execute(
            "SELECT relname, coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND relname = ANY(%s) AND relkind IN ('r', 'p', 'v', 'm', 'f')",
            [schema, list(self.tables)],
        )
        comments: dict[str, str] = dict(cursor.fetchall())
        foreign = [name for name, comment in comments.items() if not comment.startswith(self._mark)]
        if foreign:
            raise SourceSchemaError(
                f"schema {schema!r} already holds tables that the {self.what}' loader did not make",
                where=f"schema {schema}",
                examples=sorted(foreign),
                expected=f"a schema of its own for the demo's {self.what}",
                fix="give another schema, or rename those tables",
            )
        if len(comments) == len(self.tables) and all(
            comments[table] == self._comment(_count(cursor, schema, table)) for table in self.tables
        ):
            return True
        cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema])
        if cursor.fetchone() is None:  # CREATE SCHEMA IF NOT EXISTS asks for more rights than needed
            cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        for table in comments:
            cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(schema, table)))
        return False

    def _comment(self, rows: int) -> str:
        return f"{self._mark}, {self.made_from}, {rows} rows"

    def _sign(self, cursor: Cursor, schema: str, rows: dict[str, int]) -> None:
        """Write on each table what it was made from, so that the next load knows it."""
        from psycopg2 import sql

        for table in self.tables:
            cursor.execute(
                sql.SQL("COMMENT ON TABLE {} IS {}").format(
                    sql.Identifier(schema, table), sql.Literal(self._comment(rows[table]))
                )
            )


def _count(cursor: Cursor, schema: str, table: str) -> int:
    from psycopg2 import sql

    cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table)))
    [(count,)] = cursor.fetchall()
    return int(count)
