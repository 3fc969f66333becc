"""Comparisons of champion and challenger: append-only reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, or_, select

from rescore.errors import NotFoundError
from rescore.sha256 import Sha256
from rescore.store.database import Database, call
from rescore.store.report_records import StoredComparison
from rescore.store.schema.tables import comparison as comparison_table

__all__ = ["Comparisons"]


class Comparisons:
    """What promotions were decided on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        *,
        model: str,
        champion_sha256: str,
        challenger_sha256: str,
        snapshot_digest: str,
        report: Mapping[str, Any],
    ) -> int:
        """Keep a comparison of two registered packages.

        Returns
        -------
        int
            Its id.
        """
        packages = (model, champion_sha256, challenger_sha256)
        with self._database.transaction() as connection:
            (kept,) = call(connection, "add_comparison", *packages, snapshot_digest, dict(report))
        return int(kept)

    def get(self, comparison_id: int) -> StoredComparison:
        """One comparison.

        Raises
        ------
        NotFoundError
            No such comparison.
        """
        query = select(comparison_table).where(comparison_table.c.comparison_id == comparison_id)
        with self._database.transaction() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(
                f"there is no comparison {comparison_id}",
                where=f"{self._database.store_schema}.comparison of {self._database.where}",
                fix="`rescore compare MODEL --challenger VERSION` makes one",
            )
        return _stored(row)

    def of_model(
        self,
        model: str,
        *,
        challenger_sha256: str | None = None,
        package_sha256: str | None = None,
        last: int | None = None,
    ) -> list[StoredComparison]:
        """A model's comparisons, newest first, at most ``last``: of a challenger, or of a package."""
        table = comparison_table.c
        query = select(comparison_table).where(table.model == model)
        if challenger_sha256 is not None:
            query = query.where(table.challenger_sha256 == challenger_sha256)
        if package_sha256 is not None:
            query = query.where(
                or_(table.champion_sha256 == package_sha256, table.challenger_sha256 == package_sha256)
            )
        with self._database.transaction() as connection:
            rows = connection.execute(
                query.order_by(comparison_table.c.comparison_id.desc()).limit(last)
            ).all()
        return [_stored(row) for row in rows]


def _stored(row: Row[Any]) -> StoredComparison:
    return StoredComparison(
        row.comparison_id,
        row.model,
        Sha256(row.champion_sha256),
        Sha256(row.challenger_sha256),
        Sha256(row.snapshot_digest),
        row.report,
        row.at,
    )
