"""Rows of a person in a model's own tables, by their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from psycopg2 import sql
from sqlalchemy import Connection

from rescore.store.binary_copy import postgres_type
from rescore.store.database import run_sql, store_table
from rescore.store.schema.score_table import ScoreLayout

__all__ = ["delete_keys", "forget_keys", "keys_of", "rows_of"]


def rows_of(
    keys: pa.Table, names: Sequence[str]
) -> Callable[[pa.Table], np.ndarray[Any, np.dtype[np.bool_]]]:
    """A function that says of each row of a table, shape (n_rows,), whether it has one of these keys."""
    wanted = set(zip(*(keys[name].to_pylist() for name in names), strict=True))
    first = {row[0] for row in wanted}

    def found(rows: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
        mask = np.zeros(rows.num_rows, dtype=bool)
        # By one column first: most rows are others'.
        near = [place for place, value in enumerate(rows[names[0]].to_pylist()) if value in first]
        some = rows.select(list(names)).take(pa.array(near, pa.int64()))
        values = zip(*(some[name].to_pylist() for name in names), strict=True)
        mask[[place for place, row in zip(near, values, strict=True) if row in wanted]] = True
        return mask

    return found


def forget_keys(connection: Connection, layout: ScoreLayout, keys: pa.Table) -> None:
    """Forget keys that no score has any more; look-ups by key read the table of them."""
    statement = sql.SQL(
        "DELETE FROM {known} k USING (VALUES {values}) AS v ({names}) WHERE {same_key}"
        " AND NOT EXISTS (SELECT FROM {scores} s WHERE {same_score})"
    )
    run_sql(
        connection,
        statement.format(
            known=store_table(connection, layout.keys_table),
            scores=store_table(connection, layout.scores_table),
            values=_values(keys, layout.key_names),
            names=sql.SQL(", ").join(map(sql.Identifier, layout.key_names)),
            same_key=_same("k", keys, layout.key_names),
            same_score=_same("s", keys, layout.key_names),
        ),
    )


def _same(table: str, keys: pa.Table, names: Sequence[str]) -> sql.Composed:
    """That a row of the table ``table`` has the key of the row ``v`` of values."""
    return sql.SQL(" AND ").join(
        sql.SQL("{}.{} = v.{}::{}").format(
            sql.Identifier(table),
            sql.Identifier(name),
            sql.Identifier(name),
            sql.SQL(postgres_type(keys.schema.field(name).type)),
        )
        for name in names
    )


def _values(keys: pa.Table, names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, row)))
        for row in zip(*(keys[name].to_pylist() for name in names), strict=True)
    )


def delete_keys(
    connection: Connection,
    table: str,
    run_id: str,
    keys: pa.Table,
    names: Sequence[str],
    *,
    giving: str = "run_id",
) -> list[Any]:
    """Delete a run's rows of these keys from one of its model's tables; gives a column of those that went."""
    if not keys.num_rows:
        return []
    statement = sql.SQL(
        "DELETE FROM {table} t USING (VALUES {values}) AS v ({names})"
        " WHERE t.run_id = {run} AND {columns} RETURNING t.{giving}"
    ).format(
        table=store_table(connection, table),
        values=_values(keys, names),
        names=sql.SQL(", ").join(map(sql.Identifier, names)),
        run=sql.Literal(run_id),
        columns=_same("t", keys, names),
        giving=sql.Identifier(giving),
    )
    return [value for (value,) in run_sql(connection, statement)]


def keys_of(connection: Connection, layout: ScoreLayout, run_id: str, subject: Mapping[str, str]) -> pa.Table:
    """The columns that name the rows of a run, scored or not, whose columns have these values as text."""
    conditions = sql.SQL(" AND ").join(
        sql.SQL("{}::text = {}").format(sql.Identifier(name), sql.Literal(value))
        for name, value in subject.items()
    )
    query = sql.SQL(" UNION ").join(
        sql.SQL("SELECT {names} FROM {table} WHERE run_id = {run} AND {conditions}").format(
            names=sql.SQL(", ").join(map(sql.Identifier, layout.row_schema.names)),
            table=store_table(connection, table),
            run=sql.Literal(run_id),
            conditions=conditions,
        )
        for table in (layout.scores_table, layout.excluded_table)
    )
    rows = run_sql(connection, sql.Composed([query]))
    columns = list(zip(*rows, strict=True)) or [()] * len(layout.row_schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, layout.row_schema, strict=True)]
    return pa.table(arrays, schema=layout.row_schema)
