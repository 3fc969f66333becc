"""Score a run in shards: plan them, score each by itself anywhere and in any order, join them.

A shard is a range of whole leaves *of the scores*, so that its leaves are those of the digest of all. It
scores the leaves of the frozen input that hold its rows, as the unsharded run does, and keeps its own: where
rows were set aside, a leaf of the input may serve two shards.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing import get_context
from typing import TYPE_CHECKING

from rescore.disk import disk_errors
from rescore.errors import ModelError
from rescore.leaf_rows import LEAF_ROWS
from rescore.pipeline.context import Context
from rescore.pipeline.packages.opening import open_package
from rescore.pipeline.scoring.failures import recorded
from rescore.pipeline.scoring.predicting import begin_attempt, pinned_package, predict_run
from rescore.settings import Settings
from rescore.shown_text import number_of
from rescore.store import RunHandle, ScoredRun, ShardHandle

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "MAX_SHARDS",
    "ShardHandle",
    "input_leaves",
    "join_shards",
    "plan_shards",
    "score_shard",
    "score_shards",
    "shard_sizes",
]

#: Each is a task that costs seconds to start, and joining waits for all.
MAX_SHARDS = 128


def plan_shards(ctx: Context, run_id: str) -> list[ShardHandle]:
    """Cut a validated run's rows into shards as its model declares, all for the package pinned now.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    run_id : str
        The run; a fork of it is planned if it has gone on.

    Returns
    -------
    list of ShardHandle
        At least one, at most ``MAX_SHARDS``.

    Raises
    ------
    NotFoundError
        No package is pinned.
    IntegrityError
        The package is not what was pinned.
    """
    attempt, run = begin_attempt(ctx, run_id, "validated")
    declared = ctx.model(run.model).spec.scoring.shard_rows
    with recorded(ctx, attempt):
        package = pinned_package(ctx, run)
        rows = run.rows_extracted - run.rows_quarantined - run.rows_rejected
        planned = ctx.store.shards.plan(
            attempt,
            shard_sizes(rows, declared),
            package_version=package.version,
            package_sha256=package.sha256,
            environment=package.numeric_environment(),
        )
    ctx.progress(f"{run.model}: {number_of(rows, 'row')} in {number_of(len(planned), 'shard')}")
    return planned


def score_shard(ctx: Context, shard: ShardHandle) -> str:
    """Score and stage one shard; one that is staged already is left as it is.

    An error ends the attempt at the shard and not the run: the shard can be tried again alone.

    Returns
    -------
    str
        Which rows, for people.

    Raises
    ------
    StaleFenceError
        A later attempt at the run or at this shard has begun.
    IntegrityError
        The frozen input or the package is not what was recorded, or the numeric environment is another
        than the run was planned in.
    """
    run = ctx.store.runs.extracted(shard.run_id)
    planned = ctx.store.shards.get(shard)
    with disk_errors(ctx.written_folders):
        package = open_package(ctx, run.model, planned.package_sha256)
        excluded = ctx.store.excluded.positions(run)
        leaves, skip = input_leaves(excluded, planned.first_row, planned.rows)
        made = predict_run(ctx, run, package, leaves=leaves)
        with closing(made), closing(_some_rows(made, skip, planned.rows)) as scores:
            ctx.store.shards.stage(shard, scores, environment=package.numeric_environment())
    ctx.progress(f"{run.model}: shard {shard.number}, {planned}, is staged")
    return str(planned)


def join_shards(ctx: Context, run: RunHandle) -> str:
    """Make what the shards staged the run's scores; a run that has gone on since is left as it is.

    Parameters
    ----------
    ctx : Context
        Store.
    run : RunHandle
        The attempt that planned the shards.

    Returns
    -------
    str
        The run's id.

    Raises
    ------
    RowAccountingError
        A shard has no scores; the run stays open until it has.
    StaleFenceError
        A later attempt has begun.
    """
    if not isinstance(ctx.store.runs.get(run), ScoredRun):
        ctx.store.shards.join(run)
    if ctx.store.runs.get(run).state == "validated":
        ctx.store.runs.advance(run, "scored")
    return run.run_id


def score_shards(ctx: Context, shards: Sequence[ShardHandle], processes: int = 1) -> None:
    """Score shards on this machine: one after the other, or several processes beside each other.

    Raises
    ------
    ModelError
        A process was killed.
    RescoreError
        The first error of any shard; those that are not begun are left out.
    """
    if processes == 1 or len(shards) == 1:
        for shard in shards:
            score_shard(ctx, shard)
        return
    # Fresh interpreters: this one may have threads, and a fork of it must not score.
    with ProcessPoolExecutor(min(processes, len(shards)), get_context("spawn")) as pool:
        asked = {pool.submit(_in_process, ctx.settings, shard): shard for shard in shards}
        try:
            for done in as_completed(asked):
                ctx.progress(f"shard {asked[done].number}, {done.result()}, is staged")
        except BrokenProcessPool:
            raise ModelError(
                "a process that scored a shard was killed",
                where=f"run {shards[0].run_id}",
                expected="memory for all processes",
                fix="score the interval again with fewer processes",
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def shard_sizes(rows: int, declared: int | None) -> list[int]:
    """How many of a run's scores each shard has, as even as whole leaves allow; at least one shard.

    Parameters
    ----------
    rows : int
        All of them.
    declared : int or None
        How many rows of one shard the model declares.
    """
    leaves = max(1, -(-rows // LEAF_ROWS))
    each = leaves if declared is None else declared // LEAF_ROWS
    count = min(MAX_SHARDS, -(-leaves // each))
    edges = [min(rows, leaves * number // count * LEAF_ROWS) for number in range(count)]
    return [stop - start for start, stop in zip(edges, [*edges[1:], rows], strict=True)]


def input_leaves(excluded: Sequence[int], first_row: int, rows: int) -> tuple[tuple[int, int] | None, int]:
    """Where a range of a run's scores lies in its frozen input.

    Parameters
    ----------
    excluded : sequence of int
        Ascending positions in the input of the rows without a score.
    first_row, rows : int
        The range among the scores.

    Returns
    -------
    tuple
        The leaves of the input that hold it (first, and after the last; None: all, for a range without
        rows), and how many scores of theirs come before it.
    """
    if not rows:
        return None, 0
    first = _position(excluded, first_row) // LEAF_ROWS
    last = _position(excluded, first_row + rows - 1) // LEAF_ROWS
    start = first * LEAF_ROWS
    before = start - sum(1 for position in excluded if position < start)
    return (first, last + 1), first_row - before


def _position(excluded: Iterable[int], row: int) -> int:
    """The position in the input of the row that has the score number ``row``."""
    position = row
    for place in excluded:
        if place > position:
            break
        position += 1
    return position


def _some_rows(batches: Iterable[pa.RecordBatch], skip: int, rows: int) -> Generator[pa.RecordBatch]:
    """Rows of a stream from one on, so many; the rest is read and left out, so that its end is seen."""
    at = 0
    for batch in batches:
        start, stop = max(skip - at, 0), min(skip + rows - at, batch.num_rows)
        at += batch.num_rows
        if start < stop:
            yield batch.slice(start, stop - start)


def _in_process(settings: Settings, shard: ShardHandle) -> str:
    with Context.from_environment(settings) as ctx:
        return score_shard(ctx, shard)
