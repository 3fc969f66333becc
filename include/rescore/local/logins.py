"""The logins of the local server: each may do what its part of the work needs, and none is a superuser.

``rescore_owner`` owns store and demo source and sets them up; ``rescore_worker`` runs models;
``rescore_person`` also acts in a person's name; ``rescore_reader`` reads the source; ``airflow`` owns
Airflow's database and nothing else. What a role may do is for ``rescore.store`` to grant.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import psycopg2
from psycopg2 import sql

from rescore.local.files import kept_secret
from rescore.local.ports import LOOPBACK
from rescore.local.postgres import LocalPostgres

__all__ = ["Logins", "airflow_login", "airflow_url"]

#: The roles that ``rescore store roles`` gives their rights, each with the login that is its member.
_MEMBERS = {
    "rescore_run": "rescore_worker",
    "rescore_release": "rescore_person",
    "rescore_extract": "rescore_reader",
    "rescore_consumer": None,
}
_OWNER = "rescore_owner"
_AIRFLOW = "airflow"

#: What a database holds that an earlier release made as the superuser: it goes to the new owner.
_GIVE = """
DO $$ DECLARE one record; BEGIN
  FOR one IN SELECT format('SCHEMA %I', nspname) AS what FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'public')
  UNION ALL SELECT format('TABLE %I.%I', nspname, relname) FROM pg_class c
    JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p', 'v', 'm')
    AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  UNION ALL SELECT format('FUNCTION %s', p.oid::regprocedure) FROM pg_proc p
    JOIN pg_namespace n ON n.oid = pronamespace
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  UNION ALL SELECT format('TYPE %I.%I', nspname, typname) FROM pg_type t
    JOIN pg_namespace n ON n.oid = typnamespace WHERE typtype = 'e' AND nspname NOT LIKE 'pg\\_%'
  LOOP EXECUTE format('ALTER %s OWNER TO {owner}', one.what); END LOOP;
END $$
"""


@dataclass(frozen=True)
class Logins:
    """URLs of one database, a login each.

    Attributes
    ----------
    owner, run, release, extract : str
        libpq URLs with the password in them.
    """

    owner: str
    run: str
    release: str
    extract: str

    @classmethod
    def of(cls, server: LocalPostgres, database: str) -> Self:
        """The URLs, whether or not the logins are there yet."""
        names = (_OWNER, *(_MEMBERS[role] for role in ("rescore_run", "rescore_release", "rescore_extract")))
        return cls(*(_url(server, str(name), database) for name in names))

    @classmethod
    def prepare(cls, server: LocalPostgres, database: str) -> Self:
        """Make roles and logins that are missing, and give the database to their owner."""
        with _administering(server, "postgres") as cursor:
            # One at a time: roles belong to all databases of the server.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('rescore local logins', 0))")
            _login(cursor, server, _OWNER, "CREATEROLE")
            for role, member in _MEMBERS.items():
                if not _exists(cursor, role):
                    _execute(cursor, "CREATE ROLE {} NOLOGIN", role)
                _execute(cursor, "GRANT {} TO {} WITH ADMIN OPTION", role, _OWNER)
                if member is not None:
                    _login(cursor, server, member)
                    _execute(cursor, "GRANT {} TO {}", role, member)
        with _administering(server, database) as cursor:
            _give(cursor, database, _OWNER)
        return cls.of(server, database)


def airflow_login(server: LocalPostgres, database: str) -> str:
    """The URL of Airflow's database, made if it is missing, as the login that owns it and nothing else."""
    server.create_database(database)
    with _administering(server, database) as cursor:
        _login(cursor, server, _AIRFLOW)
        _give(cursor, database, _AIRFLOW)
    return airflow_url(server, database)


def airflow_url(server: LocalPostgres, database: str) -> str:
    """The URL of Airflow's database, once it is made."""
    return _url(server, _AIRFLOW, database)


@contextmanager
def _administering(server: LocalPostgres, database: str) -> Iterator[Any]:
    connection = psycopg2.connect(server.url(database))
    with closing(connection), connection, connection.cursor() as cursor:
        yield cursor


def _login(cursor: Any, server: LocalPostgres, name: str, *options: str) -> None:
    password = _password(server, name)
    if not _exists(cursor, name):
        _execute(cursor, "CREATE ROLE {} LOGIN " + " ".join(options), name)
    cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)))


def _exists(cursor: Any, role: str) -> bool:
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
    return bool(cursor.rowcount)


def _give(cursor: Any, database: str, owner: str) -> None:
    cursor.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", [database])
    if cursor.fetchone() == (owner,):
        return
    _execute(cursor, "ALTER DATABASE {} OWNER TO {}", database, owner)
    _execute(cursor, "REVOKE ALL ON DATABASE {} FROM PUBLIC", database)
    if owner == _OWNER:
        _execute(cursor, f"GRANT CONNECT ON DATABASE {{}} TO {', '.join(_MEMBERS)}", database)
    cursor.execute(_GIVE.replace("{owner}", owner))


def _execute(cursor: Any, statement: str, *names: str) -> None:
    cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _password(server: LocalPostgres, login: str) -> str:
    return kept_secret(server.folder / f"password.{login}", lambda: secrets.token_urlsafe(24))


def _url(server: LocalPostgres, login: str, database: str) -> str:
    return f"postgresql://{login}:{_password(server, login)}@{LOOPBACK}:{server.port}/{database}"
