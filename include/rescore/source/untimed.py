"""Rows without a moment: a query that asks for an interval never sees them, so they are counted here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rescore.errors import SourceError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.shown_text import number_of
from rescore.source.grammar import Scope, name_parts, parse, scopes, walk
from rescore.source.query import quote_identifier, quote_literal, render
from rescore.source.session import Session

__all__ = ["UntimedRows", "count_untimed", "untimed_rows"]

#: Expressions that have a value though a column in them is NULL.
_TAKE_NULL = {"CoalesceExpr", "CaseExpr", "MinMaxExpr", "NullTest", "SubLink"}
#: Counting is given up after this: without an index it reads the whole relation.
_MAX_TIME = timedelta(seconds=60)


@dataclass(frozen=True)
class UntimedRows:
    """A column by which a query asks for its interval, and the rows in which it is NULL.

    Attributes
    ----------
    column : str
        ``schema.relation.column``.
    rows : int or None
        Rows without a value; None where counting took too long or was refused.
    """

    column: str
    rows: int | None

    def __str__(self) -> str:
        if self.rows is None:
            return f"rows in which {self.column} is NULL could not be counted: they are in no interval"
        return f"{self.column} is NULL in {number_of(self.rows, 'row')}: they are in no interval"


def untimed_rows(session: Session, folder: ModelFolder, interval: Interval) -> list[UntimedRows]:
    """Count the rows that are in no interval, since what ``extract.sql`` compares with its bounds is NULL.

    Asked in the transaction that extracts, after the rows, so that nothing here can keep them back. A
    column that its table declares NOT NULL costs no count, an indexed one a look into the index.

    Returns
    -------
    list of UntimedRows
        By column; none for columns without such rows.
    """
    # Another as_of than the interval's end, so that the bounds are told apart from it.
    as_of = interval.end + timedelta(microseconds=1)
    where = str(folder.path / "extract.sql")
    tree = parse(render(folder.extract_sql, interval, as_of, where=where).text, where)
    bounds = {bound.isoformat(sep=" ", timespec="microseconds") for bound in (interval.start, interval.end)}
    compared = set(_compared(tree, bounds))
    # ``e IS NULL OR e >= :interval_start``: such rows are in the interval.
    welcome = {
        name_parts(fields["arg"]["ColumnRef"]["fields"])
        for kind, fields in walk(tree)
        if kind == "NullTest" and fields.get("nulltesttype") == "IS_NULL" and "ColumnRef" in fields["arg"]
    }
    try:
        columns = {
            column: None
            for scope in scopes(tree)
            for path in scope.columns
            if path.location in compared and path.parts not in welcome
            for column in _nullable(session, scope, path.parts)
        }
    except SourceError:
        return [UntimedRows("what extract.sql compares with the interval", None)]
    counted = (_count(session, *column) for column in sorted(columns))
    return [one for one in counted if one.rows != 0]


def count_untimed(url: str, folder: ModelFolder, interval: Interval) -> list[UntimedRows]:
    """What :func:`untimed_rows` finds, in a transaction of its own.

    Raises
    ------
    SourceError, SpecError, SettingsError
        As for an extract.
    """
    with Session(url, folder.spec.source) as session:
        return untimed_rows(session, folder, interval)


def _compared(tree: Any, bounds: set[str]) -> Iterator[int]:
    """Where the columns stand that are compared with a bound of the interval.

    Only those without which the comparison is NULL, and the row in no interval: no ``COALESCE``, ``CASE`` or
    ``GREATEST`` around them.
    """
    for kind, fields in walk(tree):
        if kind != "A_Expr":
            continue
        sides = [list(walk(fields.get(side))) for side in ("lexpr", "rexpr")]
        texts = [
            {inner.get("sval", {}).get("sval") for name, inner in side if name == "A_Const"} for side in sides
        ]
        for side, other in (("lexpr", texts[1]), ("rexpr", texts[0])):
            if other & bounds and not any(name in _TAKE_NULL for name, _ in walk(fields.get(side))):
                yield from (
                    inner["location"] for name, inner in walk(fields.get(side)) if name == "ColumnRef"
                )


def _nullable(session: Session, scope: Scope, parts: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Schema, relation and name of the columns that ``parts`` can mean and that may be NULL."""
    *qualifier, name = parts
    for relation in scope.relations:
        if qualifier and (relation.alias or relation.name.parts[-1]) != qualifier[-1]:
            continue
        named = quote_literal(".".join(map(quote_identifier, relation.name.parts)))
        rows = session.ask(
            "SELECT n.nspname AS schema, c.relname AS relation FROM pg_class c"  # noqa: S608 - quoted
            " JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid"
            f" WHERE c.oid = to_regclass({named}) AND a.attname = {quote_literal(name)}"
            " AND NOT a.attnotnull AND NOT a.attisdropped AND n.nspname !~ '^(pg_|information_schema)'"
        )
        for row in rows:
            yield row["schema"], row["relation"], name


def _count(session: Session, schema: str, relation: str, name: str) -> UntimedRows:
    column = f"{schema}.{relation}.{name}"
    read = f"{quote_identifier(schema)}.{quote_identifier(relation)}"
    query = f"SELECT count(*) AS rows FROM {read} WHERE {quote_identifier(name)} IS NULL"  # noqa: S608
    try:
        with session.at_most(_MAX_TIME):
            [row] = session.ask(query)
    except SourceError:
        return UntimedRows(column, None)
    return UntimedRows(column, row["rows"])
