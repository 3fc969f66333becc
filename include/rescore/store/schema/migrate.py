"""Bring the store's schema up to date, or print the SQL that would."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sqlalchemy import Connection, text

from rescore.store.database import KNOWN_VERSIONS, Database, lock_by_name
from rescore.store.postgres_version import check_postgres_version

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["Schema"]


class Schema:
    """The store's own tables, in their versions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def migrate(self) -> str:
        """Create or upgrade the schema in one transaction; any number of callers at once is fine.

        Returns
        -------
        str
            The version reached.

        Raises
        ------
        StoreSchemaError
            The schema is newer than this code.
        StoreError
            The role may not create schemas or tables (print :meth:`ddl` for who may), or Postgres is too old.
        """
        with self._database.transaction(checked=False) as connection:
            self._server_version(connection)
            lock_by_name(connection, "migrate")
            version = self._database.read_version(connection)
            if version is not None and version not in KNOWN_VERSIONS:
                self._database.check_version(connection)
            if version != KNOWN_VERSIONS[-1]:
                self.upgrade(connection, "head")
        return KNOWN_VERSIONS[-1]

    def upgrade(self, connection: Connection, version: str) -> None:
        """Run the steps up to ``version`` in the connection's transaction, whose caller holds the lock."""
        from alembic import command

        command.upgrade(self._config(connection=connection, whole=version == "head"), version)

    def version(self) -> str | None:
        """The schema's version, None if nothing was ever migrated here."""
        with self._database.transaction(checked=False) as connection:
            return self._database.read_version(connection)

    def server_version(self) -> str:
        """The version of the store's Postgres.

        Raises
        ------
        StoreError
            It is lower than a store can be on.
        """
        with self._database.transaction(checked=False) as connection:
            return self._server_version(connection)

    def _server_version(self, connection: Connection) -> str:
        number = connection.execute(text("SELECT current_setting('server_version_num')::int")).scalar_one()
        return check_postgres_version(number, self._database.where)

    def ddl(self) -> str:
        """All of :meth:`migrate` for a new database, its refusal of an old server too, as SQL."""
        from alembic import command

        output = io.StringIO()
        command.upgrade(self._config(output=output), "head", sql=True)
        return output.getvalue()

    def _config(
        self, *, connection: Connection | None = None, output: TextIO | None = None, whole: bool = True
    ) -> Config:
        from alembic.config import Config

        config = Config(output_buffer=output) if output is not None else Config()
        config.set_main_option(
            "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
        )
        config.attributes.update(
            connection=connection,
            output=output,
            whole=whole,
            store_schema=self._database.store_schema,
            consumer_schema=self._database.consumer_schema,
        )
        return config
