"""The local server's logins: each for one part of the work, none a superuser."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from rescore.cli import main
from rescore.errors import StoreError
from rescore.local import LocalPostgres, Logins
from rescore.local.logins import airflow_login
from rescore.store import Store
from tests.shared.superuser import as_administrator
from tests.store.builders import KEY_TYPES, Walk, day, make_spec


def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


@pytest.fixture
def database(postgres_server: LocalPostgres) -> Iterator[str]:
    name = f"logins_{uuid.uuid4().hex[:12]}"
    postgres_server.create_database(name)
    yield name
    postgres_server.drop_database(name)


def test_a_store_is_used_by_a_login_for_each_part_of_the_work(
    postgres_server: LocalPostgres, database: str
) -> None:
    """Set-up as the owner, runs as the worker, what a person does as a person; sources only read."""
    with Store(as_administrator(postgres_server.url(database))) as before:  # as an earlier release did
        before.schema.migrate()
    logins = Logins.prepare(postgres_server, database)
    assert Logins.prepare(postgres_server, database) == logins
    for url in (logins.owner, logins.run, logins.release, logins.extract):
        assert ask(url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(False,)]
    ask(logins.owner, "CREATE SCHEMA bank; CREATE TABLE bank.loan (id int)")
    with Store(logins.run, release_url=logins.release, owner_url=logins.owner) as store:
        store.roles.create(source_schemas=["bank"])
        walk = Walk(store)
        store.publications.publish(walk.checked(day()))
        run = walk.checked(day(1), verdict="drifted")
        store.runs.hold(run, "drifted")
        released = store.publications.publish(run, reason="known", released_by="ada")
        assert released.released_by == "ada"
    by = "SELECT entry::jsonb->>'by' FROM rescore.chain WHERE about = 'publication' ORDER BY number"
    assert ask(logins.run, by) == [("rescore_worker",), ("rescore_person",)]
    with Store(logins.run) as alone, pytest.raises(StoreError, match="not permitted") as caught:
        alone.models.ensure(make_spec("cards"), KEY_TYPES)
    assert "RESCORE_OWNER_URL" in str(caught.value.fix)
    assert ask(logins.extract, "SELECT * FROM bank.loan") == []
    # What `rescore check` needs.
    assert ask(logins.extract, "CREATE TEMP TABLE seen AS SELECT * FROM bank.loan; SELECT * FROM seen") == []
    for statement in (
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT rolpassword FROM pg_authid",
        "SELECT * FROM rescore.run",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "DELETE FROM bank.loan",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(logins.extract, statement)


def test_airflow_and_the_store_do_not_reach_each_others_database(
    postgres_server: LocalPostgres, database: str
) -> None:
    logins = Logins.prepare(postgres_server, database)
    metadata = f"{database}_airflow"
    url = airflow_login(postgres_server, metadata)
    try:
        ask(url, "CREATE TABLE dag (id int)")
        for refused in (
            url.replace(metadata, database),
            *(one.replace(database, metadata) for one in (logins.owner, logins.run, logins.release)),
        ):
            with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
                ask(refused, "SELECT 1")
    finally:
        postgres_server.drop_database(metadata)


def test_an_upgrade_renews_the_rights_that_were_given_and_gives_none_anew(
    postgres_server: LocalPostgres, database: str
) -> None:
    logins = Logins.prepare(postgres_server, database)
    with Store(logins.run, release_url=logins.release, owner_url=logins.owner) as store:
        store.schema.migrate()
        assert store.roles.renew() is False
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(logins.run, "SELECT count(*) FROM rescore.run")
        store.roles.create()
        # A later release brings a function that the roles of this store do not know yet.
        ask(logins.owner, "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA rescore FROM rescore_run")
        assert store.roles.renew() is True
        run = Walk(store).checked(day())
        assert store.publications.publish(run).run_id == run.run_id


def test_the_first_set_up_with_separate_logins_says_what_comes_next(
    postgres_server: LocalPostgres,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logins = Logins.prepare(postgres_server, database)
    (tmp_path / "models").mkdir()
    for name, value in {
        "HOME": tmp_path,
        "MODELS": tmp_path / "models",
        "DATABASE_URL": logins.run,
        "OWNER_URL": logins.owner,
    }.items():
        monkeypatch.setenv(f"RESCORE_{name}", str(value))
    for command, said in (("migrate", True), ("roles", False), ("migrate", False)):
        with pytest.raises(SystemExit) as ended:
            main(["store", command])
        assert ended.value.code == 0
        assert ("`rescore store roles`" in capsys.readouterr().err) is said
