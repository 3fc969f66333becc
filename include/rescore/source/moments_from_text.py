"""Where a query reads a moment from text; what keeps the words of the clock out of that text.

Postgres takes ``now``, ``today``, ``tomorrow`` and ``yesterday`` for moments wherever text becomes one. A
literal shows that before the query runs; text that is put together (``'n' || 'ow'``) or stands in a column
does not. Which casts read text is asked of the server; a query runs with these *guarded*: where such a word
is met, the cast fails and names it. A function of JSON or XML that makes moments from text can't be guarded:
it is refused, with the cast to write instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rescore.errors import SpecError
from rescore.source.clock_words import ANYWHERE
from rescore.source.grammar import name_parts, parse, walk
from rescore.source.query import quote_literal
from rescore.source.session import Session
from rescore.source.tokens import Token, tokens_of

__all__ = [
    "MOMENTS",
    "TextCasts",
    "cast_target",
    "casts_of_text",
    "find_text_casts",
    "hold_moments",
    "moment_types",
    "refuse_unguarded",
]

#: Types that are a moment, a day or a time of day, by the names that a cast gives.
MOMENTS = frozenset({"abstime", "date", "time", "timestamp", "timestamptz", "timetz"})

_PLAIN = frozenset(
    {
        "bool",
        "bpchar",
        "bytea",
        "char",
        "float4",
        "float8",
        "int2",
        "int4",
        "int8",
        "interval",
        "json",
        "jsonb",
    }
    | {"name", "numeric", "oid", "regclass", "text", "uuid", "varchar", "xml"}
)
_OPENING = {")": "(", "]": "["}
_POPULATE = {f"json{binary}_populate_record{many}" for binary in ("", "b") for many in ("", "set")}
_REPLACE = "pg_catalog.regexp_replace("
# The replacement is no moment in any format, so that the cast says what it met.
_REPLACED = f", {quote_literal(ANYWHERE)}, '<\\1 depends on the clock>', 'gi')"


@dataclass(frozen=True)
class TextCasts:
    """The casts of a query that read moments from text.

    Attributes
    ----------
    types : frozenset of str
        The types that hold moments, among those that the query names.
    numbers : tuple of int
        Which of the query's casts to these types, outer ones first, 0-based. They are the same for every
        interval.
    """

    types: frozenset[str] = MOMENTS
    numbers: tuple[int, ...] = ()

    def guard(self, sql: str) -> str:
        """The query in which these casts fail on a word of the clock; what it gives is the same.

        Raises
        ------
        SpecError
            A cast is written in a way that can't be followed.
        """
        if not self.numbers:
            return sql
        tree = parse(sql, "the query")
        casts = [cast for number, cast in enumerate(_casts(tree, self.types)) if number in self.numbers]
        guarded = _edited(sql, casts)
        if _shape(parse(guarded, "the query")) != _shape(tree):
            raise SpecError(
                "a cast of text to a moment can't be followed",
                where="the query",
                expected="CAST(text AS type), or (text)::type",
                fix="put what is cast into parentheses",
            )
        return guarded


def find_text_casts(
    session: Session, sql: str, tree: Any, types: frozenset[str], where: Callable[[int], str]
) -> TextCasts:
    """Ask the server which casts to moments read text: a function of text takes their argument.

    Raises
    ------
    SpecError
        An array of text is cast to moments, which can't be guarded.
    """
    numbers = []
    for number, cast in enumerate(_casts(tree, types)):
        if _is_moment(cast.argument, types):
            continue
        if session.parameter_types(_edited(sql, [cast])) is not None:
            numbers.append(number)
        elif cast.of_many and session.parameter_types(_edited(sql, [cast], "(", " || ''::text)")) is not None:
            raise SpecError(
                "an array of text is cast to moments: a word of the clock in it would pass unseen",
                where=where(cast.location),
                expected="each text cast by itself",
                fix="write ARRAY(SELECT each::timestamptz FROM unnest(texts) each)",
            )
    return TextCasts(types, tuple(numbers))


def casts_of_text(session: Session, sql: str, tree: Any, types: frozenset[str]) -> Iterator[tuple[int, Any]]:
    """Where text becomes a moment in a view or a function of SQL, which can't be guarded, and what text."""
    for cast in _casts(tree, types):
        if not _is_moment(cast.argument, types) and session.parameter_types(_edited(sql, [cast])) is not None:
            yield cast.location, cast.argument


