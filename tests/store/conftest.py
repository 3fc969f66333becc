"""A migrated store in a database of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from rescore.local import LocalPostgres
from rescore.store import Store
from tests.store.builders import Walk, day
from tests.store.logins import Logins


@pytest.fixture(scope="session")
def migrated_template(postgres_server: LocalPostgres) -> Iterator[str]:
    """A database that was migrated once and has the model ``loans``; tests copy it."""
    url = postgres_server.create_database("store_template")
    store = Store(url)
    store.schema.migrate()
    Walk(store)
    store.close()
    yield "store_template"
    postgres_server.drop_database("store_template")


@pytest.fixture
def store(postgres_server: LocalPostgres, migrated_template: str) -> Iterator[Store]:
    name = f"store_{uuid.uuid4().hex[:12]}"
    store = Store(postgres_server.create_database(name, template=migrated_template))
    yield store
    store.close()
    postgres_server.drop_database(name)


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
