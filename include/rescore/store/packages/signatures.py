"""Signatures over package files: append-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select

from rescore.store.database import Database
from rescore.store.jsonable import jsonable
from rescore.store.schema.tables import signature as signature_table

__all__ = ["Signatures"]


class Signatures:
    """Who signed which package's file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, model: str, sha256: str, bundle: Mapping[str, Any], *, who: str) -> int:
        """Keep a signature over a registered package's file.

        Parameters
        ----------
        model, sha256 : str
            The package.
        bundle : mapping
            The Sigstore bundle.
        who : str
            Who signed; stored for ever.

        Returns
        -------
        int
            Its id.
        """
        values = {"model": model, "sha256": sha256, "bundle": jsonable(bundle), "who": who}
        statement = insert(signature_table).values(values).returning(signature_table.c.signature_id)
        with self._database.transaction() as connection:
            return int(connection.execute(statement).scalar_one())

    def of_package(self, model: str, sha256: str) -> list[dict[str, Any]]:
        """The signatures of a package's file, newest first: rows with ``bundle``, ``who``, ``signed_at``."""
        query = select(signature_table).where(
            signature_table.c.model == model, signature_table.c.sha256 == sha256
        )
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(signature_table.c.signature_id.desc())).all()
        return [dict(row._mapping) for row in rows]
