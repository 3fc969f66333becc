"""How realised performance is judged, and where the verdict stands."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from rescore import pipeline
from rescore.errors import SourceUnavailableError


def declared(harbour: Any, home: Path, alarm_at: float | None) -> pipeline.Context:
    """The harbour's context with a bound declared."""
    models = home / f"models_{alarm_at}"
    shutil.copytree(harbour.ctx.settings.models / "tides", models / "tides")
    path = models / "tides" / "model.yaml"
    path.write_text(
        yaml.safe_dump({**yaml.safe_load(path.read_text()), "performance": {"alarm_at": alarm_at}})
    )
    return replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=models))


@pytest.mark.slow
def test_an_error_beyond_the_bound_stands_in_the_monitors_report_and_in_status(
    harbour: Any, tmp_path: Path
) -> None:
    for number in (31, 32):
        pipeline.score_interval(harbour.ctx, "tides", harbour.day(number))
    assert pipeline.status_rows(harbour.ctx)[0]["performance"] is None

    calm = pipeline.latest_performance(harbour.ctx, "tides", harbour.day(32).end)
    assert calm is not None and calm.value is not None and calm.bound is not None
    assert (calm.verdict, calm.metric) == ("ok", "rmse")

    strict = declared(harbour, tmp_path, calm.value / 2)
    report = pipeline.monitor_model(strict, "tides", harbour.day(32).end)
    assert report.performance is not None
    assert (report.performance.verdict, report.performance.bound) == ("worse", calm.value / 2)
    assert pipeline.MonitorReport.from_dict(report.to_dict()) == report
    [row] = pipeline.status_rows(harbour.ctx)
    assert row["performance"] == "worse"
    assert "worse than the declared bound" in row["performance_sentence"]


def test_a_measurement_that_was_cut_is_made_again_and_told(
    harbour: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))
    now = harbour.day(31).end
    strict = declared(harbour, tmp_path, 1e-6)

    def unavailable(*_: Any, **__: Any) -> None:
        raise SourceUnavailableError("the source restarts")

    monitor = pipeline.monitor_model  # imported before what it calls is another
    with monkeypatch.context() as cut, pytest.raises(SourceUnavailableError):
        cut.setattr("rescore.pipeline.monitoring.performance.latest_performance", unavailable)
        monitor(strict, "tides", now)
    report = pipeline.monitor_model(strict, "tides", now)
    assert (report.measured, report.tells) == (1, True)
    assert pipeline.status_rows(harbour.ctx)[0]["performance"] == "worse"
    # Killed after all was stored: the next try, of the same moment, tells the same.
    again = pipeline.monitor_model(strict, "tides", now)
    assert (again.measured, again.tells, again.performance) == (0, True, report.performance)
    assert not pipeline.monitor_model(strict, "tides", now + timedelta(minutes=1)).tells
