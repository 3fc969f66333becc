"""Which errors of a Postgres can pass by themselves."""

from __future__ import annotations

import pytest

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
    assert login_is_refused(message) is refused
