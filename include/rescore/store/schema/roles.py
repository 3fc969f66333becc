"""Least privilege: roles for extraction, for runs and for consumers. Optional."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg2 import sql
from sqlalchemy import Connection

from rescore.store.database import Database, run_sql, store_table
from rescore.store.identifiers import checked_name

__all__ = ["Roles"]

_APPENDED = (
    "snapshot",
    "package",
    "build",
    "pin",
    "claim",
    "run",
    "attempt",
    "run_state",
    "validation",
    "drift",
    "performance",
    "reproduction",
    "retraining",
    "comparison",
    "signature",
)
# All columns of a publication but ``released_by`` and the sequence, which numbers itself.
_PUBLISHED = ("run_id", "model", "interval_start", "interval_end", "fence", "published_at", "reason")
_UPDATED = ("claim", "run", "validation", "drift")


class Roles:
    """Who may do what."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
            May do all that runs do. It owns no table, can neither change nor delete a score, and can't
            publish what is held or was stopped.
        consumer : str
            May read the views of the consumers' schema, and nothing else.
        release : str
            May do what ``run`` may, and publish what is held or was stopped. Give it to people.
        source_schemas : sequence of str
            Schemas that ``extract`` may read.

        Raises
        ------
        StoreError
            The caller may not create roles; a database administrator may.
        """
        roles = [checked_name(name, "role") for name in (extract, run, consumer, release)]
        with self._database.transaction() as connection:
            for name in roles:
                _create_role(connection, name)
            for statement in self._grants(connection, extract, run, consumer, release, source_schemas):
                run_sql(connection, statement)

    def _grants(
        self,
        connection: Connection,
        extract: str,
        run: str,
        consumer: str,
        release: str,
        source_schemas: Sequence[str],
    ) -> list[sql.Composed]:
        names = {
            "store": sql.Identifier(self._database.store_schema),
            "scores": sql.Identifier(self._database.consumer_schema),
            "partition": store_table(connection, "ensure_partition"),
            "run": sql.Identifier(run),
            "consumer": sql.Identifier(consumer),
            "release": sql.Identifier(release),
            "publication": store_table(connection, "publication"),
            "published": sql.SQL(", ").join(map(sql.Identifier, _PUBLISHED)),
            "appended": sql.SQL(", ").join(store_table(connection, name) for name in _APPENDED),
            "updated": sql.SQL(", ").join(store_table(connection, name) for name in _UPDATED),
        }
        statements = [
            "GRANT USAGE ON SCHEMA {scores} TO {consumer}, {run}",
            "GRANT SELECT ON ALL TABLES IN SCHEMA {scores} TO {consumer}, {run}",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA {scores} GRANT SELECT ON TABLES TO {consumer}, {run}",
            "GRANT USAGE ON SCHEMA {store} TO {run}",
            "GRANT SELECT ON ALL TABLES IN SCHEMA {store} TO {run}",
            "GRANT INSERT ON {appended} TO {run}",
            "REVOKE INSERT ON {publication} FROM {run}",  # an older store granted it whole
            "GRANT INSERT ({published}) ON {publication} TO {run}",
            "GRANT {run} TO {release}",
            "GRANT INSERT ON {publication} TO {release}",
            "GRANT UPDATE ON {updated} TO {run}",
            "GRANT EXECUTE ON FUNCTION {partition}(text, date) TO {run}",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA {store} GRANT SELECT, INSERT ON TABLES TO {run}",
        ]
        grants = [sql.SQL(statement).format(**names) for statement in statements]
        # Tables of models that were there before the roles.
        grants.append(
            sql.SQL(
                "DO $$ DECLARE model text; BEGIN FOR model IN SELECT name FROM {model} LOOP"
                " EXECUTE format('GRANT INSERT ON %I.%I, %I.%I TO %I', {schema}, 'scores_' || model,"
                " {schema}, 'excluded_' || model, {run}); END LOOP; END $$"
            ).format(
                model=store_table(connection, "model"),
                schema=sql.Literal(self._database.store_schema),
                run=sql.Literal(run),
            )
        )
        for schema in source_schemas:
            for statement in (
                "GRANT USAGE ON SCHEMA {schema} TO {extract}",
                "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {extract}",
                "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {extract}",
            ):
                grants.append(
                    sql.SQL(statement).format(schema=sql.Identifier(schema), extract=sql.Identifier(extract))
                )
        return grants


def _create_role(connection: Connection, name: str) -> None:
    # Roles belong to the whole server: another store may create the same one at the same moment.
    statement = sql.SQL(
        "DO $$ BEGIN CREATE ROLE {} NOLOGIN;"
        " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    ).format(sql.Identifier(name))
    run_sql(connection, statement)
