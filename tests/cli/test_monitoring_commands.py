"""``rescore drift`` and ``rescore performance`` as people and scripts read them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rescore import cli, pipeline
from rescore.report import latest_performance_of
from tests.shared.bank import LAST, Bank, day

Run = Callable[..., str]


@pytest.fixture
def run(bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command on the bank; what it printed."""
    monkeypatch.setenv("RESCORE_HOME", str(bank.ctx.settings.home))
    monkeypatch.setenv("RESCORE_MODELS", str(bank.ctx.settings.models))
    settings = bank.ctx.settings
    monkeypatch.setenv("RESCORE_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("RESCORE_RELEASE_URL", str(settings.release_url))
    monkeypatch.setenv("RESCORE_CONNECTION_BANK", settings.connection_url("bank"))

    def run(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        captured = capsys.readouterr()
        assert ended.value.code == code, captured.err
        return captured.out

    return run


def test_drift_prints_the_latest_window_with_a_chart_per_feature(run: Run, bank: Bank) -> None:
    shown = run("drift", "loans")
    latest = bank.ctx.store.history.drift("loans", 1)[0]
    assert latest.run_id in shown
    assert latest.sentence in shown
    line = next(line for line in shown.splitlines() if line.strip().startswith("amount"))
    assert "70 %" in line and "thousand euros" in line
    assert re.search(r"[▁▂▃▄▅▆▇█]{8}", line)
    marks = re.search(r"verdicts of 8 windows: (\S+)", shown)
    assert marks is not None
    assert [{"·": "ok", "d": "drifted", "C": "consequential"}[mark] for mark in marks[1]] == [
        row.verdict for row in bank.ctx.store.history.drift("loans")
    ]
    assert "verdicts of 3 windows" in run("drift", "loans", "--last", "3")


def test_drift_of_a_run_ends_its_charts_there(run: Run, bank: Bank) -> None:
    third = bank.ctx.store.history.drift("loans")[2]
    shown = run("drift", "loans", "--run", third.run_id)
    assert f"loans: {day(42).start:%Y-%m-%d %H:%M}" in shown
    assert "verdicts of 3 windows" in shown


def test_drift_of_a_feature_shows_its_distribution(run: Run, bank: Bank) -> None:
    shown = run("drift", "loans", "--feature", "branch")
    for branch in ("north", "east", "south", "west"):
        assert any(line.strip().startswith(branch) and "█" in line for line in shown.splitlines())
    found = json.loads(run("drift", "loans", "--feature", "branch", "--json"))
    assert sum(found["histogram"]["live"]) == bank.ctx.store.history.drift("loans", 1)[0].report["rows"]
    whole = json.loads(run("drift", "loans", "--json"))
    assert [one["name"] for one in whole["features"]] == ["amount", "income", "branch", "score"]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["drift", "loans"], "drift.png"),
        (["drift", "loans", "--feature", "amount"], "amount.svg"),
        (["performance", "loans"], "weeks.svg"),
        (["performance", "loans", "--by", "run"], "runs.png"),
    ],
)
def test_pictures_are_saved(run: Run, tmp_path: Path, arguments: list[str], name: str) -> None:
    run(*arguments, "--save", str(tmp_path / name))
    assert (tmp_path / name).read_bytes()[:4] in {b"\x89PNG", b"<svg"}


def test_performance_shows_intervals_coverage_estimates_and_segments(run: Run, bank: Bank) -> None:
    shown = run("performance", "loans")
    week = latest_performance_of(bank.ctx.store, "loans", by="week")
    assert week is not None
    auc = week.measure("auc")
    assert f"{auc.value:.3f} ({auc.low:.3f} – {auc.high:.3f})" in shown
    assert f"{100 * week.coverage:.0f} % of {week.rows:,}" in shown
    assert "latest week by branch" in shown and "north" in shown
    by_run = json.loads(run("performance", "loans", "--by", "run", "--json"))
    assert len(by_run) == LAST - 39
    assert by_run[-1]["value"] is None and by_run[-1]["estimated"] > 0.5
    assert "in 4 of 6 runs" in run("performance", "loans", "--by", "run")
    brier = run("performance", "loans", "--metric", "brier")
    assert f"{week.measure('brier').value:.3f}" in brier


def test_errors_say_what_to_do(run: Run, bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["drift", "loans", "--feature", "age"], "no feature 'age'"),
        (["performance", "loans", "--metric", "rmse"], "no realised rmse"),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 1
        assert said in capsys.readouterr().err


def test_alarms_that_stand_are_listed_and_make_the_exit_code(run: Run, bank: Bank) -> None:
    incidents = pipeline.standing_alarms(bank.ctx)
    found = json.loads(run("alarms", "--json", code=3 if incidents else 0))
    assert [(row["model"], row["of"]) for row in found] == [
        (one.model, one.of) for incident in incidents for one in incident.alarms
    ]
