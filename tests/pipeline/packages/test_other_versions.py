"""A package of other versions than the worker's goes all the way: pinned, scored, published, proved."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.model import numeric_environment
from tests.model.another_environment import OLDER, train_elsewhere
from tests.shared.harbour import MODEL, MODELS, TRAINED_AS_OF, Harbour


def test_a_run_says_what_it_was_scored_in_rather_than_what_claimed_it(harbour: Harbour) -> None:
    run_id = pipeline.begin_extract(harbour.ctx, MODEL, harbour.day(31))
    harbour.ctx.store.runs.update(
        harbour.ctx.store.runs.get(run_id).handle, environment={"machine": "of the worker that claimed it"}
    )
    run_id = pipeline.score_run(harbour.ctx, pipeline.validate_run(harbour.ctx, run_id))
    assert harbour.ctx.store.runs.get(run_id).environment == numeric_environment()


@pytest.mark.slow
def test_a_package_of_other_versions_scores_and_is_proved(
    harbour: Harbour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runs name its own versions and BLAS; that the worker has others is no other environment."""
    ctx = harbour.ctx
    snapshot = pipeline.train_snapshot(ctx, MODEL, as_of=TRAINED_AS_OF)
    away = tmp_path / "away"
    away.mkdir()
    path, sha256, manifest = train_elsewhere(away, ctx.archive.get_input(snapshot), MODELS, MODEL, "1.0.1")
    ctx.store.packages.add(MODEL, "1.0.1", sha256, manifest, ctx.archive.put_package(path, sha256))
    shutil.rmtree(away)
    for name, wanted in OLDER.items():
        assert manifest.requirements[name] == wanted != version(name)

    pipeline.pin(ctx, MODEL, "1.0.1", who="tester", why="older versions")  # builds its environment
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("PATH", "")
    done = pipeline.score_interval(ctx, MODEL, harbour.day(31))
    run = ctx.store.runs.get(done.run_id)

    assert (run.state, run.package_sha256) == ("published", sha256)
    assert run.environment == manifest.environment.to_dict() != numeric_environment()
    again = pipeline.reproduce_run(ctx, run.run_id)
    assert again.verdict == "identical"
    assert not again.environment

    [(gauge, reading)] = harbour.execute("SELECT gauge, reading FROM scores.tides LIMIT 1")
    [one] = pipeline.reproduce_score(ctx, MODEL, {"gauge": str(gauge), "reading": str(reading)})
    assert (one.verdict, one.ulps) == ("identical", 0)

    # Scores of the worker's own versions are proved beside them, each in its own environment.
    pipeline.pin(ctx, MODEL, "1.0.0", who="tester", why="back again")
    today = ctx.store.runs.get(str(pipeline.score_interval(ctx, MODEL, harbour.day(32)).run_id))
    assert today.environment == numeric_environment()
    verdicts = {pipeline.reproduce_run(ctx, run_id).verdict for run_id in (run.run_id, today.run_id)}
    assert verdicts == {"identical"}
