"""After an erasure a run is still derived again, and its tombstones prove the digests that were published."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.errors import NotFoundError
from tests.shared.harbour import Harbour


def test_what_is_left_is_reproduced_and_the_package_is_named(
    harbour: Harbour, published: str, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(harbour.ctx.settings.models / "tides", models / "tides")
    declared = models / "tides" / "model.yaml"
    text = declared.read_text()
    assert "  key: " in text
    declared.write_text(text.replace("  key: ", "  subject: [gauge]\n  key: ", 1))
    ctx = replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=models))
    head = str(ctx.store.chain.head())
    rows = ctx.store.scores.of_run(published).num_rows

    done = pipeline.erase_subject(ctx, {"gauge": "lock"}, ground="ticket 9", who="eve")
    assert list(done.packages) == ["tides 1.0.0"]
    assert done.packages["tides 1.0.0"].startswith("kept: the package holds no rows")
    left = ctx.store.scores.of_run(published)
    assert 0 < left.num_rows < rows
    assert "lock" not in left["gauge"].to_pylist()
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
