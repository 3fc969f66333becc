"""A login for each role of a store, to try what each may do with plain SQL."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg2
from sqlalchemy import text

from rescore.store import Store

ROLES = ("extract", "run", "consumer", "release")


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
        with store.database.transaction() as connection:
            connection.execute(text("CREATE SCHEMA bank; CREATE TABLE bank.loan (id int)"))
        for _ in range(2):
            store.roles.create(**{role: f"{role}_{suffix}" for role in ROLES}, source_schemas=["bank"])
        with store.database.transaction() as connection:
            for role in ROLES:
                connection.execute(text(f"ALTER ROLE {role}_{suffix} LOGIN PASSWORD 'pw'"))
        return cls(store, suffix)

    def drop(self) -> None:
        """Drop the roles."""
        with self.store.database.transaction() as connection:
            for role in ROLES:
                connection.execute(
                    text(f"DROP OWNED BY {role}_{self.suffix}; DROP ROLE {role}_{self.suffix}")
                )
