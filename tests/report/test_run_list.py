"""Runs as the page and ``rescore runs`` list them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from rescore.errors import SourceKeyError
from rescore.leaf_rows import LEAF_ROWS
from rescore.local import LocalPostgres
from rescore.report import run_lines
from tests.shared.logins import set_up_store
from tests.store.builders import Walk, day


@pytest.fixture
def walk(postgres_server: LocalPostgres, database_url: str) -> Iterator[Walk]:
    with set_up_store(postgres_server, database_url) as store:
        yield Walk(store)


def test_what_became_of_each_run(walk: Walk) -> None:
    walk.store.publications.publish(walk.checked(day(0)))
    walk.store.publications.publish(walk.checked(day(0)))
    walk.claim(day(1))
    walk.claim(day(1))
    newest, killed, second, first = run_lines(
        walk.store, "loans", 10, timezone="Europe/Paris", now=datetime.now(UTC)
    )
    assert (newest.state, newest.problem) == ("claimed", "")
    assert killed.state == "failed"
    assert killed.problem == f"abandoned: run {newest.run_id} took its interval over"
    assert (second.state, second.current) == ("published", True)
    assert (first.state, first.current) == ("published", False)
    assert first.interval == "2024-03-01 01:00 to 2024-03-02 01:00"
    assert (first.extracted, first.scored, first.set_aside, first.package) == (50, 50, 0, "1.0.0")


def test_a_run_without_progress_for_a_day_is_abandoned(walk: Walk) -> None:
    run = walk.claim(day(0))
    walk.extract(run, 5)
    soon, late = (datetime.now(UTC) + timedelta(hours=hours) for hours in (23, 25))
    [line] = run_lines(walk.store, "loans", 1, timezone="UTC", now=soon)
    assert (line.state, line.problem) == ("extracted", "")
    assert line.set_aside is None, "validation has yet to say"
    [line] = run_lines(walk.store, "loans", 1, timezone="UTC", now=late)
    assert line.state == "abandoned"
    assert line.started == "1 day ago"
    assert "extracted" in line.problem


def test_a_run_in_shards_says_which_are_missing(walk: Walk) -> None:
    run = walk.claim(day(0))
    walk.extract(run, 3 * LEAF_ROWS)
    walk.validate(run)
    walk.store.shards.plan(run, [LEAF_ROWS, LEAF_ROWS, LEAF_ROWS], **walk.package)
    now = datetime.now(UTC)
    [line] = run_lines(walk.store, "loans", 1, timezone="UTC", now=now)
    assert line.problem.startswith("0 of 3 shards are staged; missing: shard 0, rows 0 to 65,535; shard 1,")
    [line] = run_lines(walk.store, "loans", 1, timezone="UTC", now=now + timedelta(days=2))
    assert "abandoned" in line.problem and "0 of 3 shards" in line.problem


def test_a_failed_run_says_why(walk: Walk) -> None:
    walk.store.runs.fail(walk.claim(day(0)), SourceKeyError("a key occurs twice"))
    [line] = run_lines(walk.store, "loans", 1, timezone="UTC", now=datetime.now(UTC))
    assert (line.state, line.problem, line.releasable) == ("failed", "a key occurs twice", False)
