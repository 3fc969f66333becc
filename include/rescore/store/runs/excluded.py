"""Rows that get no score: quarantined by an expectation, or rejected by the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from psycopg2 import sql
from sqlalchemy import Connection, Row

from rescore.errors import RowAccountingError
from rescore.shown_text import number_of
from rescore.store.database import Database, call, run_sql, store_table
from rescore.store.records import RunHandle, RunReference, run_id_of
from rescore.store.runs.queries import run_row
from rescore.store.schema.model_registration import has_tables, score_layout
from rescore.store.schema.score_table import EXCLUDED_KINDS, ScoreLayout

__all__ = ["Excluded", "excluded_counts"]

#: Rows without a score in one call; some 200 bytes each.
_PART_ROWS = 65_536


class Excluded:
    """Rows without a score, and why."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self,
        run: RunHandle,
        rows: pa.Table,
        *,
        positions: Sequence[int],
        kinds: Sequence[str],
        reasons: Sequence[str],
    ) -> None:
        """Keep the rows that get no score, and count them; recording the same again changes nothing.

        Parameters
        ----------
        run : RunHandle
            An open run without scores, of a model that has tables (``models.ensure``).
        rows : pyarrow.Table
            The excluded rows' key columns and event time; more columns are ignored.
        positions : sequence of int
            Their positions in the frozen input, from 0.
        kinds : sequence of {'quarantined', 'rejected'}
            What became of each.
        reasons : sequence of str
            Why, in words.

        Raises
        ------
        RowAccountingError
            The lengths differ, a position occurs twice, or a kind is unknown.
        StoreError
            The run has other excluded rows already.
        """
        lengths = {rows.num_rows, len(positions), len(kinds), len(reasons)}
        unknown = sorted(set(kinds) - set(EXCLUDED_KINDS))
        if len(lengths) > 1 or len(set(positions)) != len(positions) or unknown:
            raise RowAccountingError(
                f"the excluded rows of run {run.run_id} differ in number, or a position or kind is wrong",
                expected=f"per row a kind ({', '.join(EXCLUDED_KINDS)}), a reason and a position of its own",
                examples=[number_of(rows.num_rows, "row"), f"{len(positions)} positions", *unknown],
            )
        order = np.argsort(np.asarray(positions, dtype=np.int64))
        with self._database.transaction() as connection:
            named = rows
            if rows.num_rows:
                layout = score_layout(connection, run_row(connection, run.run_id).model)
                named = rows.select(layout.row_schema.names).cast(layout.row_schema)
            # In parts: a document of all rows may be larger than Postgres takes, and than memory should hold.
            for start in range(0, max(1, len(order)), _PART_ROWS):
                places = order[start : start + _PART_ROWS]
                part = [
                    {**row, "position": int(positions[at]), "kind": kinds[at], "reason": reasons[at]}
                    for at, row in zip(places, named.take(pa.array(places)).to_pylist(), strict=True)
                ]
                call(connection, "record_excluded", run.run_id, run.fence, part, start, len(order))

    def positions(self, run: RunReference) -> list[int]:
        """Positions in the frozen input of the rows without a score, ascending."""
        with self._database.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            if not has_tables(connection, row.model):
                return []
            layout = score_layout(connection, row.model)
            return [position for position, _, _ in _read(connection, layout, row.run_id)]

    def kinds(self, run: RunReference) -> list[dict[str, Any]]:
        """Each row without a score: ``position``, ``kind`` and ``reason``; by position."""
        with self._database.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            if not has_tables(connection, row.model):
                return []
            rows = _read(connection, score_layout(connection, row.model), row.run_id)
        return [{"position": position, "kind": kind, "reason": reason} for position, kind, reason in rows]

    def rows(self, run: RunReference) -> list[dict[str, Any]]:
        """Each row without a score: the columns that name it, ``kind`` and ``reason``; in no order."""
        with self._database.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            if not has_tables(connection, row.model):
                return []
            layout = score_layout(connection, row.model)
            names = [*layout.row_schema.names, "kind", "reason"]
            statement = sql.SQL("SELECT {} FROM {} WHERE run_id = %s").format(
                sql.SQL(", ").join(map(sql.Identifier, names)),
                store_table(connection, layout.excluded_table),
            )
            return [
                dict(zip(names, values, strict=True))
                for values in run_sql(connection, statement, (row.run_id,))
            ]

    def counts(self, run: RunReference) -> dict[str, int]:
        """How many rows of the run are kept as quarantined and as rejected; counted, not recorded."""
        with self._database.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            return excluded_counts(connection, row)


def excluded_counts(connection: Connection, row: Row[Any]) -> dict[str, int]:
    """How many rows of the run are kept as quarantined and as rejected; counted, not recorded."""
    counts = dict.fromkeys(EXCLUDED_KINDS, 0)
    if has_tables(connection, row.model):
        table = store_table(connection, score_layout(connection, row.model).excluded_table)
        statement = sql.SQL("SELECT kind, count(*) FROM {} WHERE run_id = %s GROUP BY kind").format(table)
        counts |= dict(run_sql(connection, statement, (row.run_id,)))
    return counts


def _read(connection: Connection, layout: ScoreLayout, run_id: str) -> list[tuple[Any, ...]]:
    statement = sql.SQL('SELECT "position", kind, reason FROM {} WHERE run_id = %s ORDER BY "position"')
    return run_sql(connection, statement.format(store_table(connection, layout.excluded_table)), (run_id,))
