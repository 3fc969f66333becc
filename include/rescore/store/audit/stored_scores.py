"""Compare stored scores with the digests that their runs were bound to."""

from __future__ import annotations

import pyarrow as pa
from psycopg2 import sql
from sqlalchemy import Connection, select

from rescore.digest import TableDigest
from rescore.store.audit.findings import Finding
from rescore.store.database import run_sql, store_table
from rescore.store.erasure.tombstone import Tombstone, last_tombstones
from rescore.store.retention.deletions import deleted_runs
from rescore.store.runs.scores import stored_digest, stored_scores
from rescore.store.schema.model_registration import has_tables, score_layout
from rescore.store.schema.tables import run as run_table

__all__ = ["compare_scores"]


def compare_scores(connection: Connection) -> tuple[int, list[Finding]]:
    """Read every run's scores back, wherever in the table they are, and compare digests.

    Returns
    -------
    tuple
        How many runs were compared, and what differs.
    """
    found: list[Finding] = []
    query = select(
        run_table.c.run_id, run_table.c.model, run_table.c.state, run_table.c.score_digest
    ).order_by(run_table.c.model, run_table.c.claimed_at)
    runs = {row.run_id: row for row in connection.execute(query)}
    deleted = set(connection.execute(deleted_runs()).scalars())
    buried = last_tombstones(connection, "scores")
    compared = 0
    for model in sorted({row.model for row in runs.values()}):
        if not has_tables(connection, model):
            continue
        layout = score_layout(connection, model)
        table = layout.scores_table
        counted = sql.SQL("SELECT run_id::text, count(*) FROM {} GROUP BY 1").format(
            store_table(connection, table)
        )
        for run_id, rows in run_sql(connection, counted):
            if run_id not in runs or runs[run_id].score_digest is None or run_id in deleted:
                found.append(
                    Finding(
                        "scores that no run was bound to",
                        f"{table}, run {run_id}",
                        "0 rows",
                        f"{rows:,} rows",
                    )
                )
        for row in (row for row in runs.values() if row.model == model and row.score_digest is not None):
            if row.run_id in deleted:
                continue
            compared += 1
            bound = TableDigest.from_dict(row.score_digest)
            if row.run_id in buried:
                rest = stored_scores(connection, layout.as_digested(bound.columns), row.run_id)
                found += [
                    Finding(f"what an erasure left is not there: {one}", f"{table}, run {row.run_id}")
                    for one in _apart(buried[row.run_id], bound, rest)
                ]
                continue
            stored = stored_digest(connection, layout.as_digested(bound.columns), row.run_id, None)
            if stored != bound:
                found.append(
                    Finding(
                        "the stored scores are not those that were staged",
                        f"{table}, run {row.run_id}",
                        f"{bound.root}, {bound.rows:,} rows",
                        f"{stored.root}, {stored.rows:,} rows",
                    )
                )
    return compared, found


def _apart(tombstone: Tombstone, bound: TableDigest, rest: pa.Table) -> list[str]:
    """Where a run's remaining scores, or the root that they prove, are not what was published."""
    if tombstone.table != bound:
        return [f"the tombstone is of {tombstone.table.root}, the run was bound to {bound.root}"]
    return tombstone.differences(rest, bound.root)
