# ruff: noqa: S608 - names are quoted, types are the catalogue's
"""What a function in PL/pgSQL runs, as SELECTs in which typed NULLs stand for its variables.

libpg_query reads the language: every expression of a body, and where its value goes. What goes into a
variable of a moment, or comes back as one, is written as a cast, so that text which becomes a moment there is
seen as anywhere else. A statement that is put together as it runs (EXECUTE) can't be looked into, nor can a
cast of what has no type before it runs: both are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rescore.errors import SpecError
from rescore.source.grammar import name_parts, parse, walk
from rescore.source.moments_from_text import MOMENTS, cast_target
from rescore.source.query import quote_literal
from rescore.source.session import Session
from rescore.source.tokens import tokens_of

__all__ = ["body_of", "statements_of"]

#: A variable, its fields and subscripts, and what it is given.
_ASSIGNED = re.compile(r"""^(?:[^:='"\[]|"[^"]*"|\[[^\]]*\])*:?=\s*(.*)$""", re.DOTALL)
_RETURNED = re.compile(r'\bRETURN\s+(?:NEXT\s+)?("(?:[^"]|"")+"|[a-z_][\w$]*)\s*;', re.IGNORECASE)
_NOT_IN_SQL = "write the function LANGUAGE sql, or the expression into the query"


@dataclass(frozen=True)
class _Body:
    """A function as libpg_query reads it.

    Attributes
    ----------
    datums : list
        Its variables, by number.
    action : dict
        What it does.
    source, returns : str
        Its text; the type of what comes back, as SQL writes it.
    arguments : tuple of str
        Types of its arguments, as SQL writes them.
    """

    datums: list[dict[str, Any]]
    action: Any
    source: str
    returns: str
    arguments: tuple[str, ...]


def body_of(session: Session, oid: int) -> _Body | None:
    """Read a function; None where libpg_query can't (a value that is given to a field of a record)."""
    from postgast import native

    [row] = session.ask(
        "SELECT pg_get_functiondef(oid) AS definition, prosrc AS source,"
        " format_type(prorettype, NULL) AS returns, ARRAY(SELECT format_type(t, NULL)"
        " FROM unnest(proargtypes) WITH ORDINALITY a(t, n) ORDER BY n) AS arguments"
        f" FROM pg_proc WHERE oid = {oid}"
    )
    result = native.lib.pg_query_parse_plpgsql(row["definition"].encode())
    try:
        if result.error:
            return None
        [read] = json.loads(result.plpgsql_funcs)
    finally:
        native.lib.pg_query_free_plpgsql_parse_result(result)
    function = read["PLpgSQL_function"]
    datums = function["datums"]
    for datum in datums:
        declared = datum.get("PLpgSQL_var", {}).get("datatype", {}).get("PLpgSQL_type", {})
        if declared.get("typname", "").lower().endswith("%type"):
            declared["typname"] = _type_alike(session, datums, declared["typname"][: -len("%type")])
    return _Body(datums, function.get("action"), row["source"], row["returns"], tuple(row["arguments"]))


def _type_alike(session: Session, datums: list[dict[str, Any]], name: str) -> str:
    """What ``name%TYPE`` is: the type of a table's column, or of another variable."""
    relation, _, column = name.rpartition(".")
    for datum in datums:
        variable = datum.get("PLpgSQL_var", {})
        if not relation and variable.get("refname") == column:
            return str(variable["datatype"]["PLpgSQL_type"]["typname"])
    rows = session.ask(
        "SELECT format_type(atttypid, NULL) AS kind FROM pg_attribute WHERE attrelid ="
        f" to_regclass({quote_literal(relation)}) AND attname = {quote_literal(column.strip(chr(34)))}"
    )
    return str(rows[0]["kind"]) if rows else "text"  # of which no cast to a moment passes


def statements_of(session: Session, body: _Body, inside: str) -> Iterator[str]:
    """Every expression and statement of a function, one SELECT each.

    Raises
    ------
    SpecError
        It runs a statement that is put together, or a cast to a moment can't be followed.
    """
    types = _types(body)
    for sql, goes_into in _expressions(body, types, inside):
        typed = _with_types(sql, types, body.arguments)
        statement = f"SELECT ({typed})::{goes_into}" if goes_into else typed
        if session.parameter_types(statement) is None and _casts_unknown(statement):
            raise SpecError(
                "a cast to a moment in PL/pgSQL can't be followed: what is cast has no type before it runs",
                where=inside,
                expected="variables of declared types: table.column%TYPE, table%ROWTYPE",
                fix=f"declare the record as table%ROWTYPE; or {_NOT_IN_SQL}",
            )
        yield statement


def _types(body: _Body) -> dict[str, str]:
    """Variables, and expressions of their types that SQL can read; without those of no declared type."""
    found: dict[str, str] = {}
    several = set()
    for datum in body.datums:
        variable = datum.get("PLpgSQL_var")
        if variable is None or variable["refname"].startswith("__Case"):
            continue
        name, typed = variable["refname"], _null_of(variable["datatype"]["PLpgSQL_type"]["typname"])
        if found.setdefault(name, typed) != typed:
            several.add(name)
    return {name: typed for name, typed in found.items() if name not in several}


def _null_of(declared: str) -> str:
    """A NULL of a type as libpg_query names it."""
    of_row = re.fullmatch(r"(.+)%rowtype", declared, re.IGNORECASE)
    if of_row:
        return f"(NULL::{of_row[1]})"
    return f"(NULL::{declared[1:]}[])" if declared.startswith("_") else f"(NULL::{declared})"


def _expressions(body: _Body, types: Mapping[str, str], inside: str) -> Iterator[tuple[str, str]]:
    """Each expression as a SELECT, or in parentheses with the moment that it becomes."""
    for returned in _RETURNED.findall(body.source):  # a variable alone: libpg_query leaves it out
        if _is_moment(body.returns) and returned.lower() in types:
            yield returned, body.returns
    for number, datum in enumerate(body.datums):
        for kind, fields in datum.items():
            yield from _of_node(body, kind, fields, _type_of(body, number), inside)
    waiting = [body.action]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            for kind, fields in item.items():
                if isinstance(fields, dict) and kind.startswith("PLpgSQL_"):
                    yield from _of_node(body, kind, fields, "", inside)
                waiting.append(fields)


def _of_node(
    body: _Body, kind: str, fields: dict[str, Any], own: str, inside: str
) -> Iterator[tuple[str, str]]:
    """The expressions that stand in one node itself, each with the moment that it becomes."""
    dynamic = kind.startswith("PLpgSQL_stmt_dyn") or "dynquery" in fields
    if dynamic:
        raise SpecError(
            "EXECUTE in PL/pgSQL runs a statement that nobody can look into",
            where=inside,
            expected="statements that stand in the function",
            fix=_NOT_IN_SQL,
        )
    targets = _targets(body, fields)
    if kind in {"PLpgSQL_stmt_fetch", "PLpgSQL_stmt_foreach_a"}:
        targets += [_type_of(body, fields["varno"])] if "varno" in fields else []
        if any(map(_is_moment, targets)):
            raise SpecError(
                "a moment is fetched in PL/pgSQL: what it is made from can't be followed",
                where=inside,
                expected="SELECT … INTO, or an assignment",
                fix=_NOT_IN_SQL,
            )
    for name, part in fields.items():
        for each in part if isinstance(part, list) else [part]:
            if not isinstance(each, dict) or "PLpgSQL_expr" not in each:
                continue
            expression = each["PLpgSQL_expr"]
            sql, mode = expression["query"], expression.get("parseMode", 0)
            into = own if name == "default_val" else ""
            if kind == "PLpgSQL_stmt_assign":
                into = _type_of(body, fields.get("varno", 0))
            elif kind in {"PLpgSQL_stmt_return", "PLpgSQL_stmt_return_next"} and name == "expr":
                into = body.returns
            if mode == 0:
                yield from _of_statement(sql, targets)
            else:
                matched = _ASSIGNED.match(sql) if mode > 2 else None
                value = matched[1] if matched else sql
                yield (value, into) if _is_moment(into) else (f"SELECT ({value})", "")


def _targets(body: _Body, fields: dict[str, Any]) -> list[str]:
    """The types of what a statement puts its row into: after INTO, or each time round a loop."""
    types = []
    for into in (fields.get("target", {}), fields.get("var", {})):
        types += [
            _type_of(body, each.get("varno", 0)) for each in into.get("PLpgSQL_row", {}).get("fields", ())
        ]
        types += [_declared(into["PLpgSQL_var"])] if "PLpgSQL_var" in into else []
    return types


def _of_statement(sql: str, targets: list[str]) -> Iterator[tuple[str, str]]:
    yield sql, ""
    if len(targets) == 1 and _is_moment(targets[0]):
        yield sql, targets[0]
    elif any(map(_is_moment, targets)):
        names = ", ".join(f"c{number}" for number in range(len(targets)))
        for number, target in enumerate(targets):
            if _is_moment(target):
                yield f"SELECT c{number} FROM ({sql}) t({names})", target


def _type_of(body: _Body, number: int) -> str:
    return _declared(body.datums[number].get("PLpgSQL_var", {}) if number < len(body.datums) else {})


def _declared(variable: dict[str, Any]) -> str:
    declared = str(variable.get("datatype", {}).get("PLpgSQL_type", {}).get("typname", ""))
    return declared[1:] + "[]" if declared.startswith("_") else declared


def _is_moment(name: str) -> bool:
    plain = name.removesuffix("[]").removeprefix("pg_catalog.")
    return plain in MOMENTS or plain.startswith(("timestamp ", "time "))


def _with_types(sql: str, types: Mapping[str, str], arguments: tuple[str, ...]) -> str:
    """The text with typed NULLs for variables and for arguments by number."""
    is_statement = re.match(r"(?i)\s*(SELECT|WITH|VALUES|TABLE|INSERT|UPDATE|DELETE|MERGE)\b", sql)
    prefix = "" if is_statement else "SELECT "
    whole = prefix + sql
    listed = tokens_of(whole, "the function")
    index_at = {token.start: index for index, token in enumerate(listed)}
    edits = []
    tree = parse(whole, "the function")
    # A relation may be called like a variable: then what follows the dot is a column of it.
    relations = {
        fields.get("alias", {}).get("aliasname", fields.get("relname"))
        for kind, fields in walk(tree)
        if kind.startswith("Range") or kind == "JoinExpr"
    }
    for kind, fields in walk(tree):
        start = fields["location"]
        if kind == "ColumnRef":
            parts = name_parts(fields["fields"])
            of_relation = len(parts) > 1 and parts[0] in relations
            if parts[0] in types and start in index_at and not of_relation:
                edits.append((start, listed[index_at[start]].end, types[parts[0]]))
        elif kind == "ParamRef" and 0 < fields.get("number", 0) <= len(arguments):
            edits.append(
                (start, start + len(f"${fields['number']}"), f"(NULL::{arguments[fields['number'] - 1]})")
            )
    for start, end, text in sorted(edits, reverse=True):
        whole = whole[:start] + text + whole[end:]
    return whole.removeprefix(prefix)


def _casts_unknown(statement: str) -> bool:
    for kind, fields in walk(parse(statement, "the function")):
        target = cast_target(kind, fields)
        if target is not None and target[0] in MOMENTS and "A_Const" not in target[1]:
            return True
    return False
