"""A model that does worse than its training promised raises an alarm: told once, it can ask for training."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from rescore import pipeline
from rescore.performance import PerformanceReport


def declared(ctx: pipeline.Context, home: Path, **performance: Any) -> pipeline.Context:
    """The context with a budget of ten alarms a month, and with what is declared about performance."""
    models = home / "declared"
    shutil.copytree(ctx.settings.models / "tides", models / "tides")
    path = models / "tides" / "model.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "performance": performance}))
    return replace(ctx, settings=replace(ctx.settings, models=models, false_alarms_per_year=120))


@pytest.mark.slow
def test_another_rule_is_an_alarm_told_once_that_asks_for_training(harbour: Any, tmp_path: Path) -> None:
    """The water stands higher from the fourth day on, whatever the moon and the wind say."""
    harbour.execute("UPDATE harbour.readings SET level = level + 50 WHERE measured_at >= '2024-02-04'")
    ctx = declared(harbour.ctx, tmp_path, on_alarm="retrain")
    told, far, alarms = [], [], []
    for number in range(31, 40):
        pipeline.score_interval(ctx, "tides", harbour.day(number))
        report = pipeline.monitor_model(ctx, "tides", harbour.day(number).end)
        told.append(report.tells)
        assert report.performance is not None and report.performance.alarm is not None
        alarms.append(report.performance.alarm)
        far.append(report.performance.far)
        assert pipeline.MonitorReport.from_dict(report.to_dict()) == report
    assert [one.windows for one in alarms] == list(range(1, 10))
    raised = [one.raised for one in alarms]
    assert not any(raised[:4])
    assert all(raised[-2:])
    assert sum(one.new for one in alarms) == 1
    # 50 metres wait for no evidence: they are told from the first day on.
    assert far == [False] * 3 + [True] * 6
    assert told == [one.new or beyond for one, beyond in zip(alarms, far, strict=True)]
    assert "bias" in alarms[-1].features

    [row] = pipeline.status_rows(ctx)
    assert "Alarm since 2024-02-0" in row["performance_sentence"]
    [incident] = pipeline.standing_alarms(ctx)
    assert ("tides", "performance") in [(one.model, one.of) for one in incident.alarms]
    due = pipeline.when_due(ctx, "tides", harbour.day(39).end)
    assert due.due
    assert "does worse than in training: Alarm since" in due.reason
    assert not pipeline.when_due(harbour.ctx, "tides", harbour.day(39).end).due

    # The same look again measures nothing, and says the same: the first may have been cut before it told.
    again = pipeline.monitor_model(ctx, "tides", harbour.day(39).end)
    assert (again.measured, again.tells) == (0, told[-1])
    kept = harbour.ctx.store.history.performance_by_run("tides", 1)[0].report
    assert PerformanceReport.from_dict(kept).latest is not None
