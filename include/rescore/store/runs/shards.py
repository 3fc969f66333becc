"""Shards: ranges of a run's scores, each staged by an attempt of its own, then joined, all or none.

What is allowed is checked by the functions of ``schema/protocol/sharding.sql``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import select

from rescore.digest import TableDigest
from rescore.errors import NotFoundError
from rescore.sha256 import Sha256
from rescore.store.binary_copy import copy_batches
from rescore.store.database import Database, call, store_table
from rescore.store.records import RunHandle, RunReference, Shard, ShardHandle, run_id_of
from rescore.store.runs.scores import score_stream
from rescore.store.schema.tables import shard as shard_table

__all__ = ["Shards"]


class Shards:
    """A run's scores in parts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(
        self,
        run: RunHandle,
        rows: Sequence[int],
        *,
        package_version: str,
        package_sha256: str,
        environment: Mapping[str, Any] | None = None,
    ) -> list[ShardHandle]:
        """Cut the scores that a run will have into ranges, all to be made by one package.

        Parameters
        ----------
        run : RunHandle
            A validated run; what another attempt at it planned counts no more.
        rows : sequence of int
            How many rows each range has, in order: together those that were extracted and not set aside.
        package_version, package_sha256 : str
            What every shard is scored with.
        environment : mapping, optional
            The numeric environment that every shard has to run in; default: the claim's.

        Raises
        ------
        StaleFenceError
            A later attempt has begun.
        RowAccountingError
            The ranges are not the run's rows.
        StoreError
            The run is not validated, or has scores already.
        """
        with self._database.transaction() as connection:
            made_by = (package_version, package_sha256, environment)
            call(connection, "shards_begin", run.run_id, run.fence, *made_by, list(rows))
        return [ShardHandle(run, number) for number in range(len(rows))]

    def of_run(self, run: RunReference) -> list[Shard]:
        """The shards of a run, in order; none if it was scored in one piece."""
        query = select(shard_table).where(shard_table.c.run_id == run_id_of(run))
        with self._database.transaction() as connection:
            found = connection.execute(query.order_by(shard_table.c.number)).all()
        return [
            Shard(
                number=row.number,
                first_row=row.first_row,
                rows=row.rows,
                package_version=row.package_version,
                package_sha256=Sha256(row.package_sha256),
                attempts=row.attempt,
                digest=None if row.digest is None else TableDigest.from_dict(row.digest),
                done_at=row.done_at,
            )
            for row in found
        ]

    def get(self, shard: ShardHandle) -> Shard:
        """One shard.

        Raises
        ------
        NotFoundError
            The run has no such shard.
        """
        found = self.of_run(shard)
        if shard.number >= len(found):
            raise NotFoundError(
                f"run {shard.run_id} has no shard {shard.number}",
                expected=f"one of its {len(found)}",
                fix="plan its shards first",
            )
        return found[shard.number]

    def stage(
        self,
        shard: ShardHandle,
        scores: Iterable[pa.RecordBatch],
        *,
        environment: Mapping[str, Any] | None = None,
    ) -> TableDigest:
        """Write the scores of one shard, all or none; what is staged already is not asked for again.

        Parameters
        ----------
        shard : ShardHandle
            Which.
        scores : iterable of pyarrow.RecordBatch
            As for ``Scores.stage``, of this range alone. Not touched if they are staged.
        environment : mapping, optional
            The numeric environment that they were made in.

        Returns
        -------
        TableDigest
            Of the shard's scores.

        Raises
        ------
        StaleFenceError
            A later attempt at the run or at this shard has begun.
        RowAccountingError
            Other rows in number than planned.
        EnvironmentMismatchError
            Another numeric environment than the run was planned in.
        StoreError
            As ``Scores.stage`` says.
        """
        run_id, fence = shard.run.run_id, shard.run.fence
        stream = score_stream(self._database, run_id)
        with self._database.transaction() as connection:
            staged, attempt = call(connection, "shard_begin", run_id, fence, shard.number)
        if staged is None:
            done = self.get(shard).digest
            if done is None:
                raise AssertionError(shard)
            return done
        with self._database.transaction() as connection:
            copy_batches(connection, store_table(connection, staged), stream.schema, stream.checked(scores))
        digest = stream.digest()
        with self._database.transaction() as connection:
            which = (run_id, fence, shard.number, attempt)
            call(connection, "shard_finish", *which, digest.to_dict(), environment)
        return digest

    def join(self, run: RunHandle) -> TableDigest:
        """Make what all shards staged the run's scores; joining them again changes nothing.

        Returns
        -------
        TableDigest
            Of the run's scores: the very one that staging them in one piece gives.

        Raises
        ------
        RowAccountingError
            A shard has no scores; the error names each.
        StaleFenceError
            A later attempt has begun.
        """
        staged = [shard.digest for shard in self.of_run(run)]
        there = [digest for digest in staged if digest is not None]
        digest = TableDigest.joined(there) if there and len(there) == len(staged) else None
        with self._database.transaction() as connection:
            given = None if digest is None else digest.to_dict()
            call(connection, "shards_finish", run.run_id, run.fence, given)
        if digest is None:
            raise AssertionError(run)  # without the digests of all shards the function refuses
        return digest
