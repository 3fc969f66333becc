"""The store is told when scores are due: at a pin and at a run, far ahead, and again when that changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from rescore import pipeline
from rescore.store import DueInterval
from tests.shared.bank import MODEL, Bank

DAY = timedelta(days=1)


def edit(bank: Bank, old: str, new: str) -> None:
    path = bank.ctx.settings.models / MODEL / "model.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def declare(bank: Bank, now: datetime | None = None) -> tuple[bool, list[DueInterval]]:
    done = pipeline.declare_timetable(bank.ctx, bank.ctx.model(MODEL), now=now)
    return done, bank.ctx.store.timetables.of_model(MODEL)


def test_what_is_due_from_the_pin_on_is_declared_once(fresh_bank: Bank) -> None:
    now = datetime.now(UTC)
    done, due = declare(fresh_bank)
    assert done and now in due[0].interval and due[-1].interval.end > now + 399 * DAY
    assert all(one.interval.end + timedelta(hours=2) == one.due_at for one in due)  # execution_timeout
    assert all(before.interval.end == after.interval.start for before, after in pairwise(due))
    assert declare(fresh_bank) == (False, due)
    assert declare(fresh_bank, now + 150 * DAY) == (False, due)
    done, later = declare(fresh_bank, now + 300 * DAY)
    assert done and later[-1].interval.end > now + 699 * DAY


@pytest.mark.slow
def test_another_schedule_is_declared_in_place_of_what_comes(fresh_bank: Bank) -> None:
    declare(fresh_bank)
    edit(fresh_bank, 'cron: "0 0 * * *"', 'publish_within: 30m, cron: "0 */6 * * *"')
    done, due = declare(fresh_bank)
    assert done and {one.interval.duration for one in due} == {DAY / 4}
    assert {one.due_at - one.interval.end for one in due} == {timedelta(minutes=30)}


def test_a_schedule_that_has_ended_makes_nothing_due(fresh_bank: Bank) -> None:
    edit(fresh_bank, "start: 2024-01-01", "start: 2024-01-01, end: 2024-03-01")
    assert declare(fresh_bank) == (True, [])
    fresh_bank.publish(40)
    [status] = fresh_bank.ctx.store.history.status()
    assert (status.late, status.usable) == (False, True)


@pytest.mark.slow
def test_the_first_run_declares_it_too(fresh_bank: Bank) -> None:
    fresh_bank.publish(40)
    [status] = fresh_bank.ctx.store.history.status()
    assert status.late is False and status.due_at is not None
    assert datetime.now(UTC) < status.due_at < datetime.now(UTC) + 2 * DAY
