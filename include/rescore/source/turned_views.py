"""Views and functions that depend on the order of their tables' rows, made of tables that lie otherwise.

A view is written again as a query on copies of what it reads, views in views, too; the copies have all
rows, in the opposite order. A function can't be written again: it finds such a copy by the name of its table,
since temporary tables are found first. One that names its table with the schema reads the table itself.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg2
from psycopg2 import sql

from rescore.source.grammar import RelationName, parse
from rescore.source.order_of_rows import OF_ORDER, may_depend_on_order
from rescore.source.query import on_other_relations, quote_identifier, relation_names

__all__ = ["may_depend", "put_before", "tables_of_functions", "turned_view"]

#: Tables and views that the bodies of some functions name without their schema, and of functions that those
#: call; not of one that runs with another's rights.
_TABLES_OF_FUNCTIONS = r"""
WITH RECURSIVE ours AS (
    SELECT p.oid, p.proname, p.prosrc AS body FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE l.lanname IN ('sql', 'plpgsql') AND p.pronamespace <> 'pg_catalog'::regnamespace
        AND NOT p.prosecdef AND p.proname ~ '^\w+$'),
called AS (
    SELECT oid, body FROM ours WHERE oid::regproc::text = ANY(%s)
    UNION SELECT o.oid, o.body FROM called c JOIN ours o ON c.body ~* ('\m' || o.proname || '\M'))
SELECT DISTINCT n.nspname, c.relname FROM called f, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid) AND c.relname ~ '^\w+$'
    AND n.nspname !~ '^(pg_|information_schema)' AND f.body ~* ('\m' || c.relname || '\M')
ORDER BY 1, 2"""


#: Rows of a table that is copied so at most: some twenty seconds.
MOST_ROWS = 5_000_000
#: Whether a relation's rows lie somewhere, and how many there are, as far as it was ever counted.
_SIZE = """
WITH named AS (SELECT %s::regclass AS oid)
SELECT bool_and(c.relkind IN ('r', 'p', 'm')), COALESCE(sum(c.reltuples) FILTER (WHERE c.reltuples > 0), 0)
FROM pg_class c, named WHERE c.oid = named.oid
    OR c.relkind <> 'p' AND c.oid IN (SELECT relid FROM pg_partition_tree(named.oid))"""
_COPY_OF_STORED = (
    "CREATE TEMP TABLE {own} (LIKE {table} INCLUDING INDEXES) ON COMMIT DROP",
    "INSERT INTO pg_temp.{own} SELECT * FROM {table} ORDER BY tableoid DESC, ctid DESC",
    "ANALYZE pg_temp.{own}",
)
_COPY_OF_MADE = (
    "CREATE TEMP TABLE {copy} ON COMMIT DROP AS SELECT * FROM {table}",
    "CREATE TEMP TABLE {own} ON COMMIT DROP AS SELECT * FROM pg_temp.{copy} ORDER BY ctid DESC",
    "ANALYZE pg_temp.{own}",
)


def may_depend(cursor: Any, query: str) -> bool:
    """Whether a query's rows can depend on the order of others, by itself or by a view that it reads."""
    seen: set[RelationName] = set()
    waiting = [query]
    while waiting:
        text = waiting.pop()
        by_itself, called = may_depend_on_order(parse(text, "the query"))
        if not by_itself:
            cursor.execute(OF_ORDER, [sorted(called)])
            [by_itself] = cursor.fetchone()
        if by_itself:
            return True
        new = set(relation_names(text)) - seen
        seen |= new
        waiting += [view for name in sorted(new) if (view := _definition(cursor, name)) is not None]
    return False


def turned_view(cursor: Any, name: RelationName) -> str | None:
    """A temporary table of a view's rows, made of tables that lie the other way round.

    Returns
    -------
    str or None
        Its name. None if it is no view, if no order can count in it, or if what it reads can't be copied: its
        owner may read more than this role.
    """
    definition = _definition(cursor, name)
    if definition is None or not may_depend(cursor, definition):
        return None
    turned: dict[RelationName, str] = {}
    cursor.execute("SAVEPOINT rescore_view")
    with suppress(psycopg2.ProgrammingError):
        made = _turned(cursor, name, turned)
        cursor.execute("RELEASE SAVEPOINT rescore_view")
        return made
    cursor.execute("ROLLBACK TO SAVEPOINT rescore_view")
    return None


def tables_of_functions(cursor: Any, functions: list[str]) -> list[tuple[str, str]]:
    """Schema and name of what functions read whose tables :func:`put_before` can put others before."""
    cursor.execute(_TABLES_OF_FUNCTIONS, [functions])
    return [(str(schema), str(name)) for schema, name in cursor.fetchall()]


def put_before(cursor: Any, tables: list[tuple[str, str]]) -> tuple[str, ...]:
    """Make temporary tables of the same names and rows, the other way round: these are found from now on.

    They have the indexes of the others: a function may ask for a row of theirs for every row of a query.

    Returns
    -------
    tuple of str
        Tables that are left as they are, for they have more than :data:`MOST_ROWS` rows.
    """
    too_large = []
    for number, (schema, name) in enumerate(tables):
        table, own = sql.Identifier(schema, name), sql.Identifier(name)
        copy = sql.Identifier(f"rescore_read_{number}")
        cursor.execute(_SIZE, [table.as_string(cursor)])
        stored, rows = cursor.fetchone()
        if rows > MOST_ROWS:
            too_large.append(f"{schema}.{name}")
            continue
        cursor.execute("SAVEPOINT rescore_read")
        with suppress(psycopg2.ProgrammingError):
            for statement in _COPY_OF_STORED if stored else _COPY_OF_MADE:
                cursor.execute(sql.SQL(statement).format(copy=copy, table=table, own=own))
            cursor.execute("RELEASE SAVEPOINT rescore_read")
            continue
        cursor.execute("ROLLBACK TO SAVEPOINT rescore_read")
    cursor.execute("DISCARD PLANS")  # of functions that have run
    return tuple(too_large)


def _turned(cursor: Any, name: RelationName, turned: dict[RelationName, str]) -> str:
    """Copy a relation the other way round, each once; a view made of such copies."""
    if name not in turned:
        definition = _definition(cursor, name)
        if definition is None:
            called = ".".join(map(quote_identifier, name.parts))
            rows = f"SELECT * FROM {'ONLY ' * name.only}{called}"  # noqa: S608 - quoted
        else:
            others = {each: _turned(cursor, each, turned) for each in relation_names(definition)}
            rows = on_other_relations(definition, others)
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname ~ '^rescore_base_' AND relkind = 'r'")
        [number] = cursor.fetchone()
        straight, other = f"rescore_base_{number}", f"rescore_base_{number}_turned"
        cursor.execute(f"CREATE TEMP TABLE {straight} ON COMMIT DROP AS\n{rows.rstrip().rstrip(';')}")
        cursor.execute(
            sql.SQL(
                "CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT * FROM pg_temp.{} ORDER BY ctid DESC"
            ).format(sql.Identifier(other), sql.Identifier(straight))
        )
        cursor.execute(sql.SQL("ANALYZE pg_temp.{}").format(sql.Identifier(other)))
        turned[name] = other
    return turned[name]


def _definition(cursor: Any, name: RelationName) -> str | None:
    """The query of a view of the database's own."""
    cursor.execute(
        "SELECT pg_get_viewdef(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = to_regclass(%s) AND c.relkind = 'v' AND n.nspname !~ '^(pg_|information_schema)'",
        [".".join(map(quote_identifier, name.parts))],
    )
    row = cursor.fetchone()
    return None if row is None else str(row[0])
