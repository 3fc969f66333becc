"""Every attempt has a fence of its own: an attempt that wakes after a later one began changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from sqlalchemy import text

from rescore.errors import (
    DigestMismatchError,
    OverlapError,
    StaleFenceError,
    StoreError,
    StoreUnavailableError,
)
from rescore.interval import Interval
from rescore.store import RunHandle, Store
from tests.store.builders import DAY, Walk, day, make_scores, sha
from tests.store.logins import as_superuser, superuser_url

OLD, NEW = "1.0.0", "1.0.1"


def validated(walk: Walk) -> RunHandle:
    run = walk.claim(day())
    walk.extract(run, 50)
    walk.validate(run)
    return run


def test_a_stalled_attempt_never_puts_its_package_beside_its_retrys_scores(walk: Walk, store: Store) -> None:
    """Pin 1.0.0 read, stalled; 1.0.1 pinned; the retry scored; the first woke and wrote."""
    run_id = validated(walk).run_id
    stalled = store.runs.resume(run_id, "validated")
    old = walk.package
    walk.version = NEW
    walk.register()
    retry = store.runs.resume(run_id, "validated")
    assert (retry.run_id, retry.fence) == (run_id, stalled.fence + 1)
    new_scores = make_scores(day(), seed=2)
    store.scores.stage(retry, new_scores, **walk.package)
    for write in (
        lambda: store.scores.stage(stalled, make_scores(day(), seed=1), **old),
        lambda: store.scores.stage(stalled, new_scores, **old),
        lambda: store.runs.update(stalled, environment={}),
    ):
        with pytest.raises(StaleFenceError, match="a later attempt at it began"):
            write()
    store.runs.fail(stalled, "woke too late")
    store.runs.advance(retry, "scored")
    walk.check(retry)
    store.publications.publish(retry)
    [run] = store.runs.published("loans")
    assert (run.package_version, run.package_sha256) == (NEW, sha("loans" + NEW))
    assert store.scores.of_run(run).equals(new_scores)


@pytest.mark.parametrize("later", ["retry", "another run"])
def test_no_write_of_an_attempt_passes_once_a_later_one_began(walk: Walk, store: Store, later: str) -> None:
    def resumed(state: str) -> Callable[[RunHandle], RunHandle]:
        if later == "retry":
            return lambda run: store.runs.resume(run, state)
        return lambda _: walk.claim(day())

    def refused(run: RunHandle, *writes: Callable[[], object]) -> None:
        before = store.runs.get(run), store.scores.of_run(run).num_rows, store.excluded.positions(run)
        for write in writes:
            with pytest.raises(StaleFenceError):
                write()
        assert before == (
            store.runs.get(run),
            store.scores.of_run(run).num_rows,
            store.excluded.positions(run),
        )

    rows = make_scores(day(), rows=1)
    extracted = walk.claim(day())
    walk.extract(extracted, 50)
    resumed("extracted")(extracted)
    refused(
        extracted,
        lambda: store.reports.record_validation(extracted, {"success": True}),
        lambda: store.excluded.record(extracted, rows, positions=[0], kinds=["rejected"], reasons=["x"]),
        lambda: store.runs.advance(extracted, "validated"),
    )
    ready = validated(walk)
    resumed("validated")(ready)
    refused(ready, lambda: store.scores.stage(ready, make_scores(day()), **walk.package))
    scored = validated(walk)
    walk.score(scored, make_scores(day()))
    resumed("scored")(scored)
    refused(
        scored,
        lambda: store.reports.record_drift(scored, {"verdict": "ok", "sentence": ""}),
        lambda: store.runs.hold(scored, "drifted"),
        lambda: store.runs.advance(scored, "checked"),
    )


def test_a_publisher_that_wakes_late_publishes_nothing(walk: Walk, store: Store) -> None:
    run = walk.checked(day())
    store.runs.resume(run, "checked")
    with pytest.raises(StaleFenceError, match="a later attempt at it began"):
        store.publications.publish(run)
    assert store.publications.publish(store.runs.get(run).handle).fence == run.fence + 1


def test_a_run_whose_scores_are_staged_is_forked_by_a_retry(walk: Walk, store: Store) -> None:
    first = validated(walk)
    store.scores.stage(first, make_scores(day()), **walk.package)  # killed before it was scored
    walk.version = NEW
    walk.register()
    retry = store.runs.resume(first, "validated")
    assert retry.run_id != first.run_id
    walk.score(retry, make_scores(day(), seed=2))
    left = store.runs.get(first)
    assert (left.state, left.error["data"]) == ("failed", {"taken_over_by": retry.run_id})  # type: ignore[index]


@pytest.mark.parametrize("published", [True, False], ids=["published", "under way"])
def test_a_retry_brings_no_older_input_back_over_a_newer_run(
    walk: Walk, store: Store, published: bool
) -> None:
    """A's worker was lost; B froze the corrected source and scored it; then Airflow tried A's task again."""
    lost = walk.claim(day())
    walk.extract(lost, 50)
    newer = walk.checked(day())
    if published:
        store.publications.publish(newer)
    for state in ("extracted", "validated"):
        with pytest.raises(StaleFenceError, match=f"run {newer.run_id} claimed its interval later") as caught:
            store.runs.resume(lost, state)
        assert "clear the run from `extract` on" in str(caught.value.fix)
    store.publications.publish(newer)
    assert store.publications.run_ids("loans") == [newer.run_id]


def test_a_newer_run_that_froze_nothing_stands_in_no_retrys_way(walk: Walk, store: Store) -> None:
    first = validated(walk)
    later = walk.claim(day())
    with pytest.raises(StaleFenceError, match="claimed its interval later"):
        store.runs.resume(first, "validated")  # it is at work
    store.runs.fail(later, "the source was away")
    retry = store.runs.resume(first, "validated")
    walk.score(retry, make_scores(day()))
    walk.check(retry)
    store.publications.publish(retry)
    assert [run.forked_from for run in store.runs.published("loans")] == [first.run_id]


def test_a_retry_goes_on_where_forks_of_its_run_are(walk: Walk, store: Store) -> None:
    first = validated(walk)
    store.scores.stage(first, make_scores(day()), **walk.package)
    fork = store.runs.resume(first, "validated")
    store.scores.stage(fork, make_scores(day()), **walk.package)
    deeper = store.runs.resume(fork, "validated")
    again = store.runs.resume(first, "validated")  # the task is cleared once more, with the run it was given
    assert len({run.run_id for run in (first, fork, deeper, again)}) == 4
    assert store.runs.get(again).forked_from == first.run_id
    with pytest.raises(StaleFenceError):
        store.runs.resume(deeper, "validated")  # another branch of forks took its interval over


def test_a_retry_does_not_wait_for_a_writer_that_stalled_in_its_transaction(walk: Walk, store: Store) -> None:
    run = validated(walk)
    with as_superuser(store) as stalled:
        stalled.execute(
            text("SELECT FROM rescore.run WHERE run_id = :id FOR NO KEY UPDATE"), {"id": run.run_id}
        )
        retry = store.runs.resume(run, "validated")
        assert retry.run_id != run.run_id
        walk.score(retry, make_scores(day()))
        walk.check(retry)
        store.publications.publish(retry)


def test_a_claim_waits_for_a_lock_only_so_long(walk: Walk, store: Store) -> None:
    walk.checked(day())
    with as_superuser(store) as stalled:
        stalled.execute(text("SELECT FROM rescore.claim FOR UPDATE"))
        impatient = Store(f"{store.database.url}?options=-c%20lock_timeout%3D100")
        with pytest.raises(StoreUnavailableError, match="lock timeout") as caught:
            impatient.runs.claim("loans", day(), day().end)
        assert caught.value.retryable
        impatient.close()


def test_connections_bound_their_waits_unless_told_otherwise(store: Store) -> None:
    def setting(of: Store, name: str) -> str:
        with of.database.transaction() as connection:
            return str(connection.execute(text(f"SHOW {name}")).scalar())

    assert setting(store, "lock_timeout") == "30s"
    assert setting(store, "idle_in_transaction_session_timeout") == "5min"
    assert setting(store, "tcp_keepalives_idle") == "30"
    with Store(f"{store.database.url}?options=-c%20lock_timeout%3D1234") as declared:
        assert setting(declared, "lock_timeout") == "1234ms"


def test_a_transaction_that_stalls_is_ended_by_the_server(walk: Walk, store: Store) -> None:
    """Its locks go with it, so that others go on."""
    walk.checked(day())
    short = "&options=-c%20idle_in_transaction_session_timeout%3D200"
    with Store(superuser_url(store) + short) as stalls:
        with pytest.raises(StoreError) as caught, stalls.database.transaction() as connection:
            connection.execute(text("SELECT FROM rescore.claim FOR UPDATE"))
            with ThreadPoolExecutor(1) as pool:  # waits for the lock, and gets it when the server acts
                assert pool.submit(store.runs.claim, "loans", day(), day().end).result().fence == 2
            connection.execute(text("SELECT 1"))
        assert caught.value.retryable


def test_scores_bound_to_another_package_or_input_are_not_published(walk: Walk, store: Store) -> None:
    run = walk.checked(day())
    change = text("UPDATE rescore.run SET input_digest = :other WHERE run_id = :id")
    values = {"id": run.run_id, "other": sha("other input")}
    with (
        pytest.raises(StoreError, match="bound to them: UPDATE refused"),
        as_superuser(store) as connection,
    ):
        connection.execute(change, values)
    with as_superuser(store) as connection:  # whoever owns the tables can
        connection.execute(text("ALTER TABLE rescore.run DISABLE TRIGGER scores_are_bound"))
        connection.execute(change, values)
    with pytest.raises(DigestMismatchError, match="are not bound to the input and package"):
        store.publications.publish(run)


def test_who_takes_over_closes_what_a_kill_left(walk: Walk, store: Store) -> None:
    killed = walk.claim(day())
    held = walk.checked(day(1), verdict="drifted")
    store.runs.hold(held, "drifted")
    heir, other = walk.claim(day()), walk.claim(day(1))
    left = store.runs.get(killed)
    assert (left.state, left.error["message"]) == (  # type: ignore[index]
        "failed",
        f"abandoned: run {heir.run_id} took its interval over",
    )
    assert store.runs.get(held).held
    assert {store.runs.get(run).state for run in (heir, other)} == {"claimed"}


def test_intervals_of_two_schedules_never_overlap(walk: Walk, store: Store) -> None:
    """Daily, then every six hours: a published day is not scored again in quarters."""
    quarter = Interval(day(1).start, day(1).start + DAY / 4)
    store.publications.publish(walk.checked(day()))
    unpublished = walk.checked(day(1))
    for part in range(4):
        inside = Interval(day().start + part * DAY / 4, day().start + (part + 1) * DAY / 4)
        with pytest.raises(OverlapError, match="published under another schedule") as caught:
            walk.claim(inside)
    [due] = map(datetime.fromisoformat, re.findall(r"due at (\S+) or later", caught.value.fix or ""))
    walk.claim(Interval(due - DAY / 4, due))  # the first interval of the schedule that is advised
    store.publications.publish(walk.checked(quarter, make_scores(quarter, rows=10, within=DAY / 4)))
    with pytest.raises(StaleFenceError):
        store.publications.publish(unpublished)
    with pytest.raises(OverlapError):
        walk.claim(day(1))
    walk.claim(day())  # the same bounds: scored again, as ever
    with as_superuser(store) as connection:
        twice = "SELECT branch, loan_id, event_time FROM scores.loans GROUP BY 1, 2, 3 HAVING count(*) > 1"
        assert connection.execute(text(twice)).all() == []


def test_publications_that_overlap_from_before_are_named(walk: Walk, store: Store) -> None:
    """Daily, then hourly, in a store whose claims did not look at each other yet."""
    with as_superuser(store) as connection:
        connection.execute(
            text(
                "CREATE OR REPLACE FUNCTION rescore.take_over_overlapping(r rescore.run) RETURNS void "
                "LANGUAGE plpgsql AS 'BEGIN END'"
            )
        )
    hours = [Interval(day(1).start + n * DAY / 24, day(1).start + (n + 1) * DAY / 24) for n in (22, 23, 24)]
    for interval in (day(), *hours, day(1)):
        # The same rows in the day and in its hour before the last.
        scores = make_scores(hours[0] if interval == day(1) else interval, rows=10, within=DAY / 24)
        store.publications.publish(walk.checked(interval, scores))
    assert store.publications.overlapping("loans") == hours[:2], "the hour after the day overlaps nothing"
    assert store.publications.overlapping("others") == []
    seen = "SELECT count(*), count(DISTINCT (branch, loan_id, event_time)) FROM scores."
    with as_superuser(store) as connection:
        connection.execute(text(store.publications.view_of_rows_once("loans")))
        rows, keys = connection.execute(text(f"{seen}loans")).one()
        assert (rows, keys) == (50, 40)
        assert connection.execute(text(f"{seen}loans_once")).one() == (keys, keys)
        last = (
            "SELECT count(*) FROM scores.loans_once o JOIN scores.loans a USING (branch, loan_id, event_time)"
        )
        assert connection.execute(text(f"{last} WHERE a.published_at > o.published_at")).scalar() == 0
