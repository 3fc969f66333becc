"""A migrated store in a database of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from rescore.local import LocalPostgres
from rescore.local import Logins as OfServer
from rescore.store import Store
from tests.store.builders import Walk, day
from tests.store.logins import Logins, copied, opened


@pytest.fixture(scope="session")
def migrated_template(postgres_server: LocalPostgres) -> Iterator[str]:
    """A database that was migrated once and has the model ``loans``; tests copy it."""
    postgres_server.create_database("store_template")
    OfServer.prepare(postgres_server, "store_template")
    with opened(postgres_server, "store_template") as store:
        store.schema.migrate()
        store.roles.create()
        Walk(store)
    yield "store_template"
    postgres_server.drop_database("store_template")


@pytest.fixture
def store(postgres_server: LocalPostgres, migrated_template: str) -> Iterator[Store]:
    """As a deployment uses it: by the login of runs, where a person acts by theirs, set up by its owner."""
    with copied(postgres_server, migrated_template, f"store_{uuid.uuid4().hex[:12]}") as store:
        yield store


@pytest.fixture
def walk(store: Store) -> Walk:
    """Takes runs of ``loans`` from stage to stage."""
    return Walk(store)


@pytest.fixture
def logins(walk: Walk, store: Store) -> Iterator[Logins]:
    """Logins of the store's roles; its model ``loans``, published, is older than they are."""
    store.publications.publish(walk.checked(day()))
    made = Logins.make(store)
    yield made
    made.drop()
