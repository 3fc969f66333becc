"""Frozen tables: inputs of runs and training snapshots; append-only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from rescore.interval import Interval
from rescore.sha256 import Sha256
from rescore.store.database import Database, call
from rescore.store.records import Snapshot
from rescore.store.schema.removal_tables import freezing as freezing_table
from rescore.store.schema.removal_tables import frozen_again as again_table
from rescore.store.schema.tables import snapshot as snapshot_table

__all__ = ["Snapshots"]

_AGAIN = select(func.max(again_table.c.at)).where(again_table.c.snapshot_id == snapshot_table.c.snapshot_id)
_SNAPSHOTS = select(snapshot_table, _AGAIN.scalar_subquery().label("again_at"))


class Snapshots:
    """Which tables are frozen, and where."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, digest: str) -> None:
        """Note that a table is about to be put in the archive: if nothing follows, its file is known."""
        with self._database.transaction() as connection:
            call(connection, "note_freezing", str(digest))

    def begun(self) -> set[str]:
        """Digests of tables that somebody began to put in the archive, and that no snapshot names."""
        with self._database.transaction() as connection:
            return set(connection.execute(select(freezing_table.c.digest)).scalars())

    def add(
        self,
        *,
        model: str,
        kind: str,
        digest: str,
        interval: Interval,
        as_of: datetime,
        rows: int,
        uri: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a frozen table; recording it again says only that it was frozen again.

        Parameters
        ----------
        model : str
            The model.
        kind : {'input', 'training'}
            The input of a run, or a training snapshot.
        digest : str
            Content digest.
        interval : Interval
            The rows' interval; of a training snapshot the whole window.
        as_of : datetime
            What had been recorded by then is in it.
        rows : int
            Row count.
        uri : str
            Where the archive holds it.
        details : mapping, optional
            Anything else worth keeping.
        """
        bounds = (interval.start, interval.end, as_of)
        with self._database.transaction() as connection:
            call(connection, "add_snapshot", model, kind, digest, *bounds, rows, uri, dict(details or {}))

    def of_model(self, model: str, *, kind: str | None = None, digest: str | None = None) -> list[Snapshot]:
        """Frozen tables of a model, newest first."""
        query = _SNAPSHOTS.where(snapshot_table.c.model == model)
        if kind is not None:
            query = query.where(snapshot_table.c.kind == kind)
        if digest is not None:
            query = query.where(snapshot_table.c.digest == digest)
        return self._read(query)

    def all(self) -> list[Snapshot]:
        """Frozen tables of all models, newest first."""
        return self._read(_SNAPSHOTS)

    def _read(self, query: Select[Any]) -> list[Snapshot]:
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(snapshot_table.c.snapshot_id.desc())).all()
        return [
            Snapshot(
                row.model,
                row.kind,
                Sha256(row.digest),
                Interval(row.interval_start, row.interval_end),
                row.as_of,
                row.rows,
                row.uri,
                row.details,
                row.created_at,
                row.again_at or row.created_at,
            )
            for row in rows
        ]
