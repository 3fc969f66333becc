"""Publishing: whole, accounted for, only what was staged; and what consumers read of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from rescore.digest import table_digest
from rescore.errors import (
    DigestMismatchError,
    HeldError,
    OutageError,
    RowAccountingError,
    StaleFenceError,
    StoreError,
)
from rescore.manifest import Manifest
from rescore.store import RunHandle, Store
from rescore.store.runs import publications
from rescore.store.runs.scores import digest_of
from tests.store.builders import DAY, START, Walk, day, make_scores
from tests.store.logins import as_superuser


def rows_of(store: Store, view: str, where: str = "true", **values: Any) -> list[Any]:
    with as_superuser(store) as connection:
        return list(connection.execute(text(f"SELECT * FROM scores.{view} WHERE {where}"), values))


def rows_in(store: Store, table: str, where: str) -> list[Any]:
    with as_superuser(store) as connection:
        return list(connection.execute(text(f"SELECT * FROM {table} WHERE {where}")))


def execute(store: Store, statement: str, **values: Any) -> None:
    with as_superuser(store) as connection:
        connection.execute(text(statement), values)


def test_published_scores_are_what_consumers_read(walk: Walk, store: Store) -> None:
    scores = make_scores(day())
    excluded = make_scores(day(), rows=3, seed=9)
    run = walk.checked(day(), scores, excluded=excluded, verdict="drifted")
    assert rows_of(store, "loans") == rows_of(store, "loans_excluded") == []
    publication = store.publications.publish(run)
    assert table_digest(store.scores.of_run(run)) == table_digest(scores)
    assert store.scores.values_of_run(run).tobytes() == scores["score"].to_numpy().tobytes()
    assert store.scores.named_of_run(run).tolist() == scores["label"].to_pylist()
    rows = rows_of(store, "loans", "branch = 'b3é' AND loan_id = 33")
    assert len(rows) == 1
    assert rows[0]._mapping == {
        "branch": "b3é",
        "loan_id": 33,
        "event_time": scores["event_time"][33].as_py(),
        "score": scores["score"][33].as_py(),
        "label": scores["label"][33].as_py(),
        "interval_start": START,
        "interval_end": START + DAY,
        "published_at": publication.published_at,
        "package_version": "1.0.0",
        "verdict": "drifted",
        "reason": None,
        "run_id": rows[0].run_id,
        "released_by": None,
    }
    assert str(rows[0].run_id) == run.run_id
    without = rows_of(store, "loans_excluded", "kind = 'rejected' ORDER BY loan_id")
    assert [(row.branch, row.loan_id, row.reason) for row in without] == [
        ("b0é", 0, "reason 0"),
        ("b2é", 2, "reason 2"),
    ]
    assert store.excluded.positions(run) == [0, 1, 2]


def test_a_new_run_supersedes_and_the_past_can_be_read(walk: Walk, store: Store) -> None:
    first, second, other = make_scores(day()), make_scores(day(), seed=2), make_scores(day(1), seed=3)
    published = [
        store.publications.publish(walk.checked(day(), first)),
        store.publications.publish(walk.checked(day(1), other)),
        store.publications.publish(walk.checked(day(), second)),
    ]
    assert [p.superseded_at for p in store.publications.of_model("loans")] == [
        published[2].published_at,
        None,
        None,
    ]
    now = {row.score for row in rows_of(store, "loans")}
    assert now == set(second["score"].to_pylist()) | set(other["score"].to_pylist())

    def seen_at(moment: datetime) -> list[float]:
        shown = "published_at <= :at AND (superseded_at IS NULL OR superseded_at > :at)"
        return sorted(row.score for row in rows_of(store, "loans_history", shown, at=moment))

    before = published[2].published_at - timedelta(microseconds=1)
    assert seen_at(before) == sorted([*first["score"].to_pylist(), *other["score"].to_pylist()])
    assert seen_at(published[2].published_at) == sorted(now)
    # One row per key: of the two days, the later.
    latest = {row.loan_id: row for row in rows_of(store, "loans_latest")}
    assert len(rows_of(store, "loans_latest")) == 50
    assert latest[7].score == other["score"][7].as_py()
    assert [run.interval for run in store.runs.published("loans")] == [day(), day(1)]
    assert len(store.runs.published("loans", day(), current=False)) == 2


def test_publishing_twice_is_one_publication(walk: Walk, store: Store) -> None:
    run = walk.checked(day())
    first = store.publications.publish(run)
    assert store.publications.publish(run) == first
    successor = store.publications.publish(walk.checked(day()))
    again = store.publications.publish(run)  # superseded by now; still its own publication, and no new one
    assert (again.sequence, again.superseded_at) == (first.sequence, successor.published_at)
    assert len(store.publications.of_model("loans")) == 2


def test_a_stale_fence_neither_stages_nor_publishes(walk: Walk, store: Store) -> None:
    zombie = walk.checked(day())
    late = walk.claim(day())
    heir = walk.checked(day(), make_scores(day(), seed=2))
    with pytest.raises(
        StaleFenceError, match=f"holds fence 1, but run {heir.run_id} claimed later"
    ) as caught:
        store.publications.publish(zombie)
    assert caught.value.data["current_fence"] == 3
    with pytest.raises(StaleFenceError):
        store.scores.stage(late, make_scores(day()), **walk.package)
    with pytest.raises(StaleFenceError):
        store.runs.advance(late, "extracted")
    assert store.publications.of_model("loans") == []
    assert store.publications.publish(heir).fence == 3


def test_rows_that_do_not_add_up_are_refused(walk: Walk, store: Store) -> None:
    breaks = [
        "UPDATE rescore.run SET rows_extracted = rows_extracted + 1 WHERE run_id = :run",
        "UPDATE rescore.run SET rows_quarantined = rows_quarantined + 1, rows_extracted = rows_extracted + 1"
        " WHERE run_id = :run",
        "DELETE FROM rescore.excluded_loans WHERE run_id = :run AND position = 1",
    ]
    for number, statement in enumerate(breaks):
        run = walk.checked(day(number), excluded=make_scores(day(number), rows=3))
        execute(store, statement, run=run.run_id)
        with pytest.raises(RowAccountingError, match="do not add up") as caught:
            store.publications.publish(run)
        assert "scored 50" in str(caught.value)
        assert store.runs.get(run).state == "checked"
    assert rows_of(store, "loans") == []


def test_tampered_scores_are_refused(walk: Walk, store: Store) -> None:
    tampered = [
        "UPDATE {t} SET score = 0.25000000000000006 WHERE run_id = :run AND loan_id = 7",
        "UPDATE {t} SET label = 'pays ' WHERE run_id = :run AND loan_id = 7",
        "UPDATE {t} SET event_time = event_time + interval '1 day' WHERE run_id = :run AND loan_id = 7",
        "DELETE FROM {t} WHERE run_id = :run AND loan_id = 7",
        "INSERT INTO {t} SELECT run_id, branch, 700 + loan_id, event_time, score, label FROM {t}"
        " WHERE run_id = :run AND loan_id = 7",
    ]
    execute(store, "ALTER TABLE rescore.scores_loans DISABLE TRIGGER never_changed")
    for number, statement in enumerate(tampered):
        run = walk.checked(day(number), make_scores(day(number), values=[0.25] * 50))
        execute(store, statement.format(t="rescore.scores_loans"), run=run.run_id)
        with pytest.raises(DigestMismatchError, match="are not those that were staged") as caught:
            store.publications.publish(run)
        assert caught.value.data["expected"] == store.runs.get(run).score_digest != caught.value.data["got"]
    assert store.publications.of_model("loans") == []


def test_while_scores_are_read_back_no_transaction_idles_and_nobody_waits_for_the_claim(
    walk: Walk, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes: the server ends a transaction that idles, and the interval may be claimed."""
    idle: list[int] = []
    heirs: list[RunHandle] = []

    def meanwhile(*read: Any) -> Any:
        found = rows_in(store, "pg_stat_activity", "datname = current_database() AND state LIKE 'idle in%'")
        idle.append(len(found))
        if len(idle) == 2:
            heirs.append(walk.claim(day(1)))
        return digest_of(*read)

    monkeypatch.setattr(publications, "digest_of", meanwhile)
    store.publications.publish(walk.checked(day()))
    overtaken = walk.checked(day(1))
    with pytest.raises(StaleFenceError):
        store.publications.publish(overtaken)
    assert idle == [0, 0]
    assert [run.fence for run in heirs] == [overtaken.fence + 1]


