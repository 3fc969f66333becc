"""Scoring in shards gives the digest and the rows of scoring in one piece, whatever dies on the way."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore import pipeline
from rescore.errors import DigestMismatchError, ModelError, RowAccountingError, SpecError, StoreError
from rescore.folder import load_model
from rescore.manifest import Manifest
from rescore.pipeline.scoring.shards import MAX_SHARDS, input_leaves, score_shards, shard_sizes
from rescore.sha256 import bytes_sha256
from tests.shared.harbour import MODEL, MODELS, Harbour
from tests.shared.large_day import DAY, MANY, REJECTED, add_large_day, environment_of, sharded


@given(
    excluded=st.sets(st.integers(0, 999), max_size=200),
    leaf=st.integers(1, 60),
    declared=st.integers(1, 400),
    data=st.data(),
)
def test_shards_are_every_row_once_wherever_rows_were_set_aside(
    excluded: set[int], leaf: int, declared: int, data: st.DataObject
) -> None:
    """Against the plain list of the rows that are kept, with leaves small enough for many."""
    positions = data.draw(st.integers(max(excluded, default=-1) + 1, 1_000))
    kept = [position for position in range(positions) if position not in excluded]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rescore.pipeline.scoring.shards.LEAF_ROWS", leaf)
        sizes = shard_sizes(len(kept), max(declared, leaf))
        assert sum(sizes) == len(kept) and 1 <= len(sizes) <= MAX_SHARDS
        assert all(size % leaf == 0 for size in sizes[:-1]), "a shard begins where a leaf does"
        first = 0
        for size in sizes:
            leaves, skip = input_leaves(sorted(excluded), first, size)
            if size:
                assert leaves is not None
                held = [p for p in kept if leaves[0] * leaf <= p < leaves[1] * leaf]
                assert held[skip : skip + size] == kept[first : first + size]
            first += size


def test_a_shard_is_a_leaf_or_more(tmp_path: Path) -> None:
    shutil.copytree(MODELS / MODEL, tmp_path / MODEL)
    with (tmp_path / MODEL / "model.yaml").open("a") as file:
        file.write("scoring: {shard_rows: 1000}\n")
    with pytest.raises(SpecError, match="shard_rows") as caught:
        load_model(tmp_path, MODEL)
    assert "65536" in str(caught.value)


@pytest.fixture
def large(harbour: Harbour) -> Harbour:
    """A harbour with a day of many readings."""
    add_large_day(harbour)
    return harbour


def scored(ctx: pipeline.Context, harbour: Harbour, **how: int) -> str:
    """The large day as a scored run."""
    run_id = pipeline.validate_run(ctx, pipeline.begin_extract(ctx, MODEL, harbour.day(DAY)))
    return pipeline.score_run(ctx, run_id, **how)


def published(ctx: pipeline.Context, run_id: str) -> str:
    """Publish a scored run; its digest."""
    return str(pipeline.publish_run(ctx, pipeline.drift_run(ctx, run_id)).score_digest)


def test_a_shard_that_failed_is_tried_again_alone_and_the_bits_are_those_of_one_piece(
    large: Harbour, tmp_path: Path
) -> None:
    whole = large.ctx.store.runs.scored(scored(large.ctx, large))
    ctx = sharded(large, tmp_path)
    run_id = pipeline.validate_run(ctx, pipeline.begin_extract(ctx, MODEL, large.day(DAY)))
    shards = pipeline.split_run(ctx, run_id)
    assert len(shards) == 3
    # Pinned amid the run: nothing of it scores with this one, which does not even exist.
    other = bytes_sha256(b"another package")
    ctx.store.packages.add(MODEL, "9.0.0", other, Manifest(), "file:///nowhere.whl")
    ctx.store.pins.add(MODEL, "9.0.0", other, who="ada", why="a newer one")
    frozen = ctx.archive.get_input(whole.input_digest)
    score_shards(ctx, shards[2:])
    sound = frozen.read_bytes()
    frozen.chmod(0o600)
    frozen.write_bytes(sound[:-100] + b"x" + sound[-99:])
    with pytest.raises(DigestMismatchError):
        pipeline.score_shard(ctx, shards[0])
    frozen.write_bytes(sound)
    with pytest.raises(RowAccountingError, match="2 of 3 shards") as missing:
        pipeline.join_shards(ctx, shards[0].run)
    assert [one.split(",")[0] for one in missing.value.examples] == ["shard 0", "shard 1"]
    assert ctx.store.runs.get(run_id).state == "validated", "its shards can be tried again"
    for shard in shards:  # all are asked for; the one that was staged is left as it is
        pipeline.score_shard(ctx, shard)
    assert [shard.attempts for shard in ctx.store.shards.of_run(run_id)] == [2, 1, 1]
    assert pipeline.join_shards(ctx, shards[0].run) == run_id
    run = ctx.store.runs.scored(run_id)
    assert (run.rows_rejected, run.rows_scored) == (REJECTED, MANY + 72 - REJECTED)
    assert (run.score_digest, run.environment) == (whole.score_digest, whole.environment)
    assert run.package_sha256 == whole.package_sha256 != other
    assert ctx.store.scores.of_run(run_id).equals(ctx.store.scores.of_run(whole))
    assert published(ctx, run_id) == whole.score_digest
    # Cleared after the publication, tasks of its shards change nothing.
    pipeline.score_shard(ctx, shards[0])
    assert pipeline.join_shards(ctx, shards[0].run) == run_id
    assert ctx.store.runs.get(run_id).state == "published"


def test_the_command_lines_way_scores_shards_too(harbour: Harbour, tmp_path: Path) -> None:
    """A day of one leaf is one shard; one without rows to score is none the less one."""
    whole = pipeline.score_interval(harbour.ctx, MODEL, harbour.day(31))
    ctx = sharded(harbour, tmp_path)
    again = pipeline.score_interval(ctx, MODEL, harbour.day(31), processes=2)
    assert again.score_digest == whole.score_digest
    assert [shard.rows for shard in ctx.store.shards.of_run(again.run_id)] == [72]


def test_an_error_of_a_shard_ends_the_run_where_nobody_can_try_it_again(
    harbour: Harbour, tmp_path: Path
) -> None:
    ctx = sharded(harbour, tmp_path)
    run_id = pipeline.validate_run(ctx, pipeline.begin_extract(ctx, MODEL, harbour.day(30)))
    frozen = ctx.archive.get_input(ctx.store.runs.extracted(run_id).input_digest)
    sound = frozen.read_bytes()
    frozen.chmod(0o600)
    frozen.write_bytes(sound[:-100] + b"x" + sound[-99:])
    with pytest.raises(DigestMismatchError):
        pipeline.score_run(ctx, run_id)
    frozen.write_bytes(sound)
    run = ctx.store.runs.get(run_id)
    assert run.state == "failed" and run.error is not None
    with pytest.raises(StoreError, match="it has no scores to go on from") as found:
        pipeline.drift_run(ctx, run_id)
    assert "from `split` on" in str(found.value)


#: Scores one shard as a worker does: a process of its own.
WORKER = """
import sys
from rescore import pipeline
shard = dict(zip(("run_id", "fence", "number"), sys.argv[1:]))
with pipeline.Context.from_environment() as ctx:
    pipeline.score_shard(ctx, pipeline.ShardHandle.from_dict(shard))
