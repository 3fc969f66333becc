"""Realised performance by run and by week from real labels, when it is measured, and what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from rescore import pipeline, source
from rescore.errors import SpecError
from rescore.evidence import Alarm
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.local import LocalPostgres
from rescore.performance import CameTrue, LatestPerformance
from rescore.pipeline import MeasuredRun
from rescore.pipeline.monitoring.performance_evidence import (
    PerformanceEvidence,
    evidence_after,
    with_evidence,
)
from tests.shared.bank import CHANGE, DAYS, FOLDER, Bank, copied, day

NOW = day(DAYS).end + timedelta(days=2)


@pytest.fixture(scope="module")
def bank(
    postgres_server: LocalPostgres, bank_template: Bank, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bank]:
    """Days 33 to 50 scored: half a week, two whole ones, and part of another rule."""
    with copied(bank_template, postgres_server, tmp_path_factory.mktemp("bank")) as made:
        for number in range(33, DAYS):
            made.publish(number)
        yield made


@pytest.fixture(scope="module")
def measured(bank: Bank) -> list[MeasuredRun]:
    return pipeline.measure_due(bank.ctx, "loans", NOW)


def _truth(bank: Bank, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    rows = bank.execute(
        "SELECT score, defaulted FROM scores.loans JOIN bank.outcome USING (loan)"
        " WHERE interval_start >= %s AND interval_start < %s",
        day(first).start,
        day(last).end,
    )
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


def test_before_the_labels_are_due_nothing_is_measured(bank: Bank) -> None:
    assert pipeline.measure_due(bank.ctx, "loans", day(33).end + timedelta(hours=47)) == []
    assert pipeline.latest_performance(bank.ctx, "loans", day(33).end) is None


def test_each_run_is_measured_with_its_coverage_and_segments(bank: Bank, measured: list[MeasuredRun]) -> None:
    assert [one.interval.start for one in measured] == [day(n).start for n in range(33, DAYS)]
    score, bad = _truth(bank, 33, 33)
    first = measured[0].performance
    assert first.measure("auc").value == pytest.approx(metrics.roc_auc_score(bad, score))
    assert first.labelled == len(score)
    assert first.coverage == pytest.approx(7 / 8, abs=0.02)
    branches = first.segments["branch"]
    assert {one.value for one in branches} == {"north", "east", "south", "west"}
    assert sum(one.labelled for one in branches) == first.labelled
    north = next(one for one in branches if one.value == "north")
    [(count,)] = bank.execute(
        "SELECT count(*) FROM scores.loans JOIN bank.loan USING (loan)"
        " WHERE branch = 'north' AND interval_start = %s",
        day(33).start,
    )
    assert north.rows == count
    stored = bank.ctx.store.history.performance_by_run("loans", 18)
    assert [row.report["metrics"]["auc"] for row in stored] == [
        one.performance.measure("auc").to_dict() for one in measured
    ]
    assert stored[0].label_coverage == first.coverage


def test_a_week_is_of_its_rows_together(bank: Bank, measured: list[MeasuredRun]) -> None:
    weeks = pipeline.performance_by_week(bank.ctx, "loans")
    assert [(week.week, week.runs) for week in weeks] == [
        ("2024-01-29", 2),
        ("2024-02-05", 7),
        ("2024-02-12", 7),
        ("2024-02-19", 2),
    ]
    score, bad = _truth(bank, 35, 41)
    assert weeks[1].metrics.measure("auc").value == pytest.approx(metrics.roc_auc_score(bad, score))
    assert weeks[1].metrics.labelled == len(score)
    assert [week.week for week in pipeline.performance_by_week(bank.ctx, "loans", 2)] == [
        "2024-02-12",
        "2024-02-19",
    ]


def test_estimates_come_true_until_the_world_changes(bank: Bank, measured: list[MeasuredRun]) -> None:
    held = [one.performance.agreement["auc"].within for one in measured]
    before = held[: CHANGE - 33]
    assert sum(before) >= len(before) - 2
    assert not any(held[CHANGE - 33 :])
    last = measured[-1].performance
    assert last.estimated["auc"].value > 0.65 > last.measure("auc").high


def test_a_run_is_measured_again_when_its_age_has_doubled(bank: Bank, measured: list[MeasuredRun]) -> None:
    assert pipeline.measure_due(bank.ctx, "loans", NOW) == []
    assert pipeline.measure_due(bank.ctx, "loans", NOW + timedelta(days=2)) == []
    again = pipeline.measure_due(bank.ctx, "loans", NOW + timedelta(days=4))
    # They were measured 2 and 3 days after their end, and are 6 and 7 days old now.
    assert {one.interval.start for one in again} == {day(50).start, day(49).start}


@pytest.mark.slow
def test_a_run_whose_rows_all_have_labels_is_done(bank: Bank, measured: list[MeasuredRun]) -> None:
    bank.execute(
        "INSERT INTO bank.outcome SELECT loan, true, %s FROM bank.loan LEFT JOIN bank.outcome o USING (loan)"
        " WHERE o.loan IS NULL AND asked_at >= %s AND asked_at < %s",
        NOW,
        day(34).start,
        day(34).end,
    )
    later = NOW + timedelta(days=400)
    first = {one.interval.start: one.performance for one in pipeline.measure_due(bank.ctx, "loans", later)}
    assert first[day(34).start].coverage == 1
    restated = pipeline.measure_due(bank.ctx, "loans", later, again=True)
    assert day(34).start in {one.interval.start for one in restated}
    again = pipeline.measure_due(bank.ctx, "loans", later + timedelta(days=4000))
    assert day(34).start not in {one.interval.start for one in again}
    assert day(33).start in {one.interval.start for one in again}


def test_the_latest_performance_is_of_seven_days_as_known_then(bank: Bank) -> None:
    now = day(43).end + timedelta(hours=48)
    found = pipeline.latest_performance(bank.ctx, "loans", now)
    score, bad = _truth(bank, 37, 43)
    assert found is not None
    assert found.metric == "auc"
    assert found.value == pytest.approx(metrics.roc_auc_score(bad, score))
    assert found.low < found.value < found.high
    assert (found.rows, found.until) == (len(score), day(43).end)


def test_only_the_days_that_count_are_read(
    bank: Bank, measured: list[MeasuredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    labels = source.labels

    def counted(url: str, folder: ModelFolder, intervals: Sequence[Interval], as_of: datetime) -> pa.Table:
        read.append(len(intervals))
        return labels(url, folder, intervals, as_of)

    monkeypatch.setattr(source, "labels", counted)
    found = pipeline.latest_performance(bank.ctx, "loans", NOW)
    assert (found is not None, read) == (True, [7])
    read.clear()
    [newest] = bank.ctx.store.history.performance_by_run("loans", 1)
    report = pipeline.monitor_model(bank.ctx, "loans", newest.as_of + timedelta(minutes=1))
    assert (report.measured, report.performance is not None, read) == (0, True, [])


@pytest.fixture
def trained(measured: list[MeasuredRun], monkeypatch: pytest.MonkeyPatch) -> None:
    """The bank's package knows nothing of its training: let it be these windows, nearly as well labelled."""
    reports = [one.performance for one in measured[:10]]
    found = CameTrue.of([str(number) for number in range(10)], reports, [0.8] * 10)
    monkeypatch.setattr("rescore.pipeline.monitoring.performance_evidence._trained", lambda *_: found)