@pytest.mark.parametrize("gone", ["deleted", "erased"])
def test_rows_that_go_after_they_were_read_back_are_not_published_without(
    walk: Walk, store: Store, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    run = walk.checked(day())

    def meanwhile(*read: Any) -> Any:
        digest = digest_of(*read)
        if gone == "deleted":
            store.deletions.delete_rows(run.run_id, rule="abandoned", done_by="ada")
        else:
            erasure = store.erasures.begin(f"hmac-sha256:{64 * '0'}", ground="asked for", asked_by="ada")
            keys = store.scores.of_run(run).slice(0, 1)
            assert store.erasures.erase_rows(erasure, store.runs.scored(run), keys) == 1
        return digest

    monkeypatch.setattr(publications, "digest_of", meanwhile)
    with pytest.raises(StoreError, match=r"were deleted or erased|is failed; it can"):
        store.publications.publish(run)
    assert store.publications.of_model("loans") == []


def test_scores_of_a_run_are_never_changed_in_place(walk: Walk, store: Store) -> None:
    store.publications.publish(walk.checked(day()))
    for table in ("scores_loans", "scores202001_loans"):
        with pytest.raises(StoreError, match="are never changed: UPDATE refused"):
            execute(store, f"UPDATE rescore.{table} SET score = 0")
    with pytest.raises(StoreError, match=r"run .* is published: UPDATE refused"):
        execute(store, "UPDATE rescore.run SET score_digest = NULL")


#: What says how things stand, and follows from history; and what retention and erasure take from.
STANDING = {"alembic_version", "claim", "due", "freezing", "model", "shard", "staging", "timetable"}
OF_A_MODEL = ("scores", "keys_", "excluded_")


def test_history_can_only_be_added_to(walk: Walk, store: Store) -> None:
    """Also by the owner, and in every table that a migration adds and that is not named here."""
    store.publications.publish(walk.checked(day()))
    with as_superuser(store) as connection:
        tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'rescore'"))
        history = {name for (name,) in tables if not name.startswith(OF_A_MODEL)} - STANDING
    assert {"drift", "validation", "performance", "reproduction", "run_state", "pin", "package"} <= history
    for table in sorted(history):
        for statement in (
            "DELETE FROM {t}",
            "TRUNCATE {t} CASCADE",
            "MERGE INTO {t} USING (VALUES (1)) one ON true WHEN MATCHED THEN DELETE",
        ):
            with pytest.raises(StoreError, match=r"append-only|follows from the publications"):
                execute(store, statement.format(t=f"rescore.{table}"))


def test_an_outage_is_published_only_with_a_reason(walk: Walk, store: Store) -> None:
    run = walk.checked(day(), verdict="outage")
    with pytest.raises(OutageError, match="it is outage"):
        store.publications.publish(run)
    store.runs.stop(run, OutageError("weather is missing"))
    assert store.runs.get(run).error["message"] == "weather is missing"  # type: ignore[index]
    for reason, who in [(None, "ada"), (" ", "ada"), ("because", None), ("because", " ")]:
        with pytest.raises(StoreError, match="is stopped; it can't be published"):
            store.publications.publish(run, reason=reason, released_by=who)
    store.publications.publish(run, reason="the head of operations decided so", released_by="ada")
    shown = ("outage", "the head of operations decided so", "ada")
    assert {(row.verdict, row.reason, row.released_by) for row in rows_of(store, "loans")} == {shown}
    (status,) = store.history.status()
    assert (status.verdict, status.reason, status.released_by) == shown


def test_a_held_run_is_published_by_a_person_with_a_reason_only(walk: Walk, store: Store) -> None:
    run = walk.checked(day(), verdict="drifted")
    store.runs.hold(run, "drifted: the weather")
    assert store.runs.get(run).held
    (status,) = store.history.status()
    assert (status.attempt_state, status.attempt_held) == ("checked", True)
    assert status.attempt_run_id == run.run_id
    for reason, who in [(None, None), ("because", None), (None, "ada"), ("because", " ")]:
        with pytest.raises(HeldError, match="is held: drifted: the weather"):
            store.publications.publish(run, reason=reason, released_by=who)
    # Not even by hand: the database itself knows what is held.
    with pytest.raises(StoreError, match="is held or stopped: INSERT refused"):
        execute(
            store,
            "INSERT INTO rescore.publication"
            " (run_id, model, interval_start, interval_end, fence, published_at, reason)"
            " SELECT run_id, model, interval_start, interval_end, fence, now(), 'x' FROM rescore.run"
            " WHERE run_id = :run",
            run=run.run_id,
        )
    assert store.publications.of_model("loans") == []
    published = store.publications.publish(run, reason="it is only rain", released_by="ada")
    assert (published.released_by, published.reason) == ("ada", "it is only rain")
    assert store.publications.of_model("loans") == [published]
    assert store.runs.get(run).publication == published
    assert not store.runs.get(run).held
    assert store.history.status()[0].attempt_held is False


def test_a_person_can_not_release_what_is_broken_or_stale(walk: Walk, store: Store) -> None:
    released = {"reason": "I want it", "released_by": "ada"}
    execute(store, "ALTER TABLE rescore.scores_loans DISABLE TRIGGER never_changed")
    breaks = [
        (
            "UPDATE rescore.run SET rows_extracted = rows_extracted + 1 WHERE run_id = :run",
            RowAccountingError,
        ),
        (
            "UPDATE rescore.scores_loans SET score = score + 1 WHERE run_id = :run AND loan_id = 7",
            DigestMismatchError,
        ),
    ]
    for number, (statement, error) in enumerate(breaks):
        run = walk.checked(day(number), verdict="drifted")
        store.runs.hold(run, "drifted")
        execute(store, statement, run=run.run_id)
        with pytest.raises(error):
            store.publications.publish(run, **released)
    stale = walk.checked(day(2), verdict="outage")
    store.runs.stop(stale, OutageError("weather is missing"))
    walk.claim(day(2))
    with pytest.raises(StaleFenceError):
        store.publications.publish(stale, **released)
    unscored = walk.claim(day(3))
    store.runs.stop(unscored, OutageError("weather is missing"))
    with pytest.raises(StoreError, match="has no scores to publish"):
        store.publications.publish(unscored, **released)
    assert store.publications.of_model("loans") == []


def test_only_a_checked_run_is_published(walk: Walk, store: Store) -> None:
    run = walk.claim(day())
    steps = (
        lambda: walk.extract(run, 50),
        lambda: walk.validate(run),
        lambda: walk.score(run, make_scores(day())),
        lambda: walk.check(run),
    )
    for step in steps:
        with pytest.raises(StoreError, match="it can't be published"):
            store.publications.publish(run)
        step()
    store.publications.publish(run)
    failed = walk.checked(day())
    store.runs.fail(failed, "the disk is full")
    with pytest.raises(StoreError, match="is failed; it can't be published"):
        store.publications.publish(failed, reason="please")


def test_an_empty_interval_can_be_published(walk: Walk, store: Store) -> None:
    run = walk.checked(day(), make_scores(day()).slice(0, 0))
    store.publications.publish(run)
    assert (rows_of(store, "loans"), store.history.status()[0].coverage) == ([], None)
    assert store.history.status()[0].rows_scored == 0


def test_status_says_how_fresh_and_what_was_tried_last(walk: Walk, store: Store) -> None:
    assert store.history.status()[0].interval_end is None
    run = walk.checked(day(), excluded=make_scores(day(), rows=3))
    store.publications.publish(run)
    store.runs.stop(walk.checked(day(1), verdict="outage"), OutageError("weather is missing"))
    store.packages.add("loans", "1.0.1", "sha256:" + "1" * 64, Manifest(), "file:///q.whl")
    store.pins.add("loans", "1.0.1", "sha256:" + "1" * 64, who="ada", why="better")
    (status,) = store.history.status()
    assert (status.interval_start, status.interval_end) == (START, START + DAY)
    assert status.freshness > timedelta(days=900)
    assert (status.rows_extracted, status.rows_scored) == (53, 50)
    assert (status.rows_quarantined, status.rows_rejected) == (1, 2)
    assert status.coverage == pytest.approx(50 / 53)
    assert (status.validation, status.verdict) == ("passed", "ok")
    assert (status.package_version, status.pinned_version) == ("1.0.0", "1.0.1")
    assert (status.attempt_interval_start, status.attempt_state) == (START + DAY, "stopped")
    assert status.attempt_sentence == "it is outage"
