"""A query as Postgres' own grammar reads it: which relations, functions and literals it names, and where.

libpg_query is that grammar. Its syntax tree is read as JSON, since its protobuf form ends at a depth of
a hundred, which a sum of fifty columns reaches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rescore.errors import SpecError
from rescore.source.tokens import require_characters

__all__ = ["ColumnPath", "Node", "Relation", "RelationName", "Scope", "name_parts", "parse", "scopes", "walk"]

#: One node of the syntax tree: its kind, like ``FuncCall``, and its fields.
Node = tuple[str, dict[str, Any]]


def parse(sql: str, where: str) -> list[Any]:
    """The statements of ``sql``, as libpg_query's JSON has them; ``location`` counts characters.

    Raises
    ------
    SpecError
        Postgres' grammar refuses it, or it is nested deeper than can be followed.
    """
    from postgast import native

    require_characters(sql, where)
    result = native.lib.pg_query_parse(sql.encode())
    try:
        if result.error:
            message = result.error.contents.message.decode(errors="replace")
            raise SpecError(
                f"the query can't be read: {message}",
                where=where,
                fix="correct it; Postgres' words are above",
            )
        tree = json.loads(result.parse_tree)
    except RecursionError:
        raise SpecError(
            "the query is nested too deeply to be checked",
            where=where,
            expected="some hundred operators or subqueries within each other at most",
            fix="put steps into WITH",
        ) from None
    finally:
        native.lib.pg_query_free_parse_result(result)
    statements: list[Any] = tree["stmts"]
    if not sql.isascii():
        _count_characters(statements, sql)
    return statements


def _count_characters(statements: list[Any], sql: str) -> None:
    """Turn the locations from bytes to characters."""
    characters = [0] * (len(sql.encode()) + 1)
    position = 0
    for index, character in enumerate(sql):
        width = len(character.encode())
        characters[position : position + width] = [index] * width
        position += width
    characters[position] = len(sql)
    for _, fields in walk(statements):
        if "location" in fields:
            fields["location"] = characters[fields["location"]]


def walk(tree: Any) -> Iterator[Node]:
    """Every node below, outer ones first; loops, so that depth is no matter."""
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += reversed(item)
        elif isinstance(item, dict):
            for kind, fields in item.items():
                if isinstance(fields, dict) and kind[:1].isupper():
                    yield kind, {"location": 0, **fields} if "location" not in fields else fields
            waiting += reversed([value for value in item.values() if isinstance(value, dict | list)])


def name_parts(names: list[Any]) -> tuple[str, ...]:
    """A name in its parts; ``*`` for a star."""
    return tuple(part["String"]["sval"] if "String" in part else "*" for part in names)


class RelationName(NamedTuple):
    """What a FROM clause reads: a relation, in the parts that the catalogue has.

    Attributes
    ----------
    parts : tuple of str
        ``(relation,)`` or ``(schema, relation)``.
    only : bool
        Read by ``ONLY``: without the tables that inherit from it, or its partitions.
    """

    parts: tuple[str, ...]
    only: bool = False


@dataclass(frozen=True)
class Relation:
    """A relation that a FROM clause names.

    Attributes
    ----------
    name : RelationName
        What is read.
    location : int
        Where it begins in the query, in characters.
    alias : str or None
        What the query calls it.
    """

    name: RelationName
    location: int
    alias: str | None


@dataclass(frozen=True)
class ColumnPath:
    """A column reference of several parts, and where it begins."""

    parts: tuple[str, ...]
    location: int


@dataclass
class Scope:
    """One SELECT: the relations of its FROM clause, and the columns that it names.

    Attributes
    ----------
    outer : Scope or None
        The SELECT around it.
    known : frozenset of str
        Names that WITH defines here: these are no relations of the catalogue.
    relations : list of Relation
    columns : list of ColumnPath
    """

    outer: Scope | None
    known: frozenset[str]
    relations: list[Relation] = field(default_factory=list)
    columns: list[ColumnPath] = field(default_factory=list)


def scopes(tree: Any) -> list[Scope]:
    """Every SELECT of a query with what it names, outer ones first; names of WITH are left out."""
    found = [Scope(None, frozenset())]
    waiting: list[tuple[Any, Scope]] = [(tree, found[0])]
    while waiting:
        item, scope = waiting.pop()
        if isinstance(item, list):
            waiting += [(each, scope) for each in item]
        elif isinstance(item, dict):
            for kind, fields in item.items():
                waiting += _read_node(kind, fields, scope, found)
    return found


def _read_node(kind: str, fields: Any, scope: Scope, found: list[Scope]) -> list[tuple[Any, Scope]]:
    """Note what a node names; what is below it comes back, each with its SELECT."""
    if not isinstance(fields, dict):
        return [(fields, scope)]
    if kind == "withClause":
        return []  # read with its SELECT
    if kind == "RangeVar":
        _add_relation(fields, scope)
    elif kind == "ColumnRef":
        scope.columns.append(ColumnPath(name_parts(fields["fields"]), fields.get("location", 0)))
    elif kind == "SelectStmt" or (kind in {"larg", "rarg"} and "limitOption" in fields):
        inner = Scope(scope, scope.known)
        found.append(inner)
        below: list[tuple[Any, Scope]] = [(fields, inner)]
        if "withClause" in fields:
            inner.known = _read_with(fields["withClause"], inner, below)
        return below
    return [(fields, scope)]


def _read_with(clause: dict[str, Any], scope: Scope, waiting: list[tuple[Any, Scope]]) -> frozenset[str]:
    """The names that are known after a WITH; what it defines waits, each with the names known there."""
    known = set(scope.known)
    names = [each["CommonTableExpr"]["ctename"] for each in clause["ctes"]]
    for each, name in zip(clause["ctes"], names, strict=True):
        inside = known | set(names) if clause.get("recursive") else set(known)
        waiting.append((each["CommonTableExpr"]["ctequery"], Scope(scope.outer, frozenset(inside))))
        known.add(name)
    return frozenset(known)


def _add_relation(fields: dict[str, Any], scope: Scope) -> None:
    parts = [fields[part] for part in ("catalogname", "schemaname", "relname") if part in fields]
    if len(parts) == 1 and parts[0] in scope.known:
        return
    alias = fields.get("alias", {}).get("aliasname")
    name = RelationName(tuple(parts), only=not fields.get("inh", False))
    scope.relations.append(Relation(name, fields.get("location", 0), alias))
