"""Least privilege: what consumers, runs and extraction may and may not do."""

from __future__ import annotations

import psycopg2
import pytest
from sqlalchemy import text

from rescore.errors import StoreError
from rescore.local import LocalPostgres
from rescore.manifest import Manifest
from rescore.store import Store
from rescore.store.schema.roles import RELEASE_FUNCTIONS, RUN_FUNCTIONS
from tests.shared.superuser import as_administrator
from tests.store.builders import KEY_TYPES, Walk, day, make_scores, make_spec
from tests.store.logins import ROLES, Logins, as_superuser


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
    with as_superuser(store) as connection:
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


def test_a_test_that_uses_the_store_as_the_superuser_says_so(postgres_server: LocalPostgres) -> None:
    with pytest.raises(AssertionError, match="as the superuser"):
        Store(postgres_server.url()).schema.version()
    assert Store(as_administrator(postgres_server.url())).schema.version() is None


def test_the_extract_role_reads_the_source_only(logins: Logins) -> None:
    assert logins.run("extract", "SELECT * FROM bank.loan") == []
    for statement in (
        "INSERT INTO bank.loan VALUES (1)",
        "SELECT * FROM rescore.run",
        "SELECT * FROM scores.loans",
    ):
        with pytest.raises(psycopg2.Error, match="permission denied"):
            logins.run("extract", statement)


#: All that a role may do to what is in the database, but read: by the catalog, so that nothing is forgotten.
_RIGHTS = """
SELECT r.role, 'table', c.oid::regclass::text, p.right FROM unnest(%(roles)s) r (role), pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace,
    unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p ("right")
  WHERE n.nspname IN ('rescore', 'scores', 'bank') AND c.relkind IN ('r', 'p', 'v', 'm')
    AND has_table_privilege(r.role, c.oid, p.right)
UNION ALL SELECT r.role, 'sequence', c.oid::regclass::text, 'USAGE'
  FROM unnest(%(roles)s) r (role), pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname IN ('rescore', 'scores', 'bank') AND c.relkind = 'S'
    AND has_sequence_privilege(r.role, c.oid, 'USAGE, UPDATE')
UNION ALL SELECT r.role, 'column', a.attrelid::regclass::text, a.attname FROM unnest(%(roles)s) r (role),
    pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname IN ('rescore', 'scores', 'bank') AND c.relkind IN ('r', 'p', 'v') AND a.attacl IS NOT NULL
    AND has_column_privilege(r.role, a.attrelid, a.attnum, 'INSERT, UPDATE')
UNION ALL SELECT r.role, 'schema', n.nspname, 'CREATE' FROM unnest(%(roles)s) r (role), pg_namespace n
  WHERE n.nspname !~ '^pg_temp|^pg_toast' AND has_schema_privilege(r.role, n.oid, 'CREATE')
UNION ALL SELECT r.role, 'database', current_database(), 'CREATE' FROM unnest(%(roles)s) r (role)
  WHERE has_database_privilege(r.role, current_database(), 'CREATE')
UNION ALL SELECT r.role, 'attribute', r.role, 'any' FROM pg_roles g JOIN unnest(%(roles)s) r (role)
    ON r.role = g.rolname
  WHERE g.rolsuper OR g.rolcreaterole OR g.rolcreatedb OR g.rolreplication OR g.rolbypassrls
UNION ALL SELECT r.role, 'member', g.rolname, 'SET' FROM unnest(%(roles)s) r (role), pg_roles g
  WHERE g.rolname ~ '^pg_' AND pg_has_role(r.role, g.oid, 'MEMBER')
UNION ALL SELECT r.role, 'server function', f.oid::regprocedure::text, 'EXECUTE'
  FROM unnest(%(roles)s) r (role), pg_proc f
  WHERE f.proname ~ '^pg_(read|ls|stat)_(file|binary_file|dir|.*dir)$|^lo_(import|export)$|^dblink'
    AND has_function_privilege(r.role, f.oid, 'EXECUTE')
"""
_FUNCTIONS = """
SELECT r.role, f.proname FROM unnest(%(roles)s) r (role), pg_proc f
    JOIN pg_namespace n ON n.oid = f.pronamespace
  WHERE n.nspname IN ('rescore', 'scores') AND has_function_privilege(r.role, f.oid, 'EXECUTE')
"""
#: Functions that run with their owner's rights find nothing by a path that a caller can set.
_OPEN = """
SELECT f.oid::regprocedure::text FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
  WHERE n.nspname IN ('rescore', 'scores')
    AND f.prosecdef AND NOT coalesce(f.proconfig && ARRAY['search_path=pg_catalog, pg_temp'], false)
"""


def test_no_role_has_a_right_that_nobody_listed(logins: Logins, store: Store) -> None:
    """Of all tables, columns, sequences, schemas and functions there are, a staged table among them."""
    walk = Walk(store)
    walk.checked(day(3))
    roles = {f"{role}_{logins.suffix}": role for role in ROLES}
    with as_superuser(store) as connection:
        cursor = connection.connection.cursor()
        cursor.execute(_RIGHTS, {"roles": [*roles]})
        assert [(roles[role], *rest) for role, *rest in cursor.fetchall()] == []
        cursor.execute(_FUNCTIONS, {"roles": [*roles]})
        may: dict[str, set[str]] = {role: set() for role in ROLES}
        for role, function in cursor.fetchall():
            may[roles[role]].add(function)
        cursor.execute(_OPEN)
        assert cursor.fetchall() == []
    assert may == {
        "extract": set(),
        "consumer": set(),
        "run": set(RUN_FUNCTIONS),
        "release": {*RUN_FUNCTIONS, *RELEASE_FUNCTIONS},
    }
