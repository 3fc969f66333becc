"""The store of the other tests, and somebody who may do anything to its database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from rescore.store import Store
from tests.store.conftest import migrated_template, store, walk
from tests.store.logins import as_superuser

__all__ = ["migrated_template", "store", "superuser", "walk"]


@pytest.fixture
def superuser(store: Store) -> Callable[[str], None]:
    """Runs SQL with every trigger off, as whoever owns the server can."""

    def run(statements: str) -> None:
        with as_superuser(store) as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text(statements))

    return run
