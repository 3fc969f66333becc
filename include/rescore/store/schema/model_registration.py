"""Registering models: their typed tables, monthly partitions and consumers' views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2.errors
import pyarrow as pa
from psycopg2 import sql
from sqlalchemy import Connection, Row, insert, select, update

from rescore.errors import NotFoundError, SpecError, StoreSchemaError
from rescore.spec import ModelSpec
from rescore.store.database import Database, lock_by_name, run_sql, schema_names, store_table, where_of
from rescore.store.schema.consumer_columns import VIEW_COMMENTS
from rescore.store.schema.score_table import ScoreLayout
from rescore.store.schema.score_views import create_views
from rescore.store.schema.tables import model as model_table

__all__ = ["VIEWS_FORMAT", "Models", "has_tables", "score_layout"]

#: The form of the consumers' views. Bump it with any change to ``create_views``; a model
#: whose views are older gets them anew. Columns are only ever added, at the end.
VIEWS_FORMAT = 4


class Models:
    """Which models have score tables."""

    def __init__(self, database: Database, as_owner: Database | None = None) -> None:
        self._database = database
        self._as_owner = as_owner or database

    def ensure(self, spec: ModelSpec, key_types: Mapping[str, pa.DataType]) -> None:
        """Create the model's tables and views if they are not there; cheap if they are.

        A key whose integers are wider now (``integer`` was altered to ``bigint`` in the source) widens the
        tables, with all their months; the views are made anew and keep their grants.

        Parameters
        ----------
        spec : ModelSpec
            The model.
        key_types : mapping of str to DataType
            Arrow types of the key columns, as extraction gives them; others in it are ignored.

        Raises
        ------
        StoreSchemaError
            The model has tables already, for a key of other columns or types; or its key is wider now, and
            something stands in the way of widening them.
        SpecError
            A name that the tables or views use themselves, or that another model's views use.
        StoreError
            The tables are not there, and the login may not create any: the owner registers models.
        """
        layout = ScoreLayout.of(spec, key_types)
        store_schema, consumer_schema = self._database.store_schema, self._database.consumer_schema
        with self._database.transaction() as connection:
            if _is_current(connection, layout):
                return
        with self._as_owner.transaction() as connection:
            lock_by_name(connection, "models")
            if _is_current(connection, layout):
                return
            names = _names(connection)
            grants: list[sql.Composed] = []
            if spec.name in names:
                recorded = score_layout(connection, spec.name)
                layout = recorded.widened(layout) or layout
                if layout != recorded:
                    grants = _grants(connection, consumer_schema, layout.views)
                    with _widening(connection, layout, recorded):
                        run_sql(connection, layout.widen(store_schema, consumer_schema, recorded))
                    widened = update(model_table).where(model_table.c.name == spec.name)
                    connection.execute(widened.values(key_columns=layout.recorded_keys))
            else:
                _refuse_clash(consumer_schema, layout, names)
                run_sql(connection, layout.create(store_schema))
                connection.execute(
                    insert(model_table).values(
                        name=spec.name,
                        key_columns=layout.recorded_keys,
                        event_time=layout.event_time,
                        labelled=layout.labelled,
                        probabilities=[list(one) for one in layout.probabilities],
                        views_format=VIEWS_FORMAT,
                    )
                )
                ensure_keys = sql.SQL("SELECT {}(%s)").format(store_table(connection, "ensure_keys"))
                run_sql(connection, ensure_keys, (spec.name,))
            comment = f"{spec.output.meaning} [{spec.output.unit}]"
            run_sql(connection, create_views(layout, store_schema, consumer_schema, comment))
            for grant in grants:
                run_sql(connection, grant)
            connection.execute(
                update(model_table).where(model_table.c.name == spec.name).values(views_format=VIEWS_FORMAT)
            )

    def probabilities(self, model: str) -> dict[str, str]:
        """Each class whose probability the model's score table holds, and its column; often none.

        Raises
        ------
        NotFoundError
            It has no score table yet.
        """
        with self._database.transaction() as connection:
            return dict(score_layout(connection, model).probabilities)

    def names(self) -> list[str]:
        """The models that have tables, sorted."""
        with self._database.transaction() as connection:
            return _names(connection)


def has_tables(connection: Connection, model: str) -> bool:
    """Whether the model has score tables."""
    query = select(model_table.c.name).where(model_table.c.name == model)
    return connection.execute(query).scalar() is not None


def score_layout(connection: Connection, model: str) -> ScoreLayout:
    """The columns of the model's score tables.

    Raises
    ------
    NotFoundError
        It has none yet.
    """
    row = connection.execute(select(model_table).where(model_table.c.name == model)).one_or_none()
    if row is None:
        raise NotFoundError(
            f"model {model!r} has no score table",
            where=where_of(connection, "model"),
            expected=f"one of: {', '.join(_names(connection)) or '(none yet)'}",
            fix=f"make its tables as their owner (RESCORE_OWNER_URL): `rescore store register {model}`",
        )
    return _recorded(row)


def _recorded(row: Row[Any]) -> ScoreLayout:
    return ScoreLayout.recorded(row.name, row.key_columns, row.event_time, row.labelled, row.probabilities)


def _names(connection: Connection) -> list[str]:
    return list(connection.execute(select(model_table.c.name).order_by(model_table.c.name)).scalars())


def _is_current(connection: Connection, layout: ScoreLayout) -> bool:
    """Whether the model's tables and views are as this code wants them; refuse if they never can be."""
    row = connection.execute(select(model_table).where(model_table.c.name == layout.model)).one_or_none()
    if row is None:
        return False
    recorded = _recorded(row)
    if recorded.widened(layout) is None:
        raise StoreSchemaError(
            f"the scores of {layout.model} have other columns now",
            where=where_of(connection, layout.scores_table),
            expected=_described(recorded),
            examples=[f"now {_described(layout)}"],
            fix=f"consumers read them: call the new model {layout.model}_v2, or cast in extract.sql",
        )
    return bool(row.views_format >= VIEWS_FORMAT) and recorded.widened(layout) == recorded


