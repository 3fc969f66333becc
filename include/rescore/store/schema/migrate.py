"""Bring the store's schema up to date, or print the SQL that would."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sqlalchemy import Connection, text

from rescore.store.database import KNOWN_VERSIONS, Database

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["Migrating"]


class Migrating(Database):
    """The part of the store that creates its own schema."""

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
            The role may not create schemas or tables; print :meth:`ddl` for who may.
        """
        with self.transaction(checked=False) as connection:
            connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
                {"name": f"rescore migrate {self.store_schema}"},
            )
            version = self._read_version(connection)
            if version is not None and version not in KNOWN_VERSIONS:
                self._check_version(connection)
            if version != KNOWN_VERSIONS[-1]:
                from alembic import command

                command.upgrade(self._config(connection=connection), "head")
        return KNOWN_VERSIONS[-1]

    def ddl(self) -> str:
        """All of :meth:`migrate` for a new database, as SQL for a database administrator."""
        from alembic import command

        output = io.StringIO()
        command.upgrade(self._config(output=output), "head", sql=True)
        return output.getvalue()

    def _config(self, *, connection: Connection | None = None, output: TextIO | None = None) -> Config:
        from alembic.config import Config

        config = Config(output_buffer=output) if output is not None else Config()
        config.set_main_option(
            "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
        )
        config.attributes.update(
            connection=connection,
            output=output,
            store_schema=self.store_schema,
            consumer_schema=self.consumer_schema,
        )
        return config
