"""Shards: ranges of a run's scores, each staged by an attempt of its own, then joined, all or none.

What is allowed is checked by the functions of ``schema/protocol/sharding.sql``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import select

from rescore.digest import TableDigest
from rescore.errors import NotFoundError, StaleFenceError, StoreError, UndigestibleError
from rescore.sha256 import Sha256
from rescore.store.binary_copy import copy_batches
from rescore.store.database import Database, call, store_table
from rescore.store.records import RunHandle, RunReference, Shard, ShardHandle, run_id_of
from rescore.store.runs.scores import score_stream
from rescore.store.schema.tables import run as run_table
from rescore.store.schema.tables import shard as shard_table

__all__ = ["Shards"]

#: What a COPY meets whose table a later attempt dropped, or took the rights to.
_OVERTAKEN = {"42P01", "42501"}


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
        return [_shard(row) for row in found]

    def get(self, shard: ShardHandle) -> Shard:
        """One shard.

        Raises
        ------
        StaleFenceError
            A later attempt at the run has begun, and planned it otherwise or not at all.
        NotFoundError
            The attempt planned no such shard.
        """
        query = select(shard_table).where(shard_table.c.run_id == shard.run_id)
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(shard_table.c.number)).all()
            fence = connection.execute(
                select(run_table.c.fence).where(run_table.c.run_id == shard.run_id)
            ).scalar()
        mine = [row for row in rows if row.fence == shard.run.fence]
        if not mine and fence != shard.run.fence:
            raise StaleFenceError(
                f"this shard of run {shard.run_id} was planned under fence {shard.run.fence}, and a later one"
                " has begun",
                expected=f"fence {fence}",
                fix="let the later one finish; this one changes and publishes nothing",
                data={"run_id": shard.run_id, "fence": shard.run.fence, "current_fence": fence},
            )
        if shard.number >= len(mine):
            raise NotFoundError(
                f"run {shard.run_id} has no shard {shard.number}",
                expected=f"one of its {len(mine)}",
                fix="plan its shards first",
            )
        return _shard(mine[shard.number])

    def missing(self, run_ids: Iterable[str]) -> dict[str, tuple[int, list[Shard]]]:
        """Of each run whose shards are not all staged: how many there are, and those that have no scores."""
        query = select(shard_table).where(shard_table.c.run_id.in_([*run_ids]))
        found: dict[str, list[Shard]] = {}
        with self._database.transaction() as connection:
            for row in connection.execute(query.order_by(shard_table.c.number)):
                found.setdefault(row.run_id, []).append(_shard(row))
        missing = {run: [one for one in shards if one.digest is None] for run, shards in found.items()}
        return {run: (len(found[run]), shards) for run, shards in missing.items() if shards}

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
            staged, attempt = call(connection, "shard_begin", run_id, fence, shard.number, environment)
        if staged is None:
            done = self.get(shard).digest
            if done is None:
                raise AssertionError(shard)
            return done
        which = (run_id, fence, shard.number, attempt)
        try:
            with self._database.transaction() as connection:
                copy_batches(
                    connection, store_table(connection, staged), stream.schema, stream.checked(scores)
                )
        except StoreError as error:
            if error.data.get("sqlstate") in _OVERTAKEN:
                self._finish(which, {}, environment)  # refuses, and says which attempt took the table away
            raise
        digest = stream.digest()
        self._finish(which, digest.to_dict(), environment)
        return digest

    def _finish(self, which: tuple[Any, ...], digest: Mapping[str, Any], environment: Any) -> None:
        with self._database.transaction() as connection:
            call(connection, "shard_finish", *which, digest, environment)

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
        StoreError
            A key was widened between two shards, so that their digests are of other columns.
        StaleFenceError
            A later attempt has begun.
        """
        staged = [shard.digest for shard in self.of_run(run)]
        there = [digest for digest in staged if digest is not None]
        digest = self._joined(run, there) if there and len(there) == len(staged) else None
        with self._database.transaction() as connection:
            given = None if digest is None else digest.to_dict()
            call(connection, "shards_finish", run.run_id, run.fence, given)
        if digest is None:
            raise AssertionError(run)  # without the digests of all shards the function refuses
        return digest

    @staticmethod
    def _joined(run: RunHandle, parts: Sequence[TableDigest]) -> TableDigest:
        try:
            return TableDigest.joined(parts)
        except UndigestibleError as error:
            raise StoreError(
                f"the shards of run {run.run_id} don't fit together: {error.what}",
                expected="shards that were staged while the model's keys had one type",
                fix="plan the shards anew (clear `split`): a key was widened since some were staged",
            ) from error


def _shard(row: Any) -> Shard:
    return Shard(
        number=row.number,
        first_row=row.first_row,
        rows=row.rows,
        package_version=row.package_version,
        package_sha256=Sha256(row.package_sha256),
        attempts=row.attempt,
        digest=None if row.digest is None else TableDigest.from_dict(row.digest),
        done_at=row.done_at,
    )