@contextmanager
def _widening(connection: Connection, layout: ScoreLayout, recorded: ScoreLayout) -> Iterator[None]:
    """Say what stands in the way of a wider key to whoever can clear it away."""
    wider = f"the key of {layout.model} is wider now ({_described(recorded)}; now {_described(layout)})"
    [[owner]] = run_sql(
        connection,
        sql.SQL("SELECT tableowner FROM pg_tables WHERE schemaname = %s AND tablename = %s"),
        [schema_names(connection)[0], layout.scores_table],
    )
    try:
        yield
    except psycopg2.errors.DependentObjectsStillExist as error:
        raise StoreSchemaError(
            f"{wider}, but other objects depend on the model's views, which have to be made anew for it",
            where=where_of(connection, layout.scores_table),
            expected="views that nothing of the consumers' own depends on while the key is widened",
            examples=(error.diag.message_detail or "").splitlines(),
            fix="keep the definitions of what is named here (pg_get_viewdef, and its grants), drop it, score "
            "again, and create it anew",
        ) from error
    except psycopg2.errors.InsufficientPrivilege as error:
        raise StoreSchemaError(
            f"{wider}, but this role may not alter its tables: {error.diag.message_primary}",
            where=where_of(connection, layout.scores_table),
            expected=f"their owner, {owner}",
            fix=f"score one interval as {owner} (RESCORE_DATABASE_URL with that role): that widens the "
            "tables for every later run",
        ) from error


def _grants(connection: Connection, consumer_schema: str, views: Sequence[str]) -> list[sql.Composed]:
    """What was granted on the views, to be granted again on those that replace them."""
    rows = run_sql(
        connection,
        sql.SQL(
            "SELECT c.relname, a.privilege_type, pg_get_userbyid(nullif(a.grantee, 0)) FROM pg_class c,"
            " aclexplode(c.relacl) a WHERE c.relnamespace = %s::regnamespace AND c.relname = ANY(%s)"
            " AND a.grantee <> c.relowner"
        ),
        (consumer_schema, list(views)),
    )
    return [
        sql.SQL("GRANT {} ON {} TO {}").format(
            sql.SQL(privilege),
            sql.Identifier(consumer_schema, view),
            sql.SQL("PUBLIC") if grantee is None else sql.Identifier(grantee),
        )
        for view, privilege, grantee in rows
    ]


def _refuse_clash(consumer_schema: str, layout: ScoreLayout, names: list[str]) -> None:
    clashing = [name for name in names if layout.clashes(name)]
    if layout.model in VIEW_COMMENTS or clashing:
        other = clashing[0] if clashing else "a view of all models"
        raise SpecError(
            f"a model {layout.model!r} would have a view of the same name as {other}",
            where=f"schema {consumer_schema}",
            expected=f"free names: {', '.join(layout.views)}",
            fix="rename the model",
        )


def _described(layout: ScoreLayout) -> str:
    keys = ", ".join(f"{name} {kind}" for name, kind in layout.recorded_keys)
    columns = ", ".join(f"{column} ({label})" for label, column in layout.probabilities)
    return (
        f"key ({keys}), event time {layout.event_time}, {'with' if layout.labelled else 'no'} label, "
        f"probabilities: {columns or 'none'}"
    )
