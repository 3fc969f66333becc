"""After an erasure a run is still derived again, and its tombstones prove the digests that were published."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.comparison import ComparisonReport
from rescore.errors import NotFoundError
from rescore.report.comparison_page import comparison_html
from tests.shared.harbour import TRAINED_AS_OF, Harbour


def declared(harbour: Harbour, tmp_path: Path) -> pipeline.Context:
    """The harbour with gauges as people."""
    models = tmp_path / "models"
    shutil.copytree(harbour.ctx.settings.models / "tides", models / "tides")
    file = models / "tides" / "model.yaml"
    text = file.read_text()
    assert "  key: " in text
    file.write_text(text.replace("  key: ", "  subject: [gauge]\n  key: ", 1))
    return replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=models))


@pytest.mark.slow
def test_a_champion_that_saw_the_person_is_still_compared(harbour: Harbour, tmp_path: Path) -> None:
    """Its recorded metrics can't be measured again, which the report says; what is left judges both."""
    ctx = declared(harbour, tmp_path)
    challenger = pipeline.train_model(ctx, "tides", as_of=TRAINED_AS_OF + timedelta(days=5), who="eve")
    pipeline.erase_subject(ctx, {"gauge": "lock"}, ground="ticket 9", who="eve")
    report = pipeline.compare_packages(ctx, "tides", challenger.version).report
    assert isinstance(report, ComparisonReport)
    assert report.holdout.rows > 0
    for side in (report.champion, report.challenger):
        assert side.reproduced.erased > 0 and "were erased" in side.reproduced.refused
    assert "of its hold-out were erased" in comparison_html(report)


def test_what_is_left_is_reproduced_and_the_package_is_named(
    harbour: Harbour, published: str, tmp_path: Path
) -> None:
    ctx = declared(harbour, tmp_path)
    head = str(ctx.store.chain.head())
    rows = ctx.store.scores.of_run(published).num_rows

    done = pipeline.erase_subject(ctx, {"gauge": "lock"}, ground="ticket 9", who="eve")
    assert list(done.packages) == ["tides 1.0.0"]
    assert done.packages["tides 1.0.0"].startswith("kept: the package holds no rows")
    left = ctx.store.scores.of_run(published)
    assert 0 < left.num_rows < rows
    assert "lock" not in left["gauge"].to_pylist()
    package = pipeline.reproduce_package(ctx, "tides", "1.0.0")
    assert "rows of its hold-out were erased: its recorded metrics can't be" in package.problem
    assert [run.verdict for run in package.runs] == ["identical"]
    retrained = pipeline.retrain_package(ctx, "tides", "1.0.0")
    assert (retrained.verdict, "rows that it was trained on were erased" in retrained.reason) == (
        "not_rederivable",
        True,
    )
    archive = [one for one in pipeline.examine(ctx) if one.about == "archive of tides"]
    assert [one.state for one in archive] == ["ok"], archive
    again = pipeline.reproduce_run(ctx, published)
    assert again.verdict == "identical", again.reason
    assert "scores were erased; all others are identical and prove the recorded digest" in again.reason
    assert again.recorded_digest != again.rederived_digest == again.stored_digest
    assert pipeline.verify_history(ctx, [head], scores=True, files=True).findings == ()
    with pytest.raises(NotFoundError, match="were erased"):
        pipeline.export_bundle(ctx, tmp_path / "x.zip", run_id=published)
    harbour.execute(
        "SET session_replication_role = replica; UPDATE rescore.scores_tides SET score = score + 1"
    )
    assert pipeline.reproduce_run(ctx, published).verdict == "differs"