def moment_types(session: Session, tree: Any) -> frozenset[str]:
    """The types that a query names and that hold a moment: also in a range, an array, a domain, a row."""
    named = {name_parts(names)[-1] for _, fields in walk(tree) if (names := _type_named(fields)) is not None}
    unknown = sorted(named - MOMENTS - _PLAIN)
    if not unknown:
        return MOMENTS
    rows = session.ask(
        "WITH RECURSIVE part(name, oid) AS (SELECT typname::text, oid FROM pg_type"  # noqa: S608 - quoted
        f" WHERE typname IN ({', '.join(map(quote_literal, unknown))})"
        " UNION SELECT part.name, below.oid FROM part, LATERAL ("
        "SELECT unnest(ARRAY[t.typelem, t.typbasetype]) AS oid FROM pg_type t WHERE t.oid = part.oid"
        " UNION ALL SELECT r.rngsubtype FROM pg_range r"
        " WHERE part.oid IN (r.rngtypid, r.rngmultitypid)"
        " UNION ALL SELECT a.atttypid FROM pg_attribute a JOIN pg_type t ON t.typrelid = a.attrelid"
        " WHERE t.oid = part.oid AND a.attnum > 0 AND NOT a.attisdropped) below WHERE below.oid <> 0)"
        " SELECT DISTINCT part.name FROM part JOIN pg_type t USING (oid) WHERE t.typname IN"
        f" ({', '.join(map(quote_literal, sorted(MOMENTS)))}) AND t.typnamespace = 'pg_catalog'::regnamespace"
    )
    return MOMENTS | {str(row["name"]) for row in rows}


def hold_moments(session: Session, types: Sequence[str]) -> list[bool]:
    """Whether each type, as the catalogue writes it, is a moment or holds one."""
    tree = parse(f"SELECT {', '.join(f'NULL::{name}' for name in types)}", "types of constants")
    holding = moment_types(session, tree)
    return [
        name_parts(fields["typeName"]["names"])[-1] in holding
        for kind, fields in walk(tree)
        if kind == "TypeCast"
    ]


def refuse_unguarded(tree: Any, types: frozenset[str], where: Callable[[int], str]) -> None:
    """Refuse what makes moments from text without a cast: JSON, XML, and rows cast to a type of rows.

    Raises
    ------
    SpecError
        With what to write instead.
    """
    for kind, fields in walk(tree):
        if (what := _unguarded(kind, fields, types)) is not None:
            raise SpecError(
                f"{what} makes moments from text: a word of the clock in it (now, today) would pass unseen",
                where=where(fields["location"]),
                expected="moments from text by a cast of each, which is checked as the query runs",
                fix="take the value as text, and cast it in the SELECT: (the text)::timestamptz",
            )


