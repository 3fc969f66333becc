"""Least privilege: roles for extraction, for runs and for consumers. Optional."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2 import sql

from rescore.store.database import Database, run_sql
from rescore.store.identifiers import quoted_name, sql_template

__all__ = ["RELEASE_FUNCTIONS", "RUN_FUNCTIONS", "Login", "Roles"]

#: What runs call of the protocol; they can write our tables in no other way.
RUN_FUNCTIONS = (
    "claim",
    "fork",
    "resume",
    "note_facts",
    "advance",
    "hold",
    "end_run",
    "record_validation",
    "record_excluded",
    "record_drift",
    "record_performance",
    "record_reproduction",
    "stage_begin",
    "stage_finish",
    "shards_begin",
    "shard_begin",
    "shard_finish",
    "shards_finish",
    "publish",
    "note_freezing",
    "add_snapshot",
    "is_stray",
    "add_package",
    "add_comparison",
    "ask_for_retraining",
    "pin_by_rule",
    "require_four_eyes",
    "needs_four_eyes",
    "refuse_own_approval",
    "declare_timetable",
)
#: What is done in a person's name.
RELEASE_FUNCTIONS = (
    "release",
    "add_pin",
    "add_signature",
    "note_deletion",
    "note_table_deletion",
    "note_stray_deletion",
    "delete_rows",
    "tend_partitions",
    "withdraw_package",
    "place_hold",
    "lift_hold",
    "retire_model",
)

# Roles belong to the whole server: another store may create the same one at the same moment.
_CREATE = (
    "DO $$ BEGIN CREATE ROLE {role} NOLOGIN;"
    " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
)
_GRANTS = (
    "GRANT USAGE ON SCHEMA {scores} TO {consumer}, {run}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA {scores} TO {consumer}, {run}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {scores} GRANT SELECT ON TABLES TO {consumer}, {run}",
    "GRANT USAGE ON SCHEMA {store} TO {run}",
    # An older store granted these rights on tables.
    "REVOKE ALL ON ALL TABLES IN SCHEMA {store} FROM {run}, {release}",
    "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {store} FROM {run}, {release}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {store} REVOKE ALL ON TABLES FROM {run}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA {store} TO {run}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {store} GRANT SELECT ON TABLES TO {run}",
)
_MEMBERSHIP = "GRANT {run} TO {release}"
_ROLES = ("extract", "run", "consumer", "release")
_SOURCE_GRANTS = (
    "GRANT USAGE ON SCHEMA %s TO %s",
    "GRANT SELECT ON ALL TABLES IN SCHEMA %s TO %s",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT SELECT ON TABLES TO %s",
)


#: ``rescore check`` copies rows into temporary tables. Not everybody who owns schemas owns their database.
_TEMPORARY = """
DO $$ BEGIN EXECUTE 'GRANT TEMPORARY ON DATABASE ' || quote_ident(current_database()) || ' TO %s';
EXCEPTION WHEN insufficient_privilege THEN NULL; END $$
"""


@dataclass(frozen=True)
class Login:
    """Who is connected.

    Attributes
    ----------
    user : str
        The database user.
    superuser : bool
        Whether the database refuses it nothing.
    owner : bool
        Whether the store's tables are its own, so that it may migrate and register models.
    member_of : tuple of str
        The roles it has, sorted; of those whose name begins with ``rescore_``.
    """

    user: str
    superuser: bool
    owner: bool
    member_of: tuple[str, ...]


class Roles:
    """Who may do what: roles are made by the owner's login; the store is used by another one, as a rule."""

    def __init__(self, database: Database, used: Database) -> None:
        self._database = database
        self._used = used

    def create(
        self,
        *,
        extract: str = "rescore_extract",
        run: str = "rescore_run",
        consumer: str = "rescore_consumer",
        release: str = "rescore_release",
        source_schemas: Sequence[str] = (),
    ) -> None:
        """Create the roles that are missing (none can log in) and give each its rights; idempotent.

        Make people and services members: ``GRANT rescore_consumer TO reader``. Models that get tables
        later are covered, if the same role creates them. Registering a model (``models.ensure``) and
        migrating stay with the role that calls this: the owner.

        Parameters
        ----------
        extract : str
            May read the source schemas, and nothing of ours.
        run : str
            May do all that runs do, by the protocol's functions alone: it owns no table and can write
            none but the one that it stages to. It can't publish what is held or was stopped, nor pin in
            a person's name.
        consumer : str
            May read the views of the consumers' schema, and nothing else.
        release : str
            May do what ``run`` may, publish what is held or was stopped, pin, sign, delete what retention
            declares, place and lift legal holds. Give it to people.
        source_schemas : sequence of str
            Schemas that ``extract`` may read.

        Raises
        ------
        StoreError
            The caller may not create roles; a database administrator may.
        """
        with self._database.transaction() as connection:
            for statement in self.statements(
                extract=extract, run=run, consumer=consumer, release=release, source_schemas=source_schemas
            ):
                connection.exec_driver_sql(statement)

    def renew(self) -> bool:
        """Give the roles their rights as this release has them, where an earlier one gave them.

        Returns
        -------
        bool
            Whether the roles of :meth:`create` exist and have rights here.
        """
        names = self._names()
        has_rights = sql.SQL(
            "SELECT count(*) = 4"
            " AND coalesce(bool_or(rolname = %s AND has_schema_privilege(oid, %s, 'USAGE')), false)"
            " FROM pg_roles WHERE rolname = ANY(%s)"
        )
        roles = [names[role] for role in _ROLES]
        with self._database.transaction() as connection:
            [(given,)] = run_sql(connection, has_rights, (names["run"], names["store"], roles))
            if given:
                for statement in self._rights():
                    connection.exec_driver_sql(sql_template(statement, **names))
        return bool(given)

    def login(self) -> Login:
        """Who the store is used as, and what that user may do."""
        statement = sql.SQL(
            "SELECT current_user::text, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),"
            " (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass(%s)),"
            " ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'rescore\\_%%'"
            " AND rolname <> current_user AND pg_has_role(oid, 'USAGE') ORDER BY 1)"
        )
        with self._used.transaction() as connection:
            [row] = run_sql(connection, statement, (f"{self._used.store_schema}.run",))
        user, superuser, owner, member_of = row
        return Login(user, bool(superuser), bool(owner), tuple(member_of))

    def statements(
        self,
        *,
        extract: str = "rescore_extract",
        run: str = "rescore_run",
        consumer: str = "rescore_consumer",
        release: str = "rescore_release",
        source_schemas: Sequence[str] = (),
    ) -> list[str]:
        """The SQL of :meth:`create`, which an administrator may run as the owner instead."""
        names = self._names(extract=extract, run=run, consumer=consumer, release=release)
        statements = [_CREATE.replace("{role}", f"{{{role}}}") for role in _ROLES]
        statements += [*self._rights(), _MEMBERSHIP]
        reader = sql_template("{extract}", extract=extract)
        return [
            *(sql_template(statement, **names) for statement in statements),
            *(grant % (quoted_name(schema), reader) for schema in source_schemas for grant in _SOURCE_GRANTS),
            *([_TEMPORARY % reader] if source_schemas else []),
        ]

    def _names(self, **roles: str) -> dict[str, str]:
        schemas = {"store": self._database.store_schema, "scores": self._database.consumer_schema}
        return {**{role: f"rescore_{role}" for role in _ROLES}, **schemas, **roles}

    @staticmethod
    def _rights() -> list[str]:
        """What each role may do with what the owner has, as templates."""
        functions = (("{run}", RUN_FUNCTIONS), ("{release}", RELEASE_FUNCTIONS))
        listed = [(role, ", ".join(f"{{store}}.{name}" for name in names)) for role, names in functions]
        return [*_GRANTS, *(f"GRANT EXECUTE ON FUNCTION {names} TO {role}" for role, names in listed)]
