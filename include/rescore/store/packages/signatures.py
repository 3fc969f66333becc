"""Signatures over package files: append-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from rescore.sha256 import Sha256
from rescore.store.database import Database, call
from rescore.store.report_records import Signature
from rescore.store.schema.tables import signature as signature_table

__all__ = ["Signatures"]


class Signatures:
    """Who signed which package's file."""

    def __init__(self, database: Database, as_person: Database | None = None) -> None:
        self._database = database
        self._as_person = as_person or database

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
        with self._as_person.transaction() as connection:
            (kept,) = call(connection, "add_signature", model, sha256, dict(bundle), who)
        return int(kept)

    def of_package(self, model: str, sha256: str) -> list[Signature]:
        """The signatures of a package's file, newest first."""
        query = select(signature_table).where(
            signature_table.c.model == model, signature_table.c.sha256 == sha256
        )
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(signature_table.c.signature_id.desc())).all()
        return [Signature(row.model, Sha256(row.sha256), row.bundle, row.who, row.signed_at) for row in rows]
