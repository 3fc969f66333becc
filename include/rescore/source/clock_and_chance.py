# ruff: noqa: S608 - names are quoted, numbers are the catalogue's
"""Refuse what makes a query's result depend on anything but the data and the three names (law 1).

What a function does is read from the catalogue, not guessed by its name: *volatile* ones are refused;
of Postgres' own *stable* ones those pass that depend on the time zone and on formats, which a session
fixes, or on stored rules alone; *immutable* ones pass. Views (Postgres' own, too), and others' functions in
SQL and PL/pgSQL are looked into, though they are declared stable or immutable; so are the parts of
aggregates, the policies of row security that hold for whoever reads, and user-defined casts. A policy may
ask who reads: that is the role of the connection. The words ``now``, ``today``, ``tomorrow`` and
``yesterday`` are moments wherever the server reads a constant as one; text that becomes a moment as the query
runs is guarded (``moments_from_text``). Rows in no order are chance (``order_of_rows``). Columns of the
system (``ctid``, ``xmin``) tell of storage, not of data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rescore.errors import SourceError, SpecError
from rescore.source.called_functions import (
    Called,
    calls_of,
    fits,
    functions_of,
    harmless,
    left_to_default,
)
from rescore.source.clock_refusals import refusal
from rescore.source.clock_words import constants_with, end_of_string, word_of
from rescore.source.grammar import name_parts, parse, scopes, walk
from rescore.source.moments_from_text import (
    MOMENTS,
    TextCasts,
    cast_target,
    casts_of_text,
    find_text_casts,
    hold_moments,
    moment_types,
    refuse_unguarded,
)
from rescore.source.order_of_rows import refuse_disorder
from rescore.source.plpgsql_bodies import body_of, statements_of
from rescore.source.query import Rendered, quote_identifier, quote_literal
from rescore.source.real_columns import is_column
from rescore.source.session import Session
from rescore.source.words_in_columns import refuse_words

__all__ = ["refuse_volatile"]

# Where a row lies and who wrote it: a copy of the same data, or a VACUUM FULL, gives others.
_SYSTEM_COLUMNS = {"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"}
_MAX_DEPTH = 20
_CALL = re.compile(
    r'(?:("(?:[^"]|"")+"|[a-z_][\w$]*)\s*\.\s*)?("(?:[^"]|"")+"|[a-z_][\w$]*)\s*\(', re.IGNORECASE
)
#: A policy is about who reads, which the connection settles once: it may ask for that.
_WHO_READS = {"SVFOP_CURRENT_USER", "SVFOP_CURRENT_ROLE", "SVFOP_SESSION_USER", "SVFOP_USER"}
_WORDS = re.compile(r"\b(current_\w+|localtime(?:stamp)?|session_user|system_user)\b", re.IGNORECASE)
#: What may make a moment from text, in PL/pgSQL that can't be read.
_UNCLEAR = re.compile(
    r"\bEXECUTE\b|(?:::\s*|\bCAST\s*\([^()]*(?:\([^()]*\)[^()]*)*\bAS\s+)(?:date|timetz|time|timestamptz|timestamp)\b",
    re.IGNORECASE,
)


class _Checker:
    """Follows what a query calls, through views and functions, each once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen: set[tuple[Any, ...]] = set()

    def check(
        self, sql: str, where: Callable[[int], str], depth: int = 0, *, of_policy: bool = False
    ) -> TextCasts:
        """Refuse a statement whose result depends on more than data; ``where`` names a place in it."""
        tree = parse(sql, where(0))
        system = _SYSTEM_COLUMNS - _made_of_others(tree)
        for kind, fields in walk(tree):
            column = name_parts(fields["fields"])[-1] if kind == "ColumnRef" else ""
            if column in system:
                raise refusal(f"the system column {column}", where(fields["location"]))
            if not (of_policy and fields.get("op") in _WHO_READS):
                self._check_node(kind, fields, sql, where)
        refuse_disorder(self._session, tree, where)
        types = moment_types(self._session, tree)
        self._check_moments(sql, tree, where, types, depth, of_policy=of_policy)
        self._check_casts(tree, where, depth)
        self._check_constants(tree, sql, where)
        self._check_calls(list(calls_of(tree)), where, depth, tree)
        names = {relation.name.parts for scope in scopes(tree) for relation in scope.relations}
        for name in sorted(names):
            self._check_view(name, where, depth)
            self._check_policies(name, where, depth)
        return TextCasts(types) if depth else find_text_casts(self._session, sql, tree, types, where)

    def _check_node(self, kind: str, fields: dict[str, Any], sql: str, where: Callable[[int], str]) -> None:
        if kind == "SQLValueFunction":
            text = re.match(r"\w+", sql[fields["location"] :])
            raise refusal(text.group() if text else "this", where(fields["location"]))
        if kind == "RangeTableSample":
            raise refusal("TABLESAMPLE", where(fields["location"]))

    def _check_moments(
        self,
        sql: str,
        tree: Any,
        where: Callable[[int], str],
        types: frozenset[str],
        depth: int,
        *,
        of_policy: bool,
    ) -> None:
        """Literals that are cast to moments, and text that becomes one where nothing can be guarded."""
        refuse_unguarded(tree, types, where)
        for kind, fields in walk(tree):
            target = cast_target(kind, fields)
            if target is None or target[0] not in types:
                continue
            for word, location in constants_with(target[1], parts=target[0] not in MOMENTS):
                raise refusal(f"the moment {word!r}", where(location))
        if depth > 0:
            for location, argument in casts_of_text(self._session, sql, tree, types):
                if not any(kind in {"ColumnRef", "ParamRef"} for kind, _ in walk(argument)):
                    what = "text that is put together, or comes in a variable, and is cast to a moment"
                    raise refusal(what, where(location))
                refuse_words(self._session, tree, argument, where(location), of_policy=of_policy)

    def _check_constants(self, tree: Any, sql: str, where: Callable[[int], str]) -> None:
        """Ask the server of which type it takes a constant like ``'today'`` that nothing casts."""
        cast = {
            fields["arg"]["A_Const"].get("location", 0)
            for kind, fields in walk(tree)
            if kind == "TypeCast" and "A_Const" in fields["arg"]
        }
        words = [each for each in constants_with(tree, lists=True) if each[1] not in cast]
        if not words:
            return
        replaced = sql
        for number, (_, location) in sorted(enumerate(words, start=1), key=lambda each: -each[1][1]):
            end = end_of_string(replaced, location)
            replaced = f"{replaced[:location]}${number}{replaced[end:]}"
        types = self._session.parameter_types(replaced)
        held = [True] * len(words) if types is None else hold_moments(self._session, types)
        for (word, location), moment in zip(words, held, strict=True):
            if moment:
                raise refusal(f"the constant {word!r}", where(location), cast=types is None)

    def _check_calls(
        self, calls: list[Called], where: Callable[[int], str], depth: int, tree: Any = ()
    ) -> None:
        if not calls:
            return
        functions = functions_of(self._session, calls)
        for call in calls:
            for function in functions:
                if not fits(function, call) or harmless(function):
                    continue
                if call.of_row and is_column(self._session, tree, call.location, call.name[-1]):
                    break
                place = where(call.location)
                for number, default in left_to_default(function, call):
                    # What a call leaves out is computed as it runs, by expressions of the function's owner.
                    inside = f"{place}, in what {function['schema']}.{function['name']} takes by default"
                    if self._enter(("default", function["oid"], number), place, depth):
                        self.check(f"SELECT {default}", lambda _: inside, depth + 1)  # noqa: B023
                if function["volatility"] != "v" and function["schema"] != "pg_catalog":
                    self._look_into(function, place, depth)
                else:
                    owned = function["signature"] if function["schema"] != "pg_catalog" else None
                    raise refusal(str(call), place, owned=owned)

    def _look_into(self, function: dict[str, Any], place: str, depth: int) -> None:
        """Check the body of a function in SQL or PL/pgSQL; of other languages its declaration counts."""
        if not self._enter(("function", function["oid"]), place, depth):
            return
        [row] = self._session.ask(
            "SELECT (SELECT substr(o, 13) FROM unnest(p.proconfig) o WHERE o LIKE 'search\\_path=%') AS path"
            f" FROM pg_proc p WHERE p.oid = {function['oid']}"
        )
        with _searching(self._session, row["path"]):
            self._look_inside(function, place, depth)

    def _look_inside(self, function: dict[str, Any], place: str, depth: int) -> None:
        """The same in the function's own search path, if it has one."""
        if function["language"] not in {"sql", "plpgsql"}:
            self._look_into_parts(function, place, depth)
            return
        [row] = self._session.ask(
            "SELECT COALESCE(pg_get_function_sqlbody(p.oid), p.prosrc) AS body FROM pg_proc p"
            f" WHERE p.oid = {function['oid']}"
        )
        inside = f"{place}, inside the function {function['schema']}.{function['name']}"
        if function["language"] == "sql":
            body = re.sub(r"(?is)^\s*(BEGIN\s+ATOMIC\b|RETURN\b)", "", row["body"])
            body = re.sub(r"(?is)\bEND\s*$", "", body) if body != row["body"] else body
            returned = re.match(r"(?is)^\s*RETURN\b", row["body"])
            self.check(f"SELECT {body}" if returned else body, lambda _: inside, depth + 1)
        elif (read := body_of(self._session, function["oid"])) is None:
            self._scan(row["body"], inside, depth + 1)
        else:
            for statement in statements_of(self._session, read, inside):
                self.check(statement, lambda _: inside, depth + 1)

    def _look_into_parts(self, aggregate: dict[str, Any], place: str, depth: int) -> None:
        """Check what an aggregate begins with, and its functions that are not Postgres' own."""
        values = self._session.ask(
            "SELECT v.value, format_type(v.kind, NULL) AS kind FROM pg_aggregate a, LATERAL (VALUES"
            " (a.agginitval, a.aggtranstype), (a.aggminitval, a.aggmtranstype)) v (value, kind)"
            f" WHERE a.aggfnoid = {aggregate['oid']} AND v.value IS NOT NULL"
        )
        inside = f"{place}, in what {aggregate['schema']}.{aggregate['name']} begins with"
        for row in values:  # text, which is read each time that it begins
            self.check(f"SELECT {quote_literal(row['value'])}::{row['kind']}", lambda _: inside, depth + 1)
        parts = self._session.ask(
            "SELECT p.oid::int8 AS oid, n.nspname::text AS schema, p.proname::text AS name,"
            " p.provolatile::text AS volatility, l.lanname::text AS language,"
            " p.oid::regprocedure::text AS signature FROM pg_aggregate a JOIN pg_proc p ON p.oid IN"
            " (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)"
            " JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang"
            f" WHERE a.aggfnoid = {aggregate['oid']} AND n.nspname <> 'pg_catalog' ORDER BY 1"
        )
        for part in parts:
            if part["volatility"] == "v":
                raise refusal(f"{part['name']}()", place, owned=part["signature"])
            self._look_into(part, place, depth + 1)

    def _scan(self, body: str, inside: str, depth: int) -> None:
        """PL/pgSQL that can't be read, by what looks like a call, a word of the clock or a moment in it."""
        plain = re.sub(r"--[^\n]*|/\*.*?\*/", " ", body, flags=re.DOTALL)
        code = re.sub(r"'(?:[^']|'')*'", "''", plain)
        for word in _WORDS.finditer(code):
            raise refusal(word.group(), inside)
        for text in re.findall(r"'((?:[^']|'')*)'", plain):
            if word_of(text):
                raise refusal(f"the constant {text!r}", inside)
        if unclear := _UNCLEAR.search(code):
            raise refusal(f"{unclear.group().strip()} in a function that can't be read", inside)
        calls = []
        for match in _CALL.finditer(code):
            parts = tuple(_folded(part) for part in match.groups() if part)
            calls.append(Called(parts, None, 0))
        self._check_calls(calls, lambda _: inside, depth)

    def _check_view(self, name: tuple[str, ...], where: Callable[[int], str], depth: int) -> None:
        quoted = quote_literal(".".join(map(quote_identifier, name)))
        rows = self._session.ask(
            "SELECT c.oid::int8 AS oid, c.oid::regclass::text AS name, pg_get_viewdef(c.oid) AS definition"
            f" FROM pg_class c WHERE c.relkind = 'v' AND c.oid = to_regclass({quoted})"
        )
        for row in rows:
            if self._enter(("view", row["oid"]), where(0), depth):
                inside = f"{where(0)}, inside the view {row['name']}"
                self.check(row["definition"], lambda _: inside, depth + 1)  # noqa: B023 - called at once

    def _check_policies(self, name: tuple[str, ...], where: Callable[[int], str], depth: int) -> None:
        """The conditions of row security that hold for this role; in a view, whoever it reads as."""
        quoted = quote_literal(".".join(map(quote_identifier, name)))
        rows = self._session.ask(
            "SELECT c.oid::int8 AS oid, c.oid::regclass::text AS relation, p.polname::text AS name,"
            " pg_get_expr(p.polqual, p.polrelid) AS condition FROM pg_policy p"
            f" JOIN pg_class c ON c.oid = p.polrelid WHERE c.oid = to_regclass({quoted})"
            " AND p.polcmd IN ('r', '*') AND p.polqual IS NOT NULL"
            f" AND (row_security_active(c.oid) OR {depth} > 0 AND c.relrowsecurity)"
            " AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) r"
            f" WHERE {depth} > 0 OR pg_has_role(r, 'USAGE'))) ORDER BY p.polname"
        )
        if rows and self._enter(("policy", rows[0]["oid"]), where(0), depth):
            for row in rows:
                inside = f"{where(0)}, inside the policy {row['name']} of {row['relation']}"
                condition = f"SELECT {row['condition']} FROM {row['relation']}"
                self.check(condition, lambda _: inside, depth + 1, of_policy=True)  # noqa: B023 - called at once

    def _check_casts(self, tree: Any, where: Callable[[int], str], depth: int) -> None:
        """Functions of user-defined casts: to the types that are named, and those that need no naming."""
        named = {
            name_parts(fields["typeName"]["names"])[-1]: fields.get("location", 0)
            for kind, fields in walk(tree)
            if kind == "TypeCast"
        }
        targets = ", ".join(map(quote_literal, named)) or "NULL"
        if named:
            self._check_domains(targets, where, depth)
        functions = self._session.ask(
            "SELECT p.oid::int8 AS oid, n.nspname::text AS schema, p.proname::text AS name,"
            " p.provolatile::text AS volatility, l.lanname::text AS language, t.typname::text AS target,"
            " p.oid::regprocedure::text AS signature FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc"
            " JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang"
            " JOIN pg_type t ON t.oid = c.casttarget WHERE n.nspname <> 'pg_catalog'"
            f" AND (c.castcontext = 'i' OR t.typname IN ({targets})) ORDER BY 1"
        )
        for function in functions:
            place = where(max(named.get(function["target"], 0), 0))
            if function["volatility"] != "v":
                self._look_into(function, place, depth)
            else:
                what = f"the cast to {function['target']} by {function['name']}()"
                raise refusal(what, place, owned=function["signature"])

    def _check_domains(self, targets: str, where: Callable[[int], str], depth: int) -> None:
        """What a domain's values are cast to on the way, and the conditions that they are held to."""
        rows = self._session.ask(
            "SELECT t.oid::int8 AS oid, t.oid::regtype::text AS name, pg_get_expr(c.conbin, 0) AS condition,"
            " format_type(t.typbasetype, t.typtypmod) AS base FROM pg_type t LEFT JOIN pg_constraint c ON"
            f" c.contypid = t.oid AND c.contype = 'c' WHERE t.typtype = 'd' AND t.typname IN ({targets})"
        )
        for row in rows:
            if self._enter(("domain", row["oid"], row["condition"]), where(0), depth):
                inside = f"{where(0)}, inside the domain {row['name']}"
                values = f"(SELECT NULL::{row['base']}) AS each(value)"  # in a condition it is called VALUE
                condition = f"SELECT {row['condition'] or 'true'} FROM {values}"
                self.check(condition, lambda _: inside, depth + 1)  # noqa: B023 - called at once

    def _enter(self, what: tuple[Any, ...], place: str, depth: int) -> bool:
        if depth >= _MAX_DEPTH:
            raise SpecError(
                f"views and functions are nested more than {_MAX_DEPTH} deep",
                where=place,
                expected="a query that can be checked",
                fix="select from the tables",
            )
        new = what not in self._seen
        self._seen.add(what)
        return new