"""


def worker(ctx: pipeline.Context, shard: pipeline.ShardHandle) -> subprocess.Popen[bytes]:
    arguments = [str(value) for value in shard.to_dict().values()]
    command = [sys.executable, "-c", WORKER, *arguments]
    return subprocess.Popen(
        command, env=environment_of(ctx), start_new_session=True, stderr=subprocess.DEVNULL
    )


@pytest.fixture
def workers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_workers_that_are_killed_at_random_leave_every_shard_once(
    large: Harbour, tmp_path: Path, seed: int, workers: list[subprocess.Popen[bytes]]
) -> None:
    """Two at a time, each killed (SIGKILL) after a random time, its shard begun again beside others."""
    whole = large.ctx.store.runs.scored(scored(large.ctx, large))
    ctx = sharded(large, tmp_path)
    run_id = pipeline.validate_run(ctx, pipeline.begin_extract(ctx, MODEL, large.day(DAY)))
    shards, draw = pipeline.split_run(ctx, run_id), random.Random(seed)
    killed = 0
    for round_ in range(6):
        missing = [one.number for one in ctx.store.shards.of_run(run_id) if one.digest is None]
        if not missing:
            break
        started = [worker(ctx, shards[number]) for number in draw.sample(missing, min(2, len(missing)))]
        workers += started
        patience = draw.uniform(0.5, 6) if round_ < 4 else 300
        _wait(started, patience)
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
            process.wait()
    for shard in shards:
        pipeline.score_shard(ctx, shard)
    assert killed, "no worker was killed: choose other times"
    pipeline.join_shards(ctx, shards[0].run)
    assert ctx.store.runs.scored(run_id).score_digest == whole.score_digest
    assert published(ctx, run_id) == whole.score_digest


def _wait(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    until = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_scoring_with_a_typed_error(
    large: Harbour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = sharded(large, tmp_path)
    digest = ctx.store.runs.scored(scored(ctx, large, processes=2)).score_digest
    assert digest == ctx.store.runs.scored(scored(large.ctx, large)).score_digest
    monkeypatch.setattr("rescore.pipeline.scoring.shards._in_process", _killed)
    with pytest.raises(ModelError, match="a process that scored a shard was killed"):
        scored(ctx, large, processes=2)
    [last] = ctx.store.runs.latest(MODEL, 1)
    assert last.state == "failed" and "was killed" in str(last.error)


def _killed(settings: object, shard: object) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"
