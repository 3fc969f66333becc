"""What a Postgres' errors mean for whoever asked: try again later, or not before a person acts.

One table for the store and for sources, so that the same fault is treated alike on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rescore.postgres_startup import startup_sqlstate

__all__ = ["is_retryable", "is_statement_timeout", "lacks_permission", "login_is_refused"]

#: Five-character codes, or the two characters of a whole class, after which the same statement can
#: succeed with nothing changed by a person.
_RETRYABLE = {
    "08": "the connection was lost or could not be made",
    "53": "the server is short of memory, disk or connections",
    "58": "the server's own system failed (input, output)",
    "25P03": "the server ended a transaction that was idle for too long",
    "40001": "two transactions were in conflict (also: with a standby's recovery)",
    "40P01": "a deadlock was broken up",
    "55006": "another session still uses the object",
    "55P03": "a lock was not free in time",
    "57P01": "an administrator ended the session",
    "57P02": "the server crashed",
    "57P03": "the server is starting or stopping",
    "57P05": "the session was idle for too long",
}

#: The statement took longer than allowed, or a person cancelled it. The same statement would take as
#: long again, so this is not retryable.
_STATEMENT_TIMEOUT = "57014"

_NO_PERMISSION = "42501"

# A refused login has no SQLSTATE in libpq's answer; the words of a server that speaks English tell it from
# a server that is starting or has no connection left. One that speaks another language is asked again.
_REFUSED_LOGIN = re.compile(
    r"authentication failed|no password supplied|(role|database) \"[^\n]*\" does not exist"
    r"|no pg_hba.conf entry|not permitted to log in|permission denied for database"
    r"|not currently accepting connections|unrecognized configuration parameter|invalid value for parameter"
    r"|invalid \w+ value: "
    # TLS that sslmode asks for, and that the server does not speak or can't prove.
    r"|but SSL was required|certificate verify failed|does not match host name|root certificate file"
)
#: The severity before a server's own words, in whatever language; libpq's have none.
_SERVER_SAYS = re.compile(r"(?:^|: )\w+:  \S", re.MULTILINE)


def is_retryable(sqlstate: str) -> bool:
    """Whether an error with this SQLSTATE can pass by itself."""
    return sqlstate in _RETRYABLE or sqlstate[:2] in _RETRYABLE


def lacks_permission(sqlstate: str) -> bool:
    """Whether the role may not do what was asked."""
    return sqlstate == _NO_PERMISSION


def is_statement_timeout(sqlstate: str) -> bool:
    """Whether the server gave up a statement that took too long."""
    return sqlstate == _STATEMENT_TIMEOUT


def login_is_refused(message: str, parameters: Mapping[str, str]) -> bool:
    """Whether a connection failed because of what its URL asks for: role, password, database, TLS, options.

    Parameters
    ----------
    message : str
        What libpq said when no connection came about.
    parameters : mapping of str to str
        libpq's, with which it tried.
    """
    if _REFUSED_LOGIN.search(message):
        return True
    if not _SERVER_SAYS.search(message):
        return False
    said = startup_sqlstate(parameters)
    return said is not None and not is_retryable(said)