def cast_target(kind: str, fields: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The type that a cast names, and what it casts; a call of a type's name with one argument is one."""
    if kind == "TypeCast":
        return name_parts(fields["typeName"]["names"])[-1], fields["arg"]
    if kind == "FuncCall" and len(fields.get("args", ())) == 1:
        return name_parts(fields["funcname"])[-1], fields["args"][0]
    return None


@dataclass(frozen=True)
class _Cast:
    """A cast to a type that holds moments: where its token or its name stands, and what it casts."""

    location: int
    argument: Any
    call: bool
    of_many: bool


def _casts(tree: Any, types: frozenset[str]) -> list[_Cast]:
    """The casts to moments of anything but a literal, outer ones first."""
    found = []
    for kind, fields in walk(tree):
        target = cast_target(kind, fields)
        if target is None or target[0] not in types or "A_Const" in target[1]:
            continue
        bounds = kind == "TypeCast" and "arrayBounds" in fields["typeName"]
        of_many = bounds or target[0] not in MOMENTS
        found.append(_Cast(fields["location"], target[1], kind == "FuncCall", of_many))
    return found


def _is_moment(argument: Any, types: frozenset[str]) -> bool:
    """Whether a cast's argument is itself cast to a moment, as the names of a query are."""
    [(kind, fields)] = argument.items()
    return kind == "TypeCast" and name_parts(fields["typeName"]["names"])[-1] in types


def _type_named(fields: Mapping[str, Any]) -> Any:
    """The name of the type that a node has, a function of JSON after RETURNING."""
    given = fields.get("typeName") or (fields["output"].get("typeName", {}) if "output" in fields else {})
    return given.get("names")


def _unguarded(kind: str, fields: Mapping[str, Any], types: frozenset[str]) -> str | None:
    named = _type_named(fields)
    holds = named is not None and name_parts(named)[-1] in types
    if kind == "ColumnDef" and holds:
        return f"the column {fields['colname']} of a record"
    if kind == "RangeTableFuncCol" and holds:
        return f"the column {fields['colname']} of XMLTABLE"
    if holds and (kind == "JsonTableColumn" or "output" in fields):
        return "a function of JSON"
    if kind == "TypeCast" and holds and "RowExpr" in fields["arg"]:
        return "a row that is cast"
    if kind == "FuncCall" and name_parts(fields["funcname"])[-1] in _POPULATE:
        target = cast_target(*next(iter(fields["args"][0].items()))) if fields.get("args") else None
        if target is None or target[0] in types:
            return f"{name_parts(fields['funcname'])[-1]}()"
    return None


def _edited(sql: str, casts: Sequence[_Cast], before: str = _REPLACE, after: str = _REPLACED) -> str:
    """The query with text before and after what these casts take."""
    listed = tokens_of(sql, "the query")
    edits = []
    for number, cast in enumerate(casts):
        start, end = _span(listed, cast)
        edits += [(start, number, before), (end, number, after)]
    for position, _, text in sorted(edits, key=lambda edit: (-edit[0], -edit[1])):
        sql = sql[:position] + text + sql[position:]
    return sql


def _span(listed: Sequence[Token], cast: _Cast) -> tuple[int, int]:
    """From where to where the argument of a cast stands."""
    at = next(index for index, token in enumerate(listed) if token.start >= cast.location)
    if listed[at].kind != "cast":  # CAST(argument AS type), or type(argument)
        opening = next(index for index in range(at, len(listed)) if listed[index].text == "(")
        depth, index = 1, opening
        while depth > 0:
            index += 1
            depth += (listed[index].text in "([") - (listed[index].text in ")]")
            if depth == 1 and not cast.call and listed[index].text.lower() == "as":
                break
        return listed[opening + 1].start, listed[index - 1].end
    first = _leftmost(cast.argument)
    begin = next((index for index in range(at) if listed[index].start >= first), at - 1) if first else at - 1
    open_brackets = 0
    index = at
    while index > 0 and (index > begin or open_brackets):
        index -= 1
        open_brackets += (listed[index].text in _OPENING) - (listed[index].text in _OPENING.values())
    return listed[index].start, listed[at - 1].end


def _leftmost(argument: Any) -> int:
    """Where the first node of an expression that knows its place begins; 0 if none does."""
    places = [fields["location"] for _, fields in walk(argument) if fields["location"] > 0]
    return min(places, default=0)


def _shape(tree: Any) -> list[tuple[Any, ...]]:
    """Every node of a statement without its place, as if nothing were guarded; equal only for equal trees."""
    found: list[tuple[Any, ...]] = []
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif not isinstance(item, dict):
            found.append((item,))
        elif "FuncCall" in item and _is_guard(item["FuncCall"]):
            waiting.append(item["FuncCall"]["args"][0])
        else:
            own: list[tuple[str, Any]] = []
            for name, value in item.items():
                if isinstance(value, list | dict):
                    own.append((name, len(value) if isinstance(value, list) else None))
                    waiting.append(value)
                elif not name.endswith(("location", "_start", "_end", "_len")):  # what says a place
                    own.append((name, value))
            found.append(tuple(own))
    return found


def _is_guard(fields: Mapping[str, Any]) -> bool:
    arguments = fields.get("args", [])
    return (
        name_parts(fields["funcname"]) == ("pg_catalog", "regexp_replace")
        and len(arguments) == 4
        and arguments[1].get("A_Const", {}).get("sval", {}).get("sval") == ANYWHERE
    )
