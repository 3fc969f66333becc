"""Logins of a deployment for the store of these tests, and one for each role, to try plain SQL with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg2
from sqlalchemy import Connection, text

from rescore.local import LocalPostgres
from rescore.local import Logins as OfServer
from rescore.store import Store
from tests.shared.superuser import as_administrator

ROLES = ("extract", "run", "consumer", "release")

#: Of the databases that are open.
_logins: dict[str, OfServer] = {}
_superusers: dict[str, str] = {}


@contextmanager
def copied(server: LocalPostgres, template: str, database: str) -> Iterator[Store]:
    """A copy of a migrated store, opened, and dropped afterwards."""
    server.create_database(database, template=template)
    with opened(server, database) as store:
        with as_superuser(store) as connection:  # a copy is its maker's
            connection.exec_driver_sql(f"ALTER DATABASE {database} OWNER TO rescore_owner")
        yield store
    server.drop_database(database)


@contextmanager
def opened(server: LocalPostgres, database: str) -> Iterator[Store]:
    """A store over logins that have the least rights; who may do anything: :func:`as_superuser`."""
    logins = OfServer.of(server, database)
    _logins[database], _superusers[database] = logins, server.url(database)
    with Store(logins.run, release_url=logins.release, owner_url=logins.owner) as store:
        yield store


def another(store: Store) -> Store:
    """The same store, used by somebody else with the same logins; nobody need close it."""
    logins = _logins[str(store.database.engine.url.database)]
    return Store(logins.run, release_url=logins.release, owner_url=logins.owner)


def superuser_url(store: Store) -> str:
    """Where the server's superuser connects to the store's database."""
    return as_administrator(_superusers[str(store.database.engine.url.database)])


@contextmanager
def as_superuser(store: Store) -> Iterator[Connection]:
    """A transaction of whoever may forge anything, and looks at what no role needs to see."""
    with (
        Store(superuser_url(store)) as all_powerful,
        all_powerful.database.transaction(checked=False) as connection,
    ):
        yield connection


@dataclass
class Logins:
    """Logins of a store's roles; their names end with the database's, since roles are the server's."""

    store: Store
    suffix: str

    def url(self, role: str) -> str:
        """Where the role connects."""
        url = self.store.database.engine.url.set(username=f"{role}_{self.suffix}", password="pw")
        return url.set(drivername="postgresql").render_as_string(hide_password=False)

    def run(self, role: str, statement: str) -> list[tuple[object, ...]]:
        """What a statement gives as one of the roles, in a transaction of its own."""
        connection = psycopg2.connect(self.url(role))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    @classmethod
    def make(cls, store: Store) -> Logins:
        """Create the roles, twice, and let each log in."""
        suffix = str(store.database.engine.url.database)
        with as_superuser(store) as connection:
            connection.execute(text("SET LOCAL ROLE rescore_owner"))
            connection.execute(text("CREATE SCHEMA bank; CREATE TABLE bank.loan (id int)"))
        for _ in range(2):
            store.roles.create(**{role: f"{role}_{suffix}" for role in ROLES}, source_schemas=["bank"])
        with as_superuser(store) as connection:
            for role in ROLES:
                connection.execute(text(f"ALTER ROLE {role}_{suffix} LOGIN PASSWORD 'pw'"))
        return cls(store, suffix)

    def drop(self) -> None:
        """Drop the roles."""
        with as_superuser(self.store) as connection:
            for role in ROLES:
                connection.execute(
                    text(f"DROP OWNED BY {role}_{self.suffix}; DROP ROLE {role}_{self.suffix}")
                )
