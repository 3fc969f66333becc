"""Rows of chained tables as they enter the chain, with the texts that their entries give by digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from sqlalchemy import Connection

from rescore.store.audit.table_comparison import CHAINED
from rescore.store.database import run_sql, store_table

__all__ = ["ChainedRow", "chained_rows"]

_ROWS = """
SELECT jsonb_build_array({key}), (SELECT jsonb_object_agg(f.key,
    CASE WHEN jsonb_typeof(f.value) IN ('object', 'array') THEN jsonb_build_object('json', f.value::text)
    ELSE f.value END) FROM jsonb_each(to_jsonb(t)) AS f)
FROM {table} t WHERE {conditions} ORDER BY {order}
"""


@dataclass(frozen=True)
class ChainedRow:
    """A row by its table and key; an object or array in it is ``{"json": its text in Postgres}``."""

    table: str
    key: list[Any]
    row: dict[str, Any]


def chained_rows(connection: Connection, table: str, **conditions: Any) -> list[ChainedRow]:
    """The rows of a chained table whose columns have these values, in the order of their key."""
    columns = CHAINED[table]
    statement = sql.SQL(_ROWS).format(
        key=sql.SQL(", ").join(sql.SQL("to_jsonb(t)->{}").format(sql.Literal(name)) for name in columns),
        table=store_table(connection, table),
        conditions=sql.SQL(" AND ").join(
            sql.SQL("t.{} = {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in conditions.items()
        ),
        order=sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in columns),
    )
    return [ChainedRow(table, key, row) for key, row in run_sql(connection, statement)]
