"""Run the steps on a given connection, or print them; called by Alembic.

``rescore.store.schema.migrate`` gives the schema names, the connection (none: print) and the lock.
"""

from __future__ import annotations

from itertools import chain

from alembic import context

from rescore.store.identifiers import sql_template
from rescore.store.postgres_version import version_check_sql
from rescore.store.schema.consumer_columns import VIEW_COMMENTS, column_comments
from rescore.store.schema.protocol_functions import function_statements

_attributes = context.config.attributes
_store = _attributes["store_schema"]


def _run() -> None:
    create = sql_template("CREATE SCHEMA IF NOT EXISTS {store}", store=_store)
    with context.begin_transaction():
        if context.is_offline_mode():  # else the caller has looked
            context.execute(version_check_sql())
        # Alembic's own table lives in the store's schema, so the schema comes before the first step.
        context.execute(create)
        context.run_migrations(
            store_schema=_store,
            consumer_schema=_attributes["consumer_schema"],
        )
        if _attributes["whole"]:  # they fit the tables and views of the last step only
            comments = (column_comments(_attributes["consumer_schema"], view) for view in VIEW_COMMENTS)
            for statement in chain(function_statements(_store), *comments):
                context.execute(statement)


if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql",
        # Named: the default style doubles every percent sign in the printed SQL.
        dialect_opts={"paramstyle": "named"},
        version_table_schema=_store,
        transactional_ddl=True,
        output_buffer=_attributes["output"],
    )
else:
    context.configure(
        connection=_attributes["connection"],
        version_table_schema=_store,
        transactional_ddl=True,
    )
_run()
