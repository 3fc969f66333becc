"""What ``rescore status --check`` finds in the store: late scores, held runs, missing labels, approvals."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from rescore import cli, pipeline
from rescore.errors import UnknownModelError
from rescore.interval import Interval
from rescore.manifest import Manifest
from rescore.sha256 import bytes_sha256
from rescore.store import DueInterval
from tests.shared.bank import MODEL, Bank, day

DAY = timedelta(days=1)


@pytest.fixture
def fresh(fresh_bank: Bank) -> Bank:
    """Days 40 to 42 scored, nothing measured."""
    for number in (40, 41, 42):
        fresh_bank.publish(number)
    return fresh_bank


NEXT_DAY = day(43).end


def kinds(bank: Bank, now: datetime = NEXT_DAY) -> list[str]:
    return [alarm.kind for alarm in pipeline.alarms(bank.ctx, now=now)]


def overdue(bank: Bank, interval: Interval) -> None:
    """Declare that the interval was due at its end."""
    bank.ctx.store.timetables.declare(MODEL, "changed", [DueInterval(interval, interval.end)], ends=False)


def test_nothing_waits_while_labels_are_not_due(fresh: Bank) -> None:
    assert kinds(fresh) == []


def test_a_run_that_never_started_is_late(fresh: Bank) -> None:
    overdue(fresh, day(43))
    [alarm] = pipeline.alarms(fresh.ctx, MODEL, now=day(43).end)
    assert alarm.kind == "late"
    assert "2024-02-13 00:00 UTC to 2024-02-14 00:00 UTC were due" in alarm.sentence
    assert alarm.sentence.endswith("no run of it was begun")


def test_a_late_run_that_failed_says_why(fresh: Bank) -> None:
    overdue(fresh, day(43))
    run = fresh.ctx.store.runs.get(pipeline.begin_extract(fresh.ctx, MODEL, day(43)))
    fresh.ctx.store.runs.fail(run.handle, "the suite can't be read")
    [alarm] = pipeline.alarms(fresh.ctx, MODEL, now=day(43).end)
    assert (alarm.kind, "the suite can't be read" in alarm.sentence) == ("late", True)
    assert "no run of it" not in alarm.sentence


def test_a_held_run_waits_for_its_release(fresh: Bank) -> None:
    store = fresh.ctx.store
    run = store.runs.get(pipeline.begin_extract(fresh.ctx, MODEL, day(43))).handle
    store.reports.record_validation(run, {"success": True})
    store.runs.advance(run, "validated")
    package = store.pins.current(MODEL)
    assert package is not None
    rows = store.scores.of_run(store.publications.run_ids(MODEL, last=1)[0]).slice(0, 0)
    store.scores.stage(run, rows, package_version="1.0.0", package_sha256=package.sha256)
    store.runs.advance(run, "scored")
    store.reports.record_drift(run, {"verdict": "drifted", "sentence": "amount"})
    store.runs.hold(run, "drifted: amount")
    store.runs.advance(run, "checked")
    assert kinds(fresh) == ["held"]


def test_labels_that_stop_are_missed_and_so_is_a_monitor_that_does_not_run(fresh: Bank) -> None:
    now = day(42).end + timedelta(days=4)
    [alarm] = pipeline.alarms(fresh.ctx, now=now)
    assert alarm.kind == "labels" and "does monitor_loans run?" in alarm.sentence
    fresh.execute("DELETE FROM bank.outcome")
    pipeline.measure_due(fresh.ctx, MODEL, now)
    [alarm] = pipeline.alarms(fresh.ctx, now=now)
    assert alarm.kind == "labels" and alarm.sentence.startswith("no label has come for the last 3 runs")
    assert "of 2024-02-10 00:00 to 2024-02-13 00:00 UTC" in alarm.sentence


def test_labels_that_came_raise_nothing(fresh: Bank) -> None:
    now = day(42).end + timedelta(days=4)
    pipeline.measure_due(fresh.ctx, MODEL, now)
    assert "labels" not in kinds(fresh, now)


def test_an_approval_that_waits_is_an_alarm_until_it_is_answered(fresh: Bank) -> None:
    store, challenger = fresh.ctx.store, bytes_sha256(b"challenger")
    champion = store.pins.current(MODEL)
    assert champion is not None
    store.packages.add(MODEL, "1.0.1", challenger, Manifest(), "file:///next.whl")
    store.comparisons.add(
        model=MODEL,
        champion_sha256=champion.sha256,
        challenger_sha256=challenger,
        snapshot_digest=bytes_sha256(b"rows"),
        report={},
    )

    def approvals(after: timedelta) -> list[str]:
        found = pipeline.alarms(fresh.ctx, now=datetime.now(UTC) + after)
        return [alarm.sentence for alarm in found if alarm.kind == "approval"]

    assert approvals(DAY) == approvals(8 * DAY) == []
    [sentence] = approvals(4 * DAY)
    assert sentence.startswith("package 1.0.1 was compared with the pinned one")
    store.pins.add(MODEL, "1.0.1", challenger, who="ada", why="better")
    assert approvals(4 * DAY) == []


def test_a_model_that_nobody_knows_is_refused(fresh: Bank) -> None:
    with pytest.raises(UnknownModelError):
        pipeline.alarms(fresh.ctx, "moon")


@pytest.fixture
def check(
    fresh: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """``rescore status --check`` on the bank: exit code and what it printed."""
    monkeypatch.setenv("RESCORE_HOME", str(fresh.ctx.settings.home))
    monkeypatch.setenv("RESCORE_MODELS", str(fresh.ctx.settings.models))
    monkeypatch.setenv("RESCORE_DATABASE_URL", fresh.url)

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["status", "--check", *arguments])
        return int(ended.value.code or 0), capsys.readouterr().out

    return run


def test_the_command_exits_3_while_something_waits(
    fresh: Bank, check: Callable[..., tuple[int, str]]
) -> None:
    pipeline.measure_due(fresh.ctx, MODEL, datetime.now(UTC))
    assert check("--json") == (0, "[]\n")
    overdue(fresh, day(43))
    code, shown = check("loans", "--json")
    [alarm] = json.loads(shown)
    assert (code, alarm["model"], alarm["kind"]) == (3, "loans", "late")
