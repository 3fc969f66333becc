"""Whether ``e.name`` is a column: only if it is none, Postgres takes it for a call, ``name(e)``.

What a FROM clause calls ``e`` is looked up: a relation's columns are the catalogue's; those of a subquery, or
of what WITH defines, are in its own list. Where that can't tell (a function's rows), it may be a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rescore.source.grammar import name_parts
from rescore.source.query import quote_identifier, quote_literal
from rescore.source.session import Session

__all__ = ["is_column"]


@dataclass(frozen=True)
class _Select:
    """A SELECT with what is around it.

    Attributes
    ----------
    fields : dict
        Its node.
    outer : _Select or None
        Whose names it can use.
    hidden : frozenset of str
        What its WITH defines that is not known here: ``WITH e AS (SELECT * FROM e)`` reads a relation.
    """

    fields: Mapping[str, Any]
    outer: _Select | None
    hidden: frozenset[str] = frozenset()

    def named(self, name: str) -> tuple[Mapping[str, Any], _Select] | None:
        """What WITH defines by a name here, and what is known within that."""
        clause = self.fields.get("withClause", {})
        defined = [each["CommonTableExpr"] for each in clause.get("ctes", ())]
        names = [each["ctename"] for each in defined]
        if name in self.hidden or name not in names:
            return None if self.outer is None else self.outer.named(name)
        place = names.index(name)
        later = names[place : place + 1] if clause.get("recursive") else names[place:]
        return defined[place], _Select(self.fields, self.outer, self.hidden | set(later))


def is_column(session: Session, tree: Any, location: int, name: str) -> bool:
    """Whether the reference at a place of a statement is surely to a column of that name.

    Parameters
    ----------
    session : Session
    tree : list
        The statement.
    location : int
        Of the reference ``e.name``, or of the ``e`` in ``(e).name``, in characters.
    name : str
        The last part.
    """
    found = _find(tree, location)
    if found is None:
        return False
    path, select = found
    rows = path[max(len(path) - 2, 0)]
    while select is not None:
        for item in _items(select):
            if _called(item) == rows:
                return _has(session, item, select, name)
        select = select.outer
    return False


def _find(tree: Any, location: int) -> tuple[tuple[str, ...], _Select | None] | None:
    """The reference at a place, and the SELECT that it is in; loops, so that depth is no matter."""
    waiting: list[tuple[Any, _Select | None]] = [(tree, None)]
    while waiting:
        item, select = waiting.pop()
        if isinstance(item, list):
            waiting += [(each, select) for each in item]
        elif isinstance(item, dict):
            for kind, fields in item.items():
                if kind == "ColumnRef" and fields.get("location", 0) == location:
                    return name_parts(fields["fields"]), select
                waiting.append((fields, _Select(fields, select) if _is_select(kind, fields) else select))
    return None


def _is_select(kind: str, fields: Any) -> bool:
    return kind == "SelectStmt" or (kind in {"larg", "rarg"} and "limitOption" in fields)


def _items(select: _Select) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What the FROM clause names, joins taken apart."""
    waiting = list(select.fields.get("fromClause", ()))
    while waiting:
        [(kind, fields)] = waiting.pop().items()
        if kind == "JoinExpr":
            waiting += [fields["larg"], fields["rarg"]]
        yield kind, fields


def _called(item: tuple[str, Mapping[str, Any]]) -> str:
    _, fields = item
    return str(fields.get("alias", {}).get("aliasname", fields.get("relname", "")))


def _has(session: Session, item: tuple[str, Mapping[str, Any]], select: _Select, name: str) -> bool:
    """Whether what FROM names has a column."""
    kind, fields = item
    if renamed := fields.get("alias", {}).get("colnames"):
        return name in name_parts(renamed)
    if kind == "RangeSubselect":
        return _gives(session, _Select(fields["subquery"]["SelectStmt"], select), name)
    if kind != "RangeVar":
        return False
    defined = None if "schemaname" in fields else select.named(fields["relname"])
    if defined is not None:
        definition, place = defined
        if renamed := definition.get("aliascolnames"):
            return name in name_parts(renamed)
        query = definition["ctequery"].get("SelectStmt")
        return query is not None and _gives(session, _Select(query, place), name)
    parts = [fields[part] for part in ("schemaname", "relname") if part in fields]
    read = quote_literal(".".join(map(quote_identifier, parts)))
    [row] = session.ask(
        f"SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass({read})"  # noqa: S608 - quoted
        f" AND attname = {quote_literal(name)} AND NOT attisdropped) AS there"
    )
    return bool(row["there"])


def _gives(session: Session, select: _Select, name: str) -> bool:
    """Whether a SELECT's own list has a name; of a UNION the first one's counts."""
    if "larg" in select.fields:
        return _gives(session, _Select(select.fields["larg"], select), name)
    for target in select.fields.get("targetList", ()):
        value = target["ResTarget"]
        path = name_parts(value["val"].get("ColumnRef", {}).get("fields", []))
        if path[-1:] == ("*",):
            items = [one for one in _items(select) if len(path) == 1 or _called(one) == path[-2]]
            if any(_has(session, one, select, name) for one in items):
                return True
        elif value.get("name", path[-1] if path else None) == name:
            return True
    return False
