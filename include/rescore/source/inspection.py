"""What a table is, as far as its catalogue and its rows tell: for who declares a model on it.

Only counts and bounds are read; of values, no more than the levels of a column of few levels, each of
which many rows have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2 import sql

from rescore.errors import ParameterError, SourceQueryError
from rescore.source.session import let_grant, not_connected, source_address, unavailable
from rescore.sqlstates import is_retryable, lacks_permission

__all__ = ["ColumnFacts", "TableFacts", "inspect_table", "is_unique", "reading"]

#: A column of at most this many values has levels; of one with more, if each has as many rows as a level on
#: average, the most frequent are, where they make up this share of its rows.
MAX_LEVELS, MOST_ROWS = 50, 0.5
#: A level that fewer rows have is rare: it is counted, not named.
_ROWS_PER_LEVEL = 10
#: Columns that are counted in one query: five results each, and Postgres gives at most 1,664.
_MAX_COLUMNS = 330
_MOMENTS = {"timestamptz", "timestamp", "date"}
#: Types whose values can be counted as distinct and are of use in a model.
_COUNTABLE = _MOMENTS | {
    "int2", "int4", "int8", "float4", "float8", "numeric", "bool", "text", "varchar", "bpchar", "uuid", "enum",  # noqa: E501
}  # fmt: skip
_WHOLE = sql.SQL("bool_and({c} = trunc({c}) AND {c} BETWEEN -9223372036854775808 AND 9223372036854775807)")
_BOUNDED = _MOMENTS | {"int2", "int4", "int8", "float4", "float8", "numeric"}


@dataclass(frozen=True)
class ColumnFacts:
    """One column of a table.

    Attributes
    ----------
    name : str
        As the catalogue has it.
    postgres : str
        Name of its type (``int4``); ``enum`` for every enumeration.
    not_null : bool
        Whether the table forbids NULL.
    nulls : int
        Rows without a value.
    distinct : int or None
        Values there are; None where they can't be compared.
    low, high : datetime or float or None
        Bounds of numbers and moments, UTC; None for other types or without any value.
    levels : tuple of str
        Of a text those values that ten rows or more have, most frequent first, :data:`MAX_LEVELS` at most;
        none where most rows have others.
    rare_levels : int
        How many values of it fewer rows have.
    whole : bool
        Of a ``numeric``: whether every value is a whole number that an ``int8`` holds.
    """

    name: str
    postgres: str
    not_null: bool
    nulls: int
    distinct: int | None
    low: datetime | float | None
    high: datetime | float | None
    levels: tuple[str, ...]
    rare_levels: int = 0
    whole: bool = False

    @property
    def is_of_few_values(self) -> bool:
        """Whether it has no more values than a target of classes should."""
        return self.distinct is not None and self.distinct <= MAX_LEVELS

    @property
    def is_moment(self) -> bool:
        """Whether it tells a time: timestamptz, timestamp or date."""
        return self.postgres in _MOMENTS


@dataclass(frozen=True)
class TableFacts:
    """A table or view.

    Attributes
    ----------
    schema, name : str
        Where it is.
    rows : int
        Row count.
    columns : tuple of ColumnFacts
        In the table's order.
    primary_key : tuple of str
        Its columns; empty without one.
    unique_keys : tuple of tuple of str
        Other unique, valid, whole indexes on columns that forbid NULL, fewest columns first.
    """

    schema: str
    name: str
    rows: int
    columns: tuple[ColumnFacts, ...]
    primary_key: tuple[str, ...]
    unique_keys: tuple[tuple[str, ...], ...]

    def column(self, name: str) -> ColumnFacts:
        """The column of that name.

        Raises
        ------
        ParameterError
            There is none; names those there are.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise ParameterError(
            f"{self.schema}.{self.name} has no column {name!r}",
            expected=f"one of: {', '.join(column.name for column in self.columns)}",
            fix="write the name as the table has it, capitals too",
        )


