"""A store is reached, written and read back through any URL that libpq reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg2 import sql

from rescore.errors import SettingsError
from rescore.local import LocalPostgres
from rescore.store import Store
from rescore.store.binary_copy import query_batches
from rescore.store.database import run_sql
from tests.shared.superuser import as_administrator

ROLE = "odd role%"


@pytest.fixture(scope="module")
def set_password(postgres_server: LocalPostgres) -> Iterator[tuple[Store, Callable[[str], None]]]:
    """The server's own database, and how the password of a role there is set."""
    store = Store(as_administrator(postgres_server.url()))
    role = sql.Identifier(ROLE)

    def run(statement: sql.Composable) -> None:
        with store.database.transaction(checked=False) as connection:
            run_sql(connection, statement)

    run(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    yield (
        store,
        lambda password: run(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(password))),
    )
    run(sql.SQL("DROP ROLE {}").format(role))
    store.close()


def written_and_read_back(url: str, question: str) -> tuple[str, str]:
    """What both drivers, the one that writes and the one that reads scores, answer to ``SELECT question``."""
    store = Store(url)
    try:
        with store.database.transaction(checked=False) as connection:
            by_psycopg2 = run_sql(connection, sql.SQL("SELECT ({})::text").format(sql.SQL(question)))[0][0]
        [batch] = query_batches(store.database.libpq_url, f"SELECT ({question})::text")
        return by_psycopg2, batch.column(0)[0].as_py()
    finally:
        store.close()


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12))
@example(password="a b")
@example(password="p@ss/w%rd#1?x=y&z")
@example(password="'\\ \"")
@example(password="пароль ß")
def test_every_password_written_in_a_url_logs_both_drivers_in(set_password, password: str) -> None:
    store, set_to = set_password
    set_to(password)
    server = store.database.address.parameters
    place = f"{server['host']}:{server['port']}/{server['dbname']}"
    url = f"postgresql://{quote(ROLE, safe='')}:{quote(password, safe='')}@{place}"
    assert written_and_read_back(url, "current_user") == (ROLE, ROLE)


@pytest.mark.parametrize(
    ("query", "question", "answer"),
    [
        ("options=-c%20statement_timeout%3D4321", "current_setting('statement_timeout')", "4321ms"),
        ("options=-cwork_mem%3D5MB%20-cmy.words%3Da%5C%20b", "current_setting('my.words')", "a b"),
        ("connect_timeout=3&sslmode=prefer", "1 + 1", "2"),
    ],
)
def test_options_of_a_url_reach_the_server(
    owned_database: str, query: str, question: str, answer: str
) -> None:
    assert written_and_read_back(f"{owned_database}?{query}", question) == (answer, answer)


def test_the_first_of_several_hosts_that_answers_is_used(owned_database: str) -> None:
    before, at, place = owned_database.rpartition("@")
    assert written_and_read_back(f"{before}{at}127.0.0.1:1,{place}", "1 + 1") == ("2", "2")


def test_a_string_of_keys_and_values_is_read_too(owned_database: str) -> None:
    dsn = Store(owned_database).database.address.dsn
    assert "://" not in dsn
    assert written_and_read_back(dsn, "1 + 1") == ("2", "2")


def test_a_password_with_a_space_logs_both_drivers_in(set_password) -> None:
    store, set_to = set_password
    set_to("a b")
    server = store.database.address.parameters
    place = f"{server['host']}:{server['port']}/{server['dbname']}"
    url = f"postgresql://{quote(ROLE, safe='')}:a%20b@{place}"
    assert written_and_read_back(url, "current_user") == (ROLE, ROLE)


def test_a_password_with_a_raw_slash_and_at_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        Store("postgresql://odd:p@ss/w%rd#1@localhost:5432/shop")
    assert "RESCORE_DATABASE_URL" in (caught.value.where or "")
    for piece in ("p@ss", "@ss", "w%rd", "rd#1"):
        assert piece not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
