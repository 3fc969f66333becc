"""Least privilege: what consumers, runs and extraction may and may not do."""

from __future__ import annotations

import psycopg2
import pytest
from sqlalchemy import text

from rescore.errors import StoreError
from rescore.manifest import Manifest
from rescore.store import Store
from tests.store.builders import KEY_TYPES, Walk, day, make_scores, make_spec
from tests.store.logins import Logins


def test_a_consumer_reads_the_views_and_nothing_else(logins: Logins, store: Store) -> None:
    store.models.ensure(make_spec("cards"), KEY_TYPES)  # a model that is younger than the roles
    assert logins.run("consumer", "SELECT count(*) FROM scores.loans") == [(50,)]
    for view in ("loans_latest", "loans_history", "loans_excluded", "cards", "cards_history", "status"):
        logins.run("consumer", f"SELECT * FROM scores.{view}")
    for statement in (
        "SELECT * FROM rescore.scores_loans",
        "SELECT * FROM rescore.run",
        "SELECT rescore.ensure_partition('loans', '2030-01-01')",
        "DELETE FROM scores.loans",
        "UPDATE scores.loans SET score = 0",
        "INSERT INTO scores.loans (score) VALUES (1)",
        "CREATE TABLE scores.mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "SELECT * FROM bank.loan",
    ):
        with pytest.raises(psycopg2.Error, match=r"permission denied|cannot"):
            logins.run("consumer", statement)


def test_a_login_may_be_given_one_model_alone(logins: Logins, store: Store) -> None:
    """What row-level security by model would be for: each model has views of its own."""
    store.models.ensure(make_spec("cards"), KEY_TYPES)
    login = f"extract_{logins.suffix}"  # of no use to consumers otherwise
    with store.database.transaction() as connection:
        connection.execute(text(f"GRANT USAGE ON SCHEMA scores TO {login}"))
        connection.execute(text(f"GRANT SELECT ON scores.loans, scores.loans_latest TO {login}"))
    assert logins.run("extract", "SELECT count(*) FROM scores.loans_latest") == [(50,)]
    for view in ("cards", "cards_latest", "loans_excluded", "status", "runs", "gaps"):
        with pytest.raises(psycopg2.Error, match="permission denied for view"):
            logins.run("extract", f"SELECT * FROM scores.{view}")


def test_the_run_role_does_all_that_runs_do_and_no_more(logins: Logins, store: Store) -> None:
    mine = Store(logins.url("run"))
    walk = Walk(mine)
    walk.spec = make_spec()
    mine.models.ensure(walk.spec, KEY_TYPES)  # there already: needs no right
    far = day(400)  # a month that has no partition yet
    run = walk.checked(far, excluded=make_scores(far, rows=2))
    mine.runs.fork(run)
    run = walk.checked(far, excluded=make_scores(far, rows=2))
    mine.publications.publish(run)
    mine.reports.record_performance(run, far.end, {"auc": 0.7})
    mine.reports.record_reproduction(run, "identical", {})
    mine.packages.add("loans", "1.0.1", "sha256:" + "2" * 64, Manifest(), "file:///x")
    mine.pins.add("loans", "1.0.1", "sha256:" + "2" * 64, who="rule", why="promotion.approval: auto")
    with pytest.raises(StoreError, match="permission denied for function add_pin"):
        mine.pins.add("loans", "1.0.1", "sha256:" + "2" * 64, who="ada", why="I say so")
    assert mine.history.status()[0].pinned_version == "1.0.1"
    assert mine.scores.of_run(run).num_rows == 50
    with pytest.raises(StoreError, match="not permitted") as caught:
        mine.models.ensure(make_spec("cards"), KEY_TYPES)
    assert "RESCORE_OWNER_URL" in str(caught.value.fix)
    mine.close()
    for statement in (
        "DELETE FROM rescore.scores_loans",
        "DELETE FROM rescore.scores202001_loans",
        "TRUNCATE rescore.scores_loans",
        "UPDATE rescore.scores_loans SET score = 0",
        "DELETE FROM rescore.publication",
        "DELETE FROM rescore.run",
        "UPDATE rescore.publication SET reason = 'x'",
        "ALTER TABLE rescore.scores_loans DISABLE TRIGGER never_changed",
        "DROP TABLE rescore.scores_loans",
        "SELECT * FROM bank.loan",
    ):
        with pytest.raises(psycopg2.Error, match=r"permission denied|must be owner"):
            logins.run("run", statement)


def test_only_the_release_role_publishes_what_is_held(logins: Logins, store: Store, walk: Walk) -> None:
    run = walk.checked(day(5), verdict="drifted")
    store.runs.hold(run, "drifted")
    released = {"reason": "known", "released_by": "ada"}
    runs, releases = Store(logins.url("run")), Store(logins.url("release"))
    with pytest.raises(StoreError, match="not permitted"):
        runs.publications.publish(run, **released)
    assert releases.publications.publish(run, **released).released_by == "ada"
    for mine in (runs, releases):
        mine.close()
    with pytest.raises(psycopg2.Error, match="permission denied"):
        logins.run("release", "DELETE FROM rescore.publication")


def test_the_extract_role_reads_the_source_only(logins: Logins) -> None:
    assert logins.run("extract", "SELECT * FROM bank.loan") == []
    for statement in (
        "INSERT INTO bank.loan VALUES (1)",
        "SELECT * FROM rescore.run",
        "SELECT * FROM scores.loans",
    ):
        with pytest.raises(psycopg2.Error, match="permission denied"):
            logins.run("extract", statement)
