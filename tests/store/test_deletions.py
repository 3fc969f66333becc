"""The database itself refuses to delete what is seen, waited for or held, whatever its caller believes."""

from __future__ import annotations

import psycopg2
import pytest

from rescore.errors import KeptError, NotFoundError, StoreError
from rescore.interval import Interval
from rescore.store import Store
from tests.store.builders import Walk, day, make_scores
from tests.store.logins import Logins

BY = {"rule": "retention.superseded_scores: 1 day", "done_by": "ada"}


def test_rows_that_are_seen_waited_for_or_held_stay(store: Store, walk: Walk) -> None:
    old, later = (walk.checked(day()) for _ in range(2))
    store.publications.publish(later)
    waits = walk.checked(day(1), verdict="drifted")
    store.runs.hold(waits, "drifted")
    for run in (later, waits):
        with pytest.raises(StoreError, match="are needed: it is published or waits for a person"):
            store.deletions.delete_rows(run.run_id, **BY)
    half = Interval(day().start, day().start + (day().end - day().start) / 2)
    hold = store.holds.place(who="eve", reason="case 7", model="loans", interval=half)
    with pytest.raises(StoreError, match=f"legal hold {hold} keeps the rows"):
        store.deletions.delete_rows(old.run_id, **BY)
    store.holds.lift(hold, who="eve", reason="closed")
    assert store.deletions.delete_rows(old.run_id, **BY) == 50
    with pytest.raises(NotFoundError, match=f"no legal hold {hold} to lift"):
        store.holds.lift(hold, who="eve", reason="again")
    [noted] = store.deletions.all()
    assert (noted.subject, noted.rows, noted.done_by) == (old.run_id, 50, "ada")
    assert store.scores.of_run(later).num_rows == store.scores.of_run(waits).num_rows == 50
    assert store.chain.verify(scores=True).findings == ()


def test_a_stopped_run_whose_rows_went_is_published_by_nobody(store: Store, walk: Walk) -> None:
    run = walk.checked(day(), verdict="outage")
    store.runs.stop(run, "an outage")
    store.deletions.delete_rows(run.run_id, **BY)
    with pytest.raises(StoreError, match="were deleted"):
        store.publications.publish(run, reason="known", released_by="ada")


def test_rows_go_by_the_release_role_alone_and_by_its_function_alone(logins: Logins, walk: Walk) -> None:
    old = walk.checked(day(1), excluded=make_scores(day(1), rows=2))
    walk.store.publications.publish(walk.checked(day(1)))
    for role in ("run", "consumer", "extract"):
        mine = Store(logins.url(role))
        with pytest.raises(StoreError, match="permission denied"):
            mine.deletions.delete_rows(old.run_id, **BY)
        mine.close()
    mine = Store(logins.url("release"))
    assert mine.deletions.delete_rows(old.run_id, **BY) == 52
    mine.close()
    for statement in (
        "DELETE FROM rescore.scores_loans",
        "DELETE FROM rescore.legal_hold",
        "INSERT INTO rescore.deletion (what, subject, rule, done_by) VALUES ('x', 'x', 'x', 'x')",
    ):
        with pytest.raises(psycopg2.Error, match="permission denied"):
            logins.run("release", statement)


def test_who_and_why_are_said_and_a_file_is_no_run(store: Store) -> None:
    with pytest.raises(StoreError, match="does not say who wants it, or why"):
        store.holds.place(who=" ", reason="x", model="loans")
    with pytest.raises(StoreError, match="'scores' 'x' is no folder"):
        store.deletions.delete_folder(
            model="loans",
            what="scores",  # type: ignore[arg-type]
            subject="x",
            rule="x",
            done_by="x",
            delete=list,
        )


def test_a_run_that_went_on_keeps_its_rows_and_one_that_lost_them_is_validated_again(
    store: Store, walk: Walk
) -> None:
    """A retry of a run that retention closed: its fork has no rows set aside, so it starts before them."""
    run = walk.claim(day())
    walk.extract(run, 50)
    walk.validate(run, make_scores(day(), rows=2))
    entered = max(store.runs.get(run).states.values())
    tried = store.runs.resume(run, "validated")
    with pytest.raises(KeptError, match=f"run {run.run_id} goes on"):
        store.deletions.delete_rows(run.run_id, last_progress=entered, **BY)
    assert len(store.excluded.positions(tried)) == 2
    last = store.runs.last_attempts("loans")[run.run_id]
    assert store.deletions.delete_rows(run.run_id, last_progress=last, **BY) == 2
    fork = store.runs.get(store.runs.resume(tried, "validated"))
    assert (fork.forked_from, fork.state, fork.rows_quarantined) == (run.run_id, "extracted", 0)


def test_a_folder_named_like_a_run_is_no_deletion_of_its_rows(store: Store, walk: Walk) -> None:
    run = walk.checked(day())
    for subject in (run.run_id, "x"):
        with pytest.raises(StoreError, match="is no folder"):
            store.deletions.delete_folder(
                model="loans", what="environment", subject=subject, rule="x", done_by="x", delete=list
            )
    with pytest.raises(StoreError, match="is no frozen table"):
        store.deletions.delete_table(
            model="loans",
            what="frozen input",
            digest=run.run_id,
            last_used=day().end,
            delete=lambda: None,
            rule="x",
            done_by="x",
        )
    assert store.deletions.of_runs([run.run_id]) == {}
    store.publications.publish(run)
