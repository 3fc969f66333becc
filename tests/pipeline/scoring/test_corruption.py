"""One changed byte of a frozen input: found before anything is scored with it."""

from __future__ import annotations

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from rescore import drift, pipeline, source, validation
from rescore.errors import DigestMismatchError, IntegrityError, RescoreError
from rescore.pipeline.scoring import predicting


def test_no_changed_byte_of_a_frozen_input_gives_other_rows(harbour, tmp_path):
    run_id = pipeline.begin_extract(harbour.ctx, "tides", harbour.day(31))
    run = harbour.ctx.store.runs.get(run_id)
    path = harbour.ctx.archive.get_input(run.input_digest)
    whole, content = source.read_frozen(path, run.input_digest), path.read_bytes()
    changed = tmp_path / "changed.parquet"
    found = 0
    for position in sorted({*range(0, len(content), 61), *range(len(content) - 8, len(content))}):
        other = bytearray(content)
        other[position] ^= 1
        changed.write_bytes(other)
        try:
            rows = source.read_frozen(changed, run.input_digest)
        except RescoreError:
            found += 1
            continue
        assert rows.equals(whole), f"byte {position} gives other rows"
    assert found > 20


def test_a_changed_byte_of_its_frozen_input_stops_a_run(harbour):
    ctx = harbour.ctx
    run_id = pipeline.validate_run(ctx, pipeline.begin_extract(ctx, "tides", harbour.day(31)))
    path = ctx.archive.get_input(ctx.store.runs.get(run_id).input_digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    with pytest.raises(IntegrityError):
        pipeline.score_run(ctx, run_id)
    assert ctx.store.runs.get(run_id).rows_scored is None


def swaps(path):
    """Change a byte of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.unlink()
    path.write_bytes(content)


def test_a_file_that_is_changed_while_it_is_read_gives_neither_scores_nor_a_verdict(harbour, monkeypatch):
    ctx = harbour.ctx
    run_id = pipeline.validate_run(ctx, pipeline.begin_extract(ctx, "tides", harbour.day(31)))
    path = ctx.archive.get_input(ctx.store.runs.get(run_id).input_digest)
    whole = path.read_bytes()

    def changed_at_the_end(rows, scores):
        yield from beside(rows, scores)
        swaps(path)

    with monkeypatch.context() as patch:
        beside = predicting.beside
        patch.setattr(predicting, "beside", changed_at_the_end)
        with pytest.raises(DigestMismatchError, match="not what its name says"):
            pipeline.score_run(ctx, run_id)
    assert ctx.store.runs.get(run_id).rows_scored is None

    path.write_bytes(whole)
    run_id = pipeline.score_run(
        ctx, pipeline.validate_run(ctx, pipeline.begin_extract(ctx, "tides", harbour.day(32)))
    )
    path = ctx.archive.get_input(ctx.store.runs.get(run_id).input_digest)

    def changed_meanwhile(*arguments, **options):
        report = compare(*arguments, **options)
        swaps(path)
        return report

    with monkeypatch.context() as patch:
        compare = drift.compare
        patch.setattr(drift, "compare", changed_meanwhile)
        with pytest.raises(DigestMismatchError):
            pipeline.drift_run(ctx, run_id)
    assert ctx.store.reports.drift_of(ctx.store.runs.get(run_id)) is None


def test_no_row_is_set_aside_by_a_file_that_is_changed_once_it_was_judged(harbour, monkeypatch):
    ctx = harbour.ctx
    harbour.execute("UPDATE harbour.readings SET pressure = 2000 WHERE reading = 24 * 31 AND gauge = 'pier'")
    run_id = pipeline.begin_extract(ctx, "tides", harbour.day(31))
    path = ctx.archive.get_input(ctx.store.runs.get(run_id).input_digest)
    validate = validation.validate

    def changed_then(*arguments, **options):
        report = validate(*arguments, **options)
        swaps(path)
        return report

    monkeypatch.setattr(validation, "validate", changed_then)
    with pytest.raises(DigestMismatchError):
        pipeline.validate_run(ctx, run_id)
    ended = ctx.store.runs.get(run_id)
    assert ended.state == "failed" and not ended.rows_quarantined


@pytest.mark.parametrize("forged", [False, True])
def test_another_file_under_its_digest_is_scored_only_if_it_holds_the_same_rows(harbour, tmp_path, forged):
    ctx = harbour.ctx
    run_id = pipeline.validate_run(ctx, pipeline.begin_extract(ctx, "tides", harbour.day(31)))
    run = ctx.store.runs.get(run_id)
    path = ctx.archive.get_input(run.input_digest)
    rows = source.read_frozen(path, run.input_digest)
    if forged:
        rows = rows.set_column(rows.column_names.index("moon"), "moon", pc.add(rows["moon"], 1.0))
    path.unlink()
    pq.write_table(rows, tmp_path / "other.parquet", compression="none")
    ctx.archive.put_input(tmp_path / "other.parquet", run.input_digest)
    if forged:
        with pytest.raises(DigestMismatchError, match="not what was recorded"):
            pipeline.score_run(ctx, run_id)
        assert ctx.store.runs.get(run_id).rows_scored is None
    else:
        pipeline.score_run(ctx, run_id)
        assert ctx.store.runs.get(run_id).rows_scored == rows.num_rows
