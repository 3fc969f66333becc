"""What ``rescore status --check`` finds in the store: late scores, held runs, missing labels, approvals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rescore import cli, pipeline
from rescore.errors import UnknownModelError
from rescore.interval import Interval
from rescore.local import LocalPostgres
from rescore.manifest import Manifest
from rescore.sha256 import bytes_sha256
from rescore.store import DueInterval
from tests.shared.bank import MODEL, Bank, copied, day

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def three_days(
    postgres_server: LocalPostgres, bank_template: Bank, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bank]:
    """Days 40 to 42 scored, nothing measured; to be copied."""
    with copied(bank_template, postgres_server, tmp_path_factory.mktemp("three_days")) as made:
        for number in (40, 41, 42):
            made.publish(number)
        made.ctx.store.close()
        yield made


@pytest.fixture
def fresh(postgres_server: LocalPostgres, three_days: Bank, tmp_path: Path) -> Iterator[Bank]:
    with copied(three_days, postgres_server, tmp_path) as bank:
        yield bank


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


def test_a_late_run_whose_process_was_killed_is_named_with_its_last_progress(fresh: Bank) -> None:
    overdue(fresh, day(43))
    run_id = pipeline.begin_extract(fresh.ctx, MODEL, day(43))
    [alarm] = pipeline.alarms(fresh.ctx, MODEL, now=day(43).end)
    assert alarm.kind == "late"
    assert re.search(
        rf"; run {run_id} of it is extracted, without progress since \d{{4}}-\d\d-\d\d \d\d:\d\d UTC$",
        alarm.sentence,
    )


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


def declared(bank: Bank, *numbers: int) -> None:
    due = [DueInterval(day(number), day(number).end) for number in numbers]
    bank.ctx.store.timetables.declare(MODEL, "changed", due, ends=True)


def test_a_day_that_was_passed_over_is_told_although_later_ones_are_there(fresh_bank: Bank) -> None:
    for number in (40, 43):
        fresh_bank.publish(number)
    declared(fresh_bank, 40, 41, 42, 43)
    [gap] = pipeline.alarms(fresh_bank.ctx, now=NEXT_DAY)
    assert gap.kind == "gap"
    assert gap.sentence == (
        "scores of 2024-02-12 00:00 to 2024-02-13 00:00 UTC and 1 before are missing, later ones are there; "
        "no run of it was begun"
    )
    run = fresh_bank.ctx.store.runs.get(pipeline.begin_extract(fresh_bank.ctx, MODEL, day(42)))
    fresh_bank.ctx.store.runs.fail(run.handle, "the disk is full")
    [gap] = pipeline.alarms(fresh_bank.ctx, now=NEXT_DAY)
    assert gap.sentence.endswith("its last attempt is failed: the disk is full")
    assert kinds(fresh_bank, NEXT_DAY + 31 * DAY).count("gap") == 0
    for number in (41, 42):
        fresh_bank.publish(number)
    assert kinds(fresh_bank) == []


def test_a_run_that_is_held_behind_a_later_one_still_waits(fresh_bank: Bank) -> None:
    fresh_bank.publish(40)
    store = fresh_bank.ctx.store
    held = store.runs.get(fresh_bank.check(41))
    store.runs.hold(held.handle, "drifted: amount")
    fresh_bank.publish(42)
    declared(fresh_bank, 40, 41, 42)
    [alarm] = pipeline.alarms(fresh_bank.ctx, now=NEXT_DAY)
    assert alarm.kind == "held"
    assert f"run {held.run_id} of 2024-02-11 00:00 to 2024-02-12 00:00 UTC waits" in alarm.sentence


def test_days_without_rows_have_no_labels_to_miss(fresh_bank: Bank) -> None:
    """Three holidays are no outage of the labels, and hide none that began before them."""
    fresh_bank.execute("DELETE FROM bank.loan WHERE asked_at >= %s", day(43).start)
    path = fresh_bank.ctx.settings.models / MODEL / "model.yaml"
    path.write_text(path.read_text().replace("start: 2024-01-01}", "start: 2024-01-01, empty: publish}"))
    for number in range(40, 46):
        fresh_bank.publish(number)
    now = day(45).end + timedelta(days=4)
    pipeline.measure_due(fresh_bank.ctx, MODEL, now)
    assert kinds(fresh_bank, now) == []
    fresh_bank.execute("ALTER TABLE rescore.performance DISABLE TRIGGER ALL")
    fresh_bank.execute("DELETE FROM rescore.performance")
    assert kinds(fresh_bank, now) == ["labels"]


def test_labels_that_stop_are_missed_and_so_is_a_monitor_that_does_not_run(fresh: Bank) -> None:
    now = day(42).end + timedelta(days=4)
    [alarm] = pipeline.alarms(fresh.ctx, now=now)
    assert alarm.kind == "labels" and "does monitor_loans run?" in alarm.sentence
    fresh.execute("DELETE FROM bank.outcome")
    pipeline.measure_due(fresh.ctx, MODEL, now)
    [alarm] = pipeline.alarms(fresh.ctx, now=now)
    assert alarm.kind == "labels" and alarm.sentence.startswith("no label has come for the last 3 runs")
    assert "of 2024-02-10 00:00 to 2024-02-13 00:00 UTC" in alarm.sentence


def test_labels_that_come_some_hours_late_are_measured_the_next_day_and_not_missed(fresh: Bank) -> None:
    fresh.execute(
        "UPDATE bank.outcome SET known_at = asked_at + interval '75 hours' FROM bank.loan"
        " WHERE loan.loan = outcome.loan"
    )
    for number in (40, 41, 42):
        pipeline.measure_due(fresh.ctx, MODEL, day(number).end + timedelta(hours=49))
    kept = fresh.ctx.store.history.performance_by_run(MODEL)
    assert [one.report["coverage"] > 0.5 for one in kept] == [True, True, False]
    for hours in (60, 73, 95):
        assert "labels" not in kinds(fresh, day(42).end + timedelta(hours=hours))


def test_labels_that_thin_out_are_missed_by_what_runs_of_their_age_had(fresh_bank: Bank) -> None:
    """A fifth of the labels come within three days, the others within ten: that is no silence."""
    store = fresh_bank.ctx.store
    runs = {number: fresh_bank.publish(number) for number in range(31, 44)}

    def measured(number: int, days: float, share: float) -> None:
        as_of = day(number).end + timedelta(days=days)
        store.reports.record_performance(runs[number], as_of, {}, label_coverage=share)

    for number in runs:
        measured(number, 3, 0.2)
        if number <= 40:
            measured(number, 10, 1.0)
    now = day(43).end + timedelta(days=4)
    assert "labels" not in kinds(fresh_bank, now)
    for number, share in ((41, 0.01), (42, 0.02), (43, 0.2)):
        measured(number, 3.5, share)
    assert "labels" not in kinds(fresh_bank, now)
    measured(43, 3.6, 0.015)
    [alarm] = [one for one in pipeline.alarms(fresh_bank.ctx, now=now) if one.kind == "labels"]
    assert alarm.sentence == (
        "at most 2.0% of the rows have a label (before: 10.0% or more) for the last 3 runs whose labels are "
        "due, of 2024-02-11 00:00 to 2024-02-14 00:00 UTC"
    )


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


def test_a_first_package_waits_and_so_do_two_at_once(fresh: Bank) -> None:
    """Without a champion nothing is compared, and a second question does not answer the first."""
    store = fresh.ctx.store
    for version in ("1.0.1", "1.0.2"):
        store.packages.add(MODEL, version, bytes_sha256(version.encode()), Manifest(), "file:///next.whl")
    later = datetime.now(UTC) + 4 * DAY
    found = [alarm.sentence for alarm in pipeline.alarms(fresh.ctx, now=later) if alarm.kind == "approval"]
    assert [one.split(" at ")[0] for one in found] == ["package 1.0.1 was made", "package 1.0.2 was made"]
    store.pins.add(MODEL, "1.0.2", bytes_sha256(b"1.0.2"), who="ada", why="better")
    assert "approval" not in kinds(fresh, later)


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
    monkeypatch.setenv("RESCORE_DATABASE_URL", str(fresh.ctx.settings.database_url))

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
    assert alarm["runbook"] == "docs/guides/runbooks.md#late"
    assert "late: what to do stands in docs/guides/runbooks.md#late" in check("loans")[1]
