"""Which errors of a Postgres can pass by themselves."""

from __future__ import annotations

import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from rescore.local import LocalPostgres
from rescore.local.ports import free_port
from rescore.postgres_url import PostgresUrl
from rescore.sqlstates import is_retryable, is_statement_timeout, login_is_refused


@pytest.mark.parametrize(
    "sqlstate",
    ["08006", "53100", "53300", "58030", "25P03", "40001", "40P01", "55P03", "57P01", "57P02", "57P03"],
)
def test_what_can_pass_by_itself(sqlstate: str) -> None:
    assert is_retryable(sqlstate)


@pytest.mark.parametrize(
    "sqlstate", ["28P01", "28000", "3D000", "42501", "42P01", "57014", "57P04", "22012", "40002", ""]
)
def test_what_a_person_has_to_change(sqlstate: str) -> None:
    assert not is_retryable(sqlstate)


def test_a_statement_that_took_too_long() -> None:
    assert is_statement_timeout("57014")
    assert not is_statement_timeout("57P01")


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ('FATAL:  password authentication failed for user "x"', True),
        ('FATAL:  role "x" does not exist', True),
        ('FATAL:  database "x" does not exist', True),
        ('FATAL:  no pg_hba.conf entry for host "::1", user "x", database "y"', True),
        ("fe_sendauth: no password supplied", True),
        ('FATAL:  role "x" is not permitted to log in', True),
        ('FATAL:  permission denied for database "x"', True),
        ('FATAL:  unrecognized configuration parameter "colour"', True),
        ('FATAL:  invalid value for parameter "search_path": "a b"', True),
        ('invalid sslmode value: "perhaps"', True),
        ("FATAL:  the database system is starting up", False),
        ("FATAL:  sorry, too many clients already", False),
        ("connection refused", False),
    ],
)
def test_a_refused_login_is_told_from_a_busy_server(message: str, refused: bool) -> None:
    assert login_is_refused(message, {}) is refused


# As servers with lc_messages de_DE and ru_RU say them.
REFUSED = (
    'connection to server at "127.0.0.1", port 5432 failed: FATAL:  Passwort-Authentifizierung für Benutzer'
    " »x« fehlgeschlagen"
)
CLOSED = "ВАЖНО:  база данных «x» не существует"


def test_a_server_of_another_language_is_asked_again_what_it_meant(postgres_server: LocalPostgres) -> None:
    address = PostgresUrl.parse(postgres_server.url(), where="here").parameters
    for message in (REFUSED, CLOSED):
        assert login_is_refused(message, address)
        assert not login_is_refused(message, {**address, "port": str(free_port())})
        assert not login_is_refused(message, {**address, "host": "127.0.0.1,127.0.0.1"})
    # libpq's own words are about no login, whatever the server would say.
    assert not login_is_refused("could not receive data from server: Verbindung verloren", address)


@pytest.mark.parametrize(("sqlstate", "refused"), [("57P03", False), ("53300", False), ("28000", True)])
def test_what_a_server_says_at_once_is_told_by_its_code(sqlstate: str, refused: bool) -> None:
    """No server is full or starting on demand: a socket says what such a server does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fields = f"SFATAL\0C{sqlstate}\0Mleider nicht\0\0".encode()
        answer = b"E" + struct.pack("!I", len(fields) + 4) + fields

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"N")  # it speaks no TLS
                connection.recv(1024)
                connection.sendall(answer)

        with ThreadPoolExecutor(1) as pool:
            served = pool.submit(serve)
            there = {"host": "127.0.0.1", "port": str(listening.getsockname()[1]), "user": "x"}
            assert login_is_refused("FATAL:  leider nicht", there) is refused
            served.result()
