"""Compare stored scores with the digests that their runs were bound to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import pyarrow as pa
from psycopg2 import sql
from sqlalchemy import Connection, func, select

from rescore.digest import TableDigest
from rescore.progress import Progress, Ticker, silent
from rescore.shown_text import number_of
from rescore.store.audit.findings import Finding
from rescore.store.database import run_sql, store_table
from rescore.store.erasure.tombstone import Tombstone, last_tombstones
from rescore.store.retention.deletions import deleted_runs
from rescore.store.runs.scores import digest_of, stored_batches, stored_scores
from rescore.store.schema.model_registration import has_tables, score_layout
from rescore.store.schema.score_table import ScoreLayout
from rescore.store.schema.tables import run as run_table

__all__ = ["compare_scores"]

_EXCLUDED = """
SELECT r.run_id::text, r.rows_quarantined, r.rows_rejected,
  count(e.run_id) FILTER (WHERE e.kind = 'quarantined'), count(e.run_id) FILTER (WHERE e.kind = 'rejected')
FROM {run} r LEFT JOIN {excluded} e ON e.run_id = r.run_id
WHERE r.model = {model} AND r.state = 'published' GROUP BY 1, 2, 3 ORDER BY 1
"""


def compare_scores(connection: Connection, progress: Progress = silent) -> tuple[int, list[Finding]]:
    """Read every run's scores back, wherever in the table they are, and compare digests.

    All of it is read in the connection's snapshot, over connections of their own: what retention or an
    erasure takes meanwhile is neither missed nor half seen. Rows without a score are counted.

    Parameters
    ----------
    connection : Connection
        In a transaction that is ``REPEATABLE READ``.
    progress : callable, optional
        Receives a line now and then.

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
    snapshot = str(connection.execute(select(func.pg_export_snapshot())).scalar_one())
    deleted = set(connection.execute(deleted_runs()).scalars())
    buried = last_tombstones(connection, "scores")
    compared, total = 0, sum(row.score_digest is not None for row in runs.values())
    say = Ticker(progress)
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
                        number_of(rows, "row"),
                    )
                )
        found += _compare_excluded(connection, layout, deleted, buried)
        for row in (row for row in runs.values() if row.model == model and row.score_digest is not None):
            if row.run_id in deleted:
                continue
            compared += 1
            say.step(f"runs with scores: {compared:,} of at most {total:,}", compared, total)
            bound = TableDigest.from_dict(row.score_digest)
            if row.run_id in buried:
                rest = stored_scores(connection, layout.as_digested(bound.columns), row.run_id, snapshot)
                found += [
                    Finding(f"what an erasure left is not there: {one}", f"{table}, run {row.run_id}")
                    for one in _apart(buried[row.run_id], bound, rest)
                ]
                continue
            digested = layout.as_digested(bound.columns)
            stored = digest_of(digested, stored_batches(connection, digested, row.run_id, snapshot=snapshot))
            if stored != bound:
                found.append(
                    Finding(
                        "the stored scores are not those that were staged",
                        f"{table}, run {row.run_id}",
                        f"{bound.root}, {number_of(bound.rows, 'row')}",
                        f"{stored.root}, {number_of(stored.rows, 'row')}",
                    )
                )
    return compared, found


def _compare_excluded(
    connection: Connection, layout: ScoreLayout, deleted: Collection[str], buried: Mapping[str, Tombstone]
) -> Iterator[Finding]:
    """Published runs whose rows without a score are not as many as were counted, but for erased ones."""
    statement = sql.SQL(_EXCLUDED).format(
        run=store_table(connection, "run"),
        excluded=store_table(connection, layout.excluded_table),
        model=sql.Literal(layout.model),
    )
    for run_id, quarantined, rejected, of_first, of_second in run_sql(connection, statement):
        erased = len(buried[run_id].without_score) if run_id in buried else 0
        lost = (quarantined - of_first, rejected - of_second)
        if run_id not in deleted and (min(lost) < 0 or sum(lost) != erased):
            yield Finding(
                "rows without a score are not those that were counted",
                f"{layout.excluded_table}, run {run_id}",
                f"{quarantined:,} quarantined and {rejected:,} rejected, of which {erased:,} were erased",
                f"{of_first:,} and {of_second:,}",
            )


def _apart(tombstone: Tombstone, bound: TableDigest, rest: pa.Table) -> list[str]:
    """Where a run's remaining scores, or the root that they prove, are not what was published."""
    if tombstone.table != bound:
        return [f"the tombstone is of {tombstone.table.root}, the run was bound to {bound.root}"]
    return tombstone.differences(rest, bound.root)