def test_a_window_with_fewer_labels_than_trainings_says_so_and_is_no_evidence(
    bank: Bank, measured: list[MeasuredRun], trained: None
) -> None:
    """Labels that come class by class: those that are missing are of one class."""
    last = measured[-1]
    whole = evidence_after(bank.ctx, "loans", NOW)
    assert whole.alarm is not None and whole.lacking == ""
    few = last.performance.model_copy(update={"coverage": 0.5})
    found = evidence_after(bank.ctx, "loans", NOW, also={last.run_id: few})
    assert found.alarm is not None and found.alarm.windows == whole.alarm.windows - 1
    assert found.lacking.startswith("only 50.0% of the last window's rows have a label, in training ")


def test_windows_are_judged_by_the_limit_that_held_when_they_were_measured(
    bank: Bank, measured: list[MeasuredRun], trained: None
) -> None:
    """Forty models more or fewer neither end an alarm nor raise one."""
    limits = {one.performance.alarm_limit for one in measured}
    assert limits == {bank.ctx.evidence_limit("loans", day(DAYS).end)}
    fewer = replace(bank.ctx, settings=replace(bank.ctx.settings, false_alarms_per_year=300))
    assert fewer.evidence_limit("loans", NOW) < min(limits)
    now, then = (evidence_after(ctx, "loans", NOW).alarm for ctx in (fewer, bank.ctx))
    assert now is not None and then is not None
    assert (now.raised, now.since, now.evidence) == (then.raised, then.since, then.evidence)
    easy = {one.run_id: one.performance.model_copy(update={"alarm_limit": 2.0}) for one in measured}
    raised = evidence_after(bank.ctx, "loans", NOW, also=easy).alarm
    assert raised is not None and raised.raised
    again = pipeline.measure_due(bank.ctx, "loans", NOW + timedelta(days=1), again=True)
    assert {one.performance.alarm_limit for one in again} == limits


def test_an_alarm_of_another_package_is_told() -> None:
    latest = LatestPerformance(metric="auc", rows=9, until=NOW)
    stands = Alarm(raised=True, new=False, evidence=9, limit=2, since="s", windows=9, fastest=3)
    before = with_evidence(latest, PerformanceEvidence(stands, package="a"), None)
    assert before.to_be_told and before.alarm_of == "a"
    assert not with_evidence(latest, PerformanceEvidence(stands, package="a"), before).to_be_told
    assert with_evidence(latest, PerformanceEvidence(stands, package="b"), before).to_be_told
    assert not with_evidence(
        latest, PerformanceEvidence(stands, package="b"), before.model_copy(update={"alarm_of": None})
    ).to_be_told


def test_a_report_of_a_later_release_is_left_out_and_said(
    bank: Bank, measured: list[MeasuredRun], trained: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that can't be read would else end every run for as long as it is among the last ones."""
    said: list[str] = []
    ctx = replace(bank.ctx, progress=said.append)
    whole = evidence_after(ctx, "loans", NOW)
    rows = ctx.store.history.performance_by_run("loans", 400)
    rows[-2] = replace(rows[-2], report={**rows[-2].report, "format": 99})
    monkeypatch.setattr(type(ctx.store.history), "performance_by_run", lambda *_: rows)
    found = evidence_after(ctx, "loans", NOW)
    assert found.alarm is not None and whole.alarm is not None
    assert found.alarm.windows == whole.alarm.windows - 1
    assert any("is left out: a stored PerformanceReport has format 99" in line for line in said)


def test_a_metric_that_scores_cannot_give_is_refused(bank: Bank, tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "loans").mkdir(parents=True)
    for name, content in FOLDER.items():
        (models / "loans" / name).write_text(content)
    spec = models / "loans" / "model.yaml"
    spec.write_text(spec.read_text() + "promotion: {metric: rmse}\n")
    ctx = replace(bank.ctx, settings=replace(bank.ctx.settings, models=models))
    with pytest.raises(SpecError, match="rmse can't be measured"):
        pipeline.latest_performance(ctx, "loans", NOW)
