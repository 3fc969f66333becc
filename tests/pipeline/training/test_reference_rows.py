"""Drift's reference is of all rows that scoring would have seen, with a label or without."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from rescore import drift, pipeline
from rescore.interval import Interval
from rescore.pipeline.packages.opening import open_package
from tests.shared.harbour import FIRST, TRAINED_AS_OF


@pytest.fixture
def partly_labelled(untrained: pipeline.Context) -> pipeline.Context:
    """Every sixth reading never gets a label, and is of another kind: no moon, and pressure 25 hPa higher."""
    folder = untrained.settings.models / "tides"
    extract = (folder / "extract.sql").read_text()
    odd = "pressure + CASE WHEN reading % 6 = 0 THEN 25 ELSE 0 END AS pressure"
    moon = "CASE WHEN reading % 6 <> 0 THEN moon END AS moon"
    (folder / "extract.sql").write_text(
        extract.replace("pressure", odd).replace("moon, wind", f"{moon}, wind")
    )
    labels = (folder / "labels.sql").read_text()
    (folder / "labels.sql").write_text(labels.rstrip() + " AND reading % 6 <> 0\n")
    return untrained


@pytest.mark.slow
def test_unlabelled_rows_of_another_kind_are_no_drift(partly_labelled: pipeline.Context) -> None:
    ctx = partly_labelled
    trained = pipeline.train_model(ctx, "tides", as_of=TRAINED_AS_OF)
    pipeline.pin(ctx, "tides", trained.version, who="tester", why="first")
    package = ctx.store.packages.find("tides", trained.version)
    snapshot = package.manifest.lineage.snapshot
    assert (trained.rows, snapshot["unlabelled"]) == (30 * 60, 30 * 12)

    profile = json.loads(open_package(ctx, "tides", package.sha256).reference_profile())
    assert {window["rows"] for window in profile["windows"]} == {72}
    assert sum(map(sum, profile["score"]["counts"])) == 30 * 72
    assert all(row[-1] == 0 for row in profile["score"]["counts"])  # every row has a score

    reports = []
    for number in range(31, 35):
        start = FIRST + timedelta(days=number)
        done = pipeline.score_interval(ctx, "tides", Interval(start, start + timedelta(days=1)))
        reports.append(drift.DriftReport.from_dict(ctx.store.reports.drift_of(done.run_id) or {}))
    assert [report.verdict for report in reports] == ["ok"] * 4
    moon = reports[0].feature("moon")
    assert moon is not None
    assert moon.missing == moon.missing_reference_min == moon.missing_reference_max == pytest.approx(1 / 6)
    assert not any("missing" in report.sentence for report in reports)

    again = pipeline.retrain_package(ctx, "tides", trained.version)
    assert again.proved, again.reason