def refuse_volatile(session: Session, query: Rendered) -> TextCasts:
    """Refuse a query whose result depends on the clock, the session or chance.

    Returns
    -------
    TextCasts
        The casts that read moments from text: the query runs with these guarded.

    Raises
    ------
    SpecError
        With the function, word or constant, where it stands, and what to write instead.
    SourceQueryError, SourceUnavailableError
        The catalogue can't be asked.
    """
    return _Checker(session).check(query.text, query.locate)


def _made_of_others(tree: Any) -> set[str]:
    """Names of system columns that a query gives to a value of its own: ``min(a) AS xmin``."""
    return {
        fields["name"]
        for kind, fields in walk(tree)
        if kind == "ResTarget"
        and fields.get("name") in _SYSTEM_COLUMNS
        and not any(
            inner == "ColumnRef" and name_parts(column["fields"])[-1] == fields["name"]
            for inner, column in walk(fields.get("val"))
        )
    }


@contextmanager
def _searching(session: Session, path: str | None) -> Iterator[None]:
    """Names are found by this search path, as a function's own has it; None: as they are."""
    if path is None:
        yield
        return
    [row] = session.ask("SELECT current_setting('search_path') AS own")
    session.ask(f"SELECT set_config('search_path', {quote_literal(path)}, true)")
    try:
        yield
    finally:
        with suppress(SourceError):  # of a transaction that an error has ended
            session.ask(f"SELECT set_config('search_path', {quote_literal(row['own'])}, true)")


def _folded(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
