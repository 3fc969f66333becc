"""Features compared jointly with rows of the package's own training snapshot, while it is there."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from rescore import pipeline


@pytest.fixture
def jointly(harbour: Any, tmp_path: Path) -> pipeline.Context:
    """The harbour's context, with ``drift.jointly``."""
    models = tmp_path / "models"
    shutil.copytree(harbour.ctx.settings.models / "tides", models / "tides")
    declared = models / "tides" / "model.yaml"
    spec = yaml.safe_load(declared.read_text())
    declared.write_text(yaml.safe_dump({**spec, "drift": {"jointly": True}}))
    return replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=models))


def reported(ctx: pipeline.Context, harbour: Any, number: int) -> dict[str, Any]:
    done = pipeline.score_interval(ctx, "tides", harbour.day(number))
    return dict(ctx.store.reports.drift_of(ctx.store.runs.get(done.run_id)) or {})


def test_a_run_is_compared_with_rows_of_its_packages_snapshot(harbour, jointly):
    report = reported(jointly, harbour, 31)
    assert report["joint"]["method"] == "classifier_rank"
    assert (report["joint"]["rows"], report["joint"]["reference_rows"]) == (72, 30 * 72)
    assert not any("jointly" in note for note in report["notes"])


@pytest.mark.parametrize("loss", ["gone", "changed"])
def test_a_snapshot_that_is_no_more_is_noted_and_stops_nothing(harbour, jointly, loss):
    digest = jointly.store.packages.of_model("tides")[0].manifest.lineage.snapshot_digest
    file = jointly.archive.get_input(digest)
    file.unlink() if loss == "gone" else file.write_bytes(b"not what was frozen")
    report = reported(jointly, harbour, 31)
    assert report["joint"] is None
    assert any(
        note.startswith("features were not compared jointly: the training snapshot can't be read: ")
        for note in report["notes"]
    )
