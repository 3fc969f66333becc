"""Stores are used by logins with few rights: a test that opens one as the superuser says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from rescore.local.postgres import SUPERUSER

__all__ = ["as_administrator", "superusers_refused"]

_MARK = {"application_name": "administrator"}


def as_administrator(url: str) -> str:
    """The superuser's URL, for what whoever owns the server can: forge, fill, look at everything."""
    [(name, value)] = _MARK.items()
    return f"{url}{'&' if '?' in url else '?'}{name}={value}"


@contextmanager
def superusers_refused() -> Iterator[None]:
    """A store that is opened by an unmarked URL of the superuser fails the test."""
    event.listen(Engine, "connect", _look)
    try:
        yield
    finally:
        event.remove(Engine, "connect", _look)


def _look(connection: Any, entry: object) -> None:
    info = getattr(connection, "info", None)  # of psycopg2
    given = getattr(info, "dsn_parameters", {})
    if given.get("user") == SUPERUSER and not _MARK.items() <= given.items():
        raise AssertionError(
            "a test uses a store as the superuser: take tests.shared.logins, or as_administrator(url)"
        )
