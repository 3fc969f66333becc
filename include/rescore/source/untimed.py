"""Rows without a moment: a query that asks for an interval never sees them, so they are counted here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg2 import sql

from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.source.grammar import Scope, parse, scopes, walk
from rescore.source.inspection import reading
from rescore.source.leakage import relation_of
from rescore.source.query import render

__all__ = ["UntimedRows", "untimed_rows"]


@dataclass(frozen=True)
class UntimedRows:
    """A column by which a query asks for its interval, and the rows in which it is NULL.

    Attributes
    ----------
    column : str
        ``schema.relation.column``.
    rows, of : int
        Rows without a value; rows of the relation.
    """

    column: str
    rows: int
    of: int


def untimed_rows(url: str, folder: ModelFolder, interval: Interval) -> list[UntimedRows]:
    """Count the rows that are in no interval, since what ``extract.sql`` compares with its bounds is NULL.

    Raises
    ------
    SourceError, SpecError, SettingsError
        As for an extract.
    """
    # Another as_of than the interval's end, so that the bounds are told apart from it.
    as_of = interval.end + timedelta(microseconds=1)
    query = render(folder.extract_sql, interval, as_of, where=str(folder.path / "extract.sql")).text
    bounds = {bound.isoformat(sep=" ", timespec="microseconds") for bound in (interval.start, interval.end)}
    tree = parse(query, str(folder.path / "extract.sql"))
    compared = set(_compared(tree, bounds))
    counted: dict[str, UntimedRows] = {}
    with reading(url) as cursor:
        for scope in scopes(tree):
            for column in scope.columns:
                if column.location in compared:
                    for one in _count(cursor, scope, column.parts):
                        counted[one.column] = one
    return sorted((one for one in counted.values() if one.rows), key=lambda one: one.column)


def _compared(tree: Any, bounds: set[str]) -> Iterator[int]:
    """Where the columns stand that are compared with a bound of the interval."""
    for kind, fields in walk(tree):
        if kind != "A_Expr":
            continue
        sides = [list(walk(fields.get(side))) for side in ("lexpr", "rexpr")]
        texts = [
            {inner.get("sval", {}).get("sval") for name, inner in side if name == "A_Const"} for side in sides
        ]
        for side, other in ((sides[0], texts[1]), (sides[1], texts[0])):
            if other & bounds:
                yield from (inner["location"] for name, inner in side if name == "ColumnRef")


def _count(cursor: Any, scope: Scope, parts: tuple[str, ...]) -> Iterator[UntimedRows]:
    *qualifier, name = parts
    for relation in scope.relations:
        if qualifier and (relation.alias or relation.name[-1]) != qualifier[-1]:
            continue
        found = relation_of(cursor, relation.name)
        if found is None or name not in found[2]:
            continue
        cursor.execute(
            sql.SQL("SELECT count(*) - count({}), count(*) FROM {}").format(
                sql.Identifier(name), sql.Identifier(*found[:2])
            )
        )
        [(rows, of)] = cursor.fetchall()
        yield UntimedRows(f"{found[0]}.{found[1]}.{name}", rows, of)
