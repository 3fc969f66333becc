"""A notebook's model is the DAG's: the same digest, the same bytes, the same scores."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import rescore
from rescore import pipeline
from rescore.errors import IntervalError, ModelError, NotFoundError, SpecError, UnknownModelError

MODEL = "tides"
TRAINED_AS_OF = datetime(2024, 1, 31, tzinfo=UTC)


@pytest.mark.slow
def test_snapshot_fit_evaluate_and_package_are_those_of_the_dag(harbour, untrained, capsys):
    trained = harbour.ctx.store.packages.of_model(MODEL)[0]
    tides = rescore.Model(MODEL, context=untrained)

    snapshot = tides.snapshot(as_of=TRAINED_AS_OF)
    fit = tides.fit()
    evaluation = tides.evaluate()
    before = untrained.store.packages.of_model(MODEL)
    package = tides.package()

    assert snapshot.digest == trained.manifest.lineage.snapshot_digest
    assert before == []  # a fit registers nothing
    assert package.sha256 == trained.sha256
    assert package.path.read_bytes() == harbour.ctx.archive.get_package(trained.sha256).read_bytes()
    assert evaluation.metrics == fit.metrics == trained.manifest.metrics
    assert len(snapshot.frame()) == snapshot.rows
    assert "trained twice" in capsys.readouterr().out
    for shown, fact in [
        (snapshot, snapshot.digest),
        (fit, "rmse"),
        (evaluation, "pressure"),
        (package, "1.0.0"),
    ]:
        assert fact in repr(shown)
        assert fact in shown._repr_html_()


@pytest.mark.slow
def test_predictions_of_a_frame_are_the_published_scores(harbour):
    done = pipeline.score_interval(harbour.ctx, MODEL, harbour.day(31))
    tides = rescore.Model(MODEL, context=harbour.ctx, quiet=True)
    run = tides.run()
    assert run.run_id == done.run_id
    assert list(tides.runs()["run_id"]) == [done.run_id]

    published = run.scores["score"].to_numpy()
    pinned = tides.predict(run.inputs)["score"].to_numpy()
    shuffled = run.inputs.sample(frac=1, random_state=3)[run.inputs.columns[::-1]]
    again = tides.predict(shuffled)["score"].sort_index().to_numpy()
    tides.snapshot(as_of=TRAINED_AS_OF)
    tides.fit()
    fitted = tides.predict(run.inputs)["score"].to_numpy()

    for scores in (pinned, again, fitted):
        assert np.array_equal(scores.view(np.int64), published.view(np.int64))


@pytest.mark.slow
def test_what_was_tried_is_not_packaged_unless_the_folder_says_so(untrained):
    tides = rescore.Model(MODEL, context=untrained, quiet=True)
    tides.snapshot("2024-01-01", "2024-01-11", as_of="2024-01-31")
    declared = tides.folder.spec.training
    tried = tides.fit(seed=declared.seed + 1)
    assert tried.seed == declared.seed + 1
    with pytest.raises(SpecError, match="had other parameters"):
        tides.package()
    text = (tides.folder.path / "model.yaml").read_text()
    assert f"seed: {declared.seed}" in text
    (tides.folder.path / "model.yaml").write_text(
        text.replace(f"seed: {declared.seed}", f"seed: {tried.seed}")
    )
    assert tides.package().manifest.seed == tried.seed


def test_a_moment_without_a_zone_is_the_schedules(untrained):
    tides = rescore.Model(MODEL, context=untrained, quiet=True)
    naive = tides.snapshot("2024-01-01", "2024-01-11", as_of="2024-01-31")
    aware = tides.snapshot("2024-01-01T00:00:00Z", "2024-01-11T00:00:00Z", as_of="2024-01-31T00:00:00Z")
    assert naive.digest == aware.digest
    with pytest.raises(IntervalError, match="is not a moment"):
        tides.snapshot("New Year", "2024-01-11")


def test_what_is_not_there_is_named(untrained):
    with pytest.raises(UnknownModelError, match="there is no model"):
        rescore.Model("tide", context=untrained)
    tides = rescore.Model(MODEL, context=untrained, quiet=True)
    with pytest.raises(NotFoundError, match="nothing to evaluate"):
        tides.evaluate()
    with pytest.raises(NotFoundError, match="no fitted model, package or pin to predict with"):
        tides.predict(None)
    with pytest.raises(NotFoundError, match="no published run"):
        tides.run()


def test_a_frame_that_lacks_a_feature_is_refused(harbour):
    tides = rescore.Model(MODEL, context=harbour.ctx, quiet=True)
    pipeline.score_interval(harbour.ctx, MODEL, harbour.day(31))
    with pytest.raises(ModelError, match="features are missing"):
        tides.predict(tides.run().inputs.drop(columns="pressure"))


def test_a_notebook_in_a_folder_of_the_project_finds_the_models(tmp_path):
    from rescore.notebook.connecting import project_environment

    (tmp_path / "include" / "models").mkdir(parents=True)
    (tmp_path / "docs" / "notebooks").mkdir(parents=True)
    found = project_environment(tmp_path / "docs" / "notebooks")
    assert found == {
        "RESCORE_HOME": str(tmp_path / "var"),
        "RESCORE_MODELS": str(tmp_path / "include" / "models"),
    }
    assert project_environment(Path("/nowhere")) == {}


@pytest.mark.slow
def test_a_challenger_is_compared_with_the_pinned_package(harbour):
    tides = rescore.Model(MODEL, context=harbour.ctx, quiet=True)
    champion = harbour.ctx.store.packages.of_model(MODEL)[0]
    tides.snapshot("2024-01-03", "2024-02-02", as_of="2024-02-02")
    challenger = tides.package()
    assert challenger.sha256 != champion.sha256
    compared = tides.compare(challenger)
    assert challenger.version in compared._repr_markdown_()
