"""A fleet in a database of its own that the command line finds by its settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rescore.local import LocalPostgres
from rescore.store import Store
from tests.shared.fleet import Fleet
from tests.shared.logins import set_up_store, store_settings
from tests.shared.superuser import as_administrator

__all__ = ["fleet_by_command"]


@contextmanager
def fleet_by_command(server: LocalPostgres, database: str, home: Path) -> Iterator[tuple[Fleet, list[str]]]:
    """Eight models with 16 days each, and their names, while the commands' settings lead to them."""
    url = server.create_database(database, template="rescore_template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESCORE_HOME", str(home))
        patch.setenv("RESCORE_MODELS", str(home / "models"))
        for name, value in store_settings(server, url).items():
            patch.setenv(name, value)
        set_up_store(server, url).close()
        with Store(as_administrator(url)) as store:  # which passes over triggers
            fleet = Fleet(store, home / "models")
            yield fleet, fleet.fill(8, 16)
    server.drop_database(database)
