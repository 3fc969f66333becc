# ruff: noqa: S608 - names are quoted
"""Which functions a query calls: by calls, by operators, by what looks like a column; asked of the catalogue.

A name may mean several functions: all of them whose number of arguments fits are meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rescore.source.grammar import name_parts, walk
from rescore.source.query import quote_literal
from rescore.source.session import Session

__all__ = ["Called", "calls_of", "fits", "functions_of", "harmless", "left_to_default"]

# Postgres' own stable functions that depend on nothing but what a session fixes (time zone, formats,
# locale of numbers) or what is stored (text search rules, the order of an enumeration).
_FIXED_BY_THE_SESSION = re.compile(
    r"anytextcat|textanycat|array_to_json|array_to_string|concat|concat_ws|convert|convert_from|convert_to"
    r"|date|date_(add|subtract|part|trunc)|enum_(first|last|range)|extract|format|format_type|generate_series"
    r"|in_range|interval_pl_timestamptz|jsonb?_\w+|length|make_timestamptz|money|numeric|overlaps|pg_typeof"
    r"|(phraseto|plainto|websearch_to)_tsquery|quote_literal|quote_nullable|row_to_json|time|timetz|timezone"
    r"|(date|timestamp|timestamptz)_(cmp|eq|ge|gt|le|lt|ne)_\w+|timestamp|timestamptz"
    r"|timestamptz_(mi|pl)_interval|to_(char|date|json|jsonb|number|timestamp|tsquery|tsvector)"
    r"|ts_(headline|rank|rank_cd|lexize|parse|debug)|xml|xml_is_well_formed"
)
#: The operators of the grammar's own words, by the name that a node of BETWEEN has.
_BETWEEN = {
    "BETWEEN": (">=", "<="),
    "NOT BETWEEN": ("<", ">"),
    "BETWEEN SYMMETRIC": (">=", "<="),
    "NOT BETWEEN SYMMETRIC": ("<", ">"),
}


@dataclass(frozen=True)
class Called:
    """A function or operator that a text names.

    Attributes
    ----------
    name : tuple of str
        With its schema, if that is written.
    arguments : int or None
        How many it gets; None: unknown.
    location : int
        Where, in characters.
    operator : bool
        Named by an operator.
    of_row : bool
        Written like a column: ``parcel.weight_of`` calls ``weight_of(parcel)`` if there is no such column.
    by_name : bool
        Whether arguments are given by name, so that any may be left out.
    """

    name: tuple[str, ...]
    arguments: int | None
    location: int
    operator: bool = False
    of_row: bool = False
    by_name: bool = False

    def __str__(self) -> str:
        return f"operator {self.name[-1]}" if self.operator else f"{self.name[-1]}()"


def calls_of(tree: Any) -> Iterator[Called]:
    """Every call of a statement."""
    for kind, fields in walk(tree):
        location = fields["location"]
        if kind == "FuncCall":
            arguments = fields.get("args", [])
            # Of a function of an ordered set, what it is ordered by is an argument, too.
            ordered = len(fields.get("agg_order", ())) if fields.get("agg_within_group") else 0
            by_name = any("NamedArgExpr" in each for each in arguments)
            name = name_parts(fields["funcname"])
            yield Called(name, len(arguments) + ordered, location, by_name=by_name)
        elif (column := _column(kind, fields)) is not None:
            row = fields.get("arg", {}).get("ColumnRef", {})  # (e).name; more parts: a column's own field
            place = row.get("location", 0) if len(row.get("fields", ())) == 1 else location
            yield Called((column,), 1, place, of_row=True)
        else:
            for operator in _operators(kind, fields):
                yield Called(operator, None, location, operator=True)


def _column(kind: str, fields: dict[str, Any]) -> str | None:
    """The name after the last dot of what looks like a column of a row."""
    if kind == "ColumnRef":
        parts = name_parts(fields["fields"])
        return parts[-1] if len(parts) > 1 and parts[-1] != "*" else None
    if kind == "A_Indirection":
        names = [each["String"]["sval"] for each in fields["indirection"] if "String" in each]
        return names[-1] if names else None
    return None


def _operators(kind: str, fields: dict[str, Any]) -> list[tuple[str, ...]]:
    """The operators that a node is made of, those that are not written as such, too."""
    if kind == "A_Expr":
        name = name_parts(fields["name"])
        return [(each,) for each in _BETWEEN[name[-1]]] if name[-1] in _BETWEEN else [name]
    if kind == "SubLink" and fields["subLinkType"] in {"ANY_SUBLINK", "ALL_SUBLINK"}:
        return [name_parts(fields["operName"]) if "operName" in fields else ("=",)]
    if kind == "SortBy" and "useOp" in fields:
        return [name_parts(fields["useOp"])]
    equal = (kind == "JoinExpr" and {"usingClause", "isNatural"} & fields.keys()) or (
        kind == "CaseExpr" and "arg" in fields
    )
    return [("=",)] if equal else []


def functions_of(session: Session, calls: Iterable[Called]) -> list[dict[str, Any]]:
    """Every function that one of these names may mean.

    Returns
    -------
    list of dict
        ``given`` are its defaults in their order; ``of_row`` says whether a row's column may be a call of it.
    """
    names = sorted({call.name[-1] for call in calls if not call.operator}) or [""]
    operators = sorted({call.name[-1] for call in calls if call.operator}) or [""]
    return session.ask(
        "SELECT p.oid::int8 AS oid, n.nspname::text AS schema, p.proname::text AS name,"
        " p.pronargs::int4 AS most, (p.pronargs - p.pronargdefaults)::int4 AS least,"
        " p.provariadic <> 0 AS variadic, p.provolatile::text AS volatility, l.lanname::text AS language,"
        " pg_function_is_visible(p.oid) AS visible, NULL::text AS operator,"
        " p.oid::regprocedure::text AS signature,"
        " ARRAY(SELECT pg_get_function_arg_default(p.oid, k) FROM generate_series(1,"
        " COALESCE(cardinality(p.proallargtypes), p.pronargs)) k"
        " WHERE pg_get_function_arg_default(p.oid, k) IS NOT NULL ORDER BY k) AS given,"
        " EXISTS (SELECT FROM pg_type t WHERE t.oid = p.proargtypes[0] AND t.typtype IN ('c', 'p')"
        " AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.typrelid"
        " AND a.attname = p.proname)) AS of_row"
        " FROM pg_proc p"
        " JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang"
        f" WHERE p.proname IN ({', '.join(map(quote_literal, names))}) UNION ALL"
        " SELECT p.oid::int8, n.nspname::text, p.proname::text, 2, 1, false, p.provolatile::text,"
        " l.lanname::text, pg_operator_is_visible(o.oid), o.oprname::text, p.oid::regprocedure::text,"
        " NULL, false"
        " FROM pg_operator o"
        " JOIN pg_proc p ON p.oid = o.oprcode JOIN pg_namespace n ON n.oid = o.oprnamespace"
        " JOIN pg_language l ON l.oid = p.prolang WHERE n.nspname <> 'pg_catalog'"
        f" AND o.oprname IN ({', '.join(map(quote_literal, operators))})"
    )


def left_to_default(function: dict[str, Any], call: Called) -> list[tuple[int, str]]:
    """The defaults that a call may leave an argument to, each with its place among the function's."""
    given = list(enumerate(function["given"] or ()))
    if call.arguments is None:
        return given
    left = max(function["most"] - call.arguments, 0)
    return given if call.by_name and left else given[len(given) - min(left, len(given)) :]


def fits(function: dict[str, Any], call: Called) -> bool:
    """Whether a call may mean this function; both may be meant where names and numbers allow it."""
    named = (function["operator"] or function["name"]) == call.name[-1]
    if not named or (function["operator"] is not None) != call.operator:
        return False
    if call.of_row and not function["of_row"]:
        return False
    found = function["schema"] == call.name[-2] if len(call.name) > 1 else function["visible"]
    if not found:
        return False
    if call.arguments is None:
        return True
    most = call.arguments if function["variadic"] else function["most"]
    return bool(function["least"] <= call.arguments <= most or function["variadic"])


def harmless(function: dict[str, Any]) -> bool:
    """Whether it is Postgres' own and depends on nothing but its arguments, or what a session fixes."""
    if function["schema"] != "pg_catalog" or function["volatility"] == "v":
        return False
    return function["volatility"] == "i" or bool(_FIXED_BY_THE_SESSION.fullmatch(function["name"]))
