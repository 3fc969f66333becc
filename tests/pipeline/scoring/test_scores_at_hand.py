"""What drift is told of scores that this process has just staged is what stands in the store."""

from __future__ import annotations

import resource

import numpy as np
import pyarrow as pa

from rescore import pipeline
from rescore.pipeline.scoring.scores_at_hand import ScoresAtHand


def _scored(harbour, number, at_hand=None):
    run = pipeline.validate_run(
        harbour.ctx, pipeline.begin_extract(harbour.ctx, "tides", harbour.day(number))
    )
    return pipeline.score_run(harbour.ctx, run, at_hand=at_hand)


def test_scores_at_hand_are_those_of_the_store_and_give_the_same_report(harbour):
    ctx = harbour.ctx
    with ScoresAtHand(ctx.scratch) as at_hand:
        run_id = _scored(harbour, 31, at_hand)
        given = at_hand.of(ctx.store.runs.get(run_id))
        assert given.tobytes() == ctx.store.scores.values_of_run(run_id).tobytes()

        # They are what is compared: the table is not looked at before the scores are published.
        harbour.execute("ALTER TABLE rescore.scores_tides RENAME TO scores_away")
        try:
            pipeline.drift_run(ctx, run_id, at_hand=at_hand)
        finally:
            harbour.execute("ALTER TABLE rescore.scores_away RENAME TO scores_tides")
        first = ctx.store.reports.drift_of(run_id)
        pipeline.publish_run(ctx, run_id)
    again = pipeline.drift_run(ctx, _scored(harbour, 31))
    assert ctx.store.reports.drift_of(again) == first


def test_scores_of_another_digest_are_never_taken(harbour):
    with ScoresAtHand(harbour.ctx.scratch) as at_hand:
        kept = _scored(harbour, 31, at_hand)
        other = _scored(harbour, 32)
        assert at_hand.of(harbour.ctx.store.runs.get(kept)) is not None
        assert at_hand.of(harbour.ctx.store.runs.get(other)) is None
        # A staging that broke off leaves none, not even those of the run before.
        batches = at_hand.noting([pa.record_batch({"score": np.zeros(3)})])
        next(batches)
        assert at_hand.of(harbour.ctx.store.runs.get(kept)) is None


def test_without_room_for_them_all_scores_are_passed_on_and_none_are_at_hand(harbour):
    run = harbour.ctx.store.runs.get(_scored(harbour, 31))
    batches = [pa.record_batch({"score": np.zeros(rows)}) for rows in (10, 50_000, 10)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with ScoresAtHand(harbour.ctx.scratch) as at_hand:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
        try:
            assert [one.num_rows for one in at_hand.noting(batches)] == [10, 50_000, 10]
            at_hand.keep(run.score_digest)
            assert at_hand.of(run) is None
            # Few enough to wait in memory until they are asked for.
            assert [one.num_rows for one in at_hand.noting(batches[:1] * 20)] == [10] * 20
            at_hand.keep(run.score_digest)
            assert at_hand.of(run) is None
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_drift_takes_the_stores_scores_where_none_of_the_run_are_at_hand(harbour):
    ctx = harbour.ctx
    with ScoresAtHand(ctx.scratch) as at_hand:
        run_id = _scored(harbour, 31)
        _scored(harbour, 32, at_hand)  # another run's: what is at hand is not this one's
        pipeline.drift_run(ctx, run_id, at_hand=at_hand)
    report = ctx.store.reports.drift_of(run_id)
    again = _scored(harbour, 31)
    with ScoresAtHand(ctx.scratch) as at_hand:  # killed between the stages: nothing is at hand
        pipeline.drift_run(ctx, again, at_hand=at_hand)
    assert ctx.store.reports.drift_of(again) == report
    assert report["rows"] == ctx.store.runs.get(run_id).rows_scored > 0


def test_without_room_for_a_file_the_scores_are_passed_on(tmp_path):
    batch = pa.record_batch({"score": [0.5]})
    with ScoresAtHand(tmp_path / "gone") as at_hand:
        assert list(at_hand.noting([batch])) == [batch]