def inspect_table(url: str, schema: str, name: str) -> TableFacts:
    """Look at a table: one pass over its rows for every 330 columns.

    Raises
    ------
    ParameterError
        There is no such table, or it has no row; names tables that there are.
    SettingsError, SourceUnavailableError, SourceQueryError
        The database can't be asked.
    """
    with reading(url) as cursor:
        oid = _table(cursor, schema, name)
        cursor.execute(
            "SELECT attname, CASE WHEN t.typtype = 'e' THEN 'enum' WHEN t.typtype = 'd' THEN"
            " (SELECT typname FROM pg_type b WHERE b.oid = t.typbasetype) ELSE t.typname END, attnotnull"
            " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
            " WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [oid],
        )
        declared = [(str(column), str(kind), bool(not_null)) for column, kind, not_null in cursor.fetchall()]
        target = sql.Identifier(schema, name)
        rows, counts = _count(cursor, target, declared)
        if rows == 0:
            raise ParameterError(
                f"the table {schema}.{name} has no row",
                expected="rows to learn the model's shape from",
                fix="load it first",
            )
        columns = []
        for column, kind, not_null in declared:
            nulls, distinct, low, high, whole = counts[column]
            has_levels = _has_levels(kind, distinct, rows - nulls)
            levels, rare = _levels(cursor, target, column) if has_levels else ((), 0)
            columns.append(
                ColumnFacts(column, kind, not_null, nulls, distinct, low, high, levels, rare, whole)
            )
        primary, unique = _keys(cursor, oid)
    return TableFacts(schema, name, rows, tuple(columns), primary, unique)


def is_unique(url: str, facts: TableFacts, key: Sequence[str]) -> bool:
    """Whether no two rows share the values of ``key`` and none of them is NULL."""
    names = sql.SQL(", ").join(map(sql.Identifier, key))
    with reading(url) as cursor:
        cursor.execute(
            sql.SQL(
                "SELECT NOT EXISTS (SELECT FROM {table} GROUP BY {names} HAVING count(*) > 1)"
                " AND NOT EXISTS (SELECT FROM {table} WHERE num_nulls({names}) > 0)"
            ).format(table=sql.Identifier(facts.schema, facts.name), names=names)
        )
        [answer] = cursor.fetchone()
    return bool(answer)


@contextmanager
def reading(url: str, *, read_only: bool = True) -> Iterator[Any]:
    """A cursor in one REPEATABLE READ transaction in UTC; whatever it does is rolled back.

    Raises
    ------
    SettingsError, SourceUnavailableError, SourceQueryError
        The URL is wrong; the database is down; it refuses a statement.
    """
    address = source_address(url)
    try:
        connection = psycopg2.connect(address.dsn)
    except psycopg2.OperationalError as error:
        raise not_connected(str(error).strip(), address) from None
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=read_only)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL timezone TO 'UTC'; SET LOCAL max_parallel_workers_per_gather TO 0")
            yield cursor
    except psycopg2.Error as error:
        if error.pgcode is None or is_retryable(error.pgcode):
            raise unavailable(str(error).strip(), f"database {address}") from None
        raise SourceQueryError(
            f"the database refused a query: {str(error).strip().splitlines()[0]}",
            where=f"database {address}",
            fix=(
                let_grant(str(error))
                if lacks_permission(error.pgcode)
                else "correct what the database names; its own words are above"
            ),
            data={"sqlstate": error.pgcode},
        ) from error
    finally:
        with suppress(psycopg2.Error):  # a lost connection has nothing to roll back
            connection.rollback()
        connection.close()


def _table(cursor: Any, schema: str, name: str) -> int:
    cursor.execute(
        "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
        [schema, name],
    )
    found = cursor.fetchone()
    if found is not None:
        return int(found[0])
    cursor.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^(pg_|information_schema)'"
        " ORDER BY (n.nspname = %s) DESC, (lower(c.relname) = lower(%s)) DESC, 1",
        [schema, name],
    )
    known = [row[0] for row in cursor.fetchall()]
    raise ParameterError(
        f"there is no table {schema}.{name}",
        expected="a table or view as --table schema.table",
        examples=known,
        fix="write the name as the database has it, capitals too; is --connection the right one?",
        data={"tables": known[:100]},
    )


def _count(
    cursor: Any, table: sql.Composable, declared: Sequence[tuple[str, str, bool]]
) -> tuple[int, dict[str, tuple[int, int | None, Any, Any, bool]]]:
    """Rows; and for each column NULLs, distinct values, bounds and ``whole``; of many columns in one pass."""
    rows = 0
    counts = {}
    for start in range(0, len(declared), _MAX_COLUMNS):
        some = declared[start : start + _MAX_COLUMNS]
        parts: list[sql.Composable] = [sql.SQL("count(*)")]
        for name, kind, _ in some:
            column = sql.Identifier(name)
            parts.append(sql.SQL("count({})").format(column))
            distinct = sql.SQL("count(DISTINCT {})").format(column)
            parts.append(distinct if kind in _COUNTABLE else sql.SQL("NULL"))
            for bound in ("min", "max"):
                parts.append(sql.SQL("{}({})").format(sql.SQL(bound), _finite(column, kind)))
            parts.append(_WHOLE.format(c=column) if kind == "numeric" else sql.SQL("false"))
        cursor.execute(sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(parts), table))
        rows, *numbers = cursor.fetchone()
        for position, (name, _, _) in enumerate(some):
            present, distinct_values, low, high, whole = numbers[5 * position : 5 * position + 5]
            counts[name] = (rows - present, distinct_values, _bound(low), _bound(high), bool(whole))
    return rows, counts


def _finite(column: sql.Composable, kind: str) -> sql.Composable:
    """A column for min and max, as timestamptz or float8, without infinities and what no float8 holds."""
    if kind not in _BOUNDED:
        return sql.SQL("NULL::int")
    if kind in _MOMENTS:
        cast = sql.SQL("{}::timestamptz").format(column)
        return sql.SQL("CASE WHEN isfinite({}) THEN {} END").format(column, cast)
    return sql.SQL("CASE WHEN {c} BETWEEN -1e300 AND 1e300 THEN {c}::float8 END").format(c=column)


def _bound(value: Any) -> datetime | float | None:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _has_levels(kind: str, distinct: int | None, present: int) -> bool:
    if kind not in {"text", "varchar", "bpchar", "enum"} or distinct is None:
        return False
    return distinct <= MAX_LEVELS or present >= _ROWS_PER_LEVEL * distinct


def _levels(cursor: Any, table: sql.Composable, column: str) -> tuple[tuple[str, ...], int]:
    """The values that many rows have, and how many values fewer rows have."""
    cursor.execute(
        sql.SQL(
            "SELECT {c}::text, count(*) FROM {t} WHERE {c} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
        ).format(c=sql.Identifier(column), t=table)
    )
    found = cursor.fetchall()
    common = [level for level, rows in found if rows >= _ROWS_PER_LEVEL][:MAX_LEVELS]
    total, covered = (sum(rows for _, rows in some) for some in (found, found[: len(common)]))
    if len(found) > MAX_LEVELS and covered < MOST_ROWS * total:
        return (), len(found)
    return tuple(common), len(found) - len(common)


def _keys(cursor: Any, oid: int) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    cursor.execute(
        "SELECT i.indisprimary, array_agg(a.attname::text ORDER BY k.place), bool_and(a.attnotnull)"
        " FROM pg_index i CROSS JOIN unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(attnum, place)"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"
        " WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL"
        " AND i.indexprs IS NULL GROUP BY i.indexrelid, i.indisprimary ORDER BY i.indexrelid",
        [oid],
    )
    primary: tuple[str, ...] = ()
    unique = []
    for is_primary, names, not_null in cursor.fetchall():
        if is_primary:
            primary = tuple(names)
        elif not_null:
            unique.append(tuple(names))
    return primary, tuple(sorted(unique, key=len))
