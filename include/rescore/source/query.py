"""Put an interval into a query: find ``:names``, refuse another statement; put other relations into it.

Pure text, no database. The only values are :data:`NAMES`; they are moments, rendered as typed
literals in UTC. What looks like a name inside a string, an identifier, a comment or a cast is left
alone.
"""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rescore.errors import SpecError
from rescore.interval import Interval
from rescore.sha256 import bytes_sha256
from rescore.source.grammar import ColumnPath, Relation, RelationName, Scope, parse, scopes
from rescore.source.tokens import Token, place_in, tokens_of

__all__ = [
    "NAMES",
    "Rendered",
    "on_other_relations",
    "quote_identifier",
    "quote_literal",
    "relation_names",
    "render",
    "tables_of",
]

#: What is substituted, and nothing else.
NAMES = ("interval_start", "interval_end", "as_of")


@dataclass(frozen=True)
class Rendered:
    """A query ready to run, that still knows where in its file each part came from.

    Attributes
    ----------
    text : str
        The SQL.
    template : str
        What it was rendered from.
    where : str
        The file of the template.
    """

    text: str
    template: str
    where: str
    _starts: tuple[int, ...]
    _origins: tuple[int, ...]

    @property
    def sha256(self) -> str:
        """Of the SQL, values included, as runs record it."""
        return bytes_sha256(self.text.encode())

    def locate(self, position: int) -> str:
        """``FILE line L, column C`` of the character at ``position`` (0-based) of ``text``."""
        piece = bisect_right(self._starts, position) - 1
        literal = piece % 2 == 1  # pieces alternate: text as written, a literal for a name
        offset = 0 if literal else position - self._starts[piece]
        return place_in(self.template, self._origins[piece] + offset, self.where)


def render(template: str, interval: Interval, as_of: datetime, *, where: str) -> Rendered:
    """Replace the names in one SELECT statement by typed literals.

    Parameters
    ----------
    template : str
        One SELECT (or WITH … SELECT) with ``:interval_start``, ``:interval_end``, ``:as_of``.
    interval : Interval
        Its bounds are the first two values.
    as_of : datetime
        Aware; the third.
    where : str
        The file, for errors.

    Raises
    ------
    SpecError
        Another name, another statement, more than one, or an unclosed string or comment.
    """
    tokens = tokens_of(template, where)
    _require_one_select(tokens, template, where)
    values = {
        "interval_start": _literal(interval.start),
        "interval_end": _literal(interval.end),
        "as_of": _literal(as_of),
    }
    end = _end_of_statement(tokens, template)
    pieces: list[str] = []
    origins: list[int] = []
    cursor = 0
    for token in tokens:
        if token.kind != "name":
            continue
        name = token.text[1:]
        if name not in values:
            raise _unknown_name(name, place_in(template, token.start, where))
        pieces += [template[cursor : token.start], values[name]]
        origins += [cursor, token.start]
        cursor = token.start + len(token.text)
    pieces.append(template[cursor:end])
    origins.append(cursor)
    starts = [0]
    for piece in pieces[:-1]:
        starts.append(starts[-1] + len(piece))
    return Rendered("".join(pieces), template, where, tuple(starts), tuple(origins))


def on_other_relations(query: str, others: Mapping[RelationName, str]) -> str:
    """The query on other relations than those it names.

    Parameters
    ----------
    query : str
        One SELECT.
    others : mapping of RelationName to str
        What the query reads, and the temporary table to read instead.

    Returns
    -------
    str
        The query; a relation keeps the name by which the query's columns call it.
    """
    listed = tokens_of(query, "the query")
    index_at = {token.start: index for index, token in enumerate(listed)}

    def last_of(start: int, parts: Sequence[str]) -> int:
        return index_at[start] + 2 * (len(parts) - 1)  # a dot between two parts

    edits: dict[int, tuple[int, str]] = {}
    for scope in scopes(parse(query, "the query")):
        for relation in scope.relations:
            if (other := others.get(relation.name)) is None:
                continue
            called = "" if relation.alias else f" AS {quote_identifier(_called(relation, scope, others))}"
            first, last = index_at[relation.location], last_of(relation.location, relation.name.parts)
            first, last = _with_inheritance(listed, first, last)
            edits[listed[first].start] = (listed[last].end, f"pg_temp.{quote_identifier(other)}{called}")
        for column in scope.columns:
            named = _named_relation(column, scope)
            if named is not None and named[0].name in others:
                end = listed[last_of(column.location, column.parts[:-1])].end
                edits[column.location] = (end, quote_identifier(_called(*named, others)))
    for start, (end, text) in sorted(edits.items(), reverse=True):
        query = query[:start] + text + query[end:]
    return query


def _with_inheritance(listed: Sequence[Token], first: int, last: int) -> tuple[int, int]:
    """The first and last token of ``ONLY name``, ``ONLY (name)`` or ``name *``, given those of the name."""

    def text(index: int) -> str:
        return listed[index].text.lower() if 0 <= index < len(listed) else ""

    if text(first - 1) == "only":
        return first - 1, last
    if text(first - 1) == "(" and text(first - 2) == "only":
        return first - 2, last + 1
    return first, last + (text(last + 1) == "*")


def relation_names(query: str) -> list[RelationName]:
    """What a query's FROM clauses read, each once, in the parts that it gives."""
    named = [relation for scope in scopes(parse(query, "the query")) for relation in scope.relations]
    return list(dict.fromkeys(relation.name for relation in sorted(named, key=lambda each: each.location)))


def tables_of(template: str, *, where: str) -> frozenset[str]:
    """What a query with names of the interval reads: ``schema.relation``, ``public`` where it names none.

    Raises
    ------
    SpecError
        As for :func:`render`, or Postgres' grammar refuses it.
    """
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    query = render(template, Interval(moment, moment + timedelta(days=1)), moment, where=where).text
    parts = (("public", *name.parts)[-2:] for name in relation_names(query))
    return frozenset(".".join(one) for one in parts)


def _called(relation: Relation, scope: Scope, others: Mapping[RelationName, str]) -> str:
    """What columns call a relation without an alias: its last name, unless two beside it share that."""
    own = relation.name.parts[-1]
    same = [each for each in scope.relations if each.alias is None and each.name.parts[-1] == own]
    return own if len(same) == 1 else others[relation.name]


def _named_relation(column: ColumnPath, scope: Scope | None) -> tuple[Relation, Scope] | None:
    """The relation that ``schema.relation.column`` names, here or in a SELECT around."""
    while scope is not None and len(column.parts) > 2:
        for relation in scope.relations:
            if relation.alias is None and relation.name.parts == column.parts[:-1]:
                return relation, scope
        scope = scope.outer
    return None


def quote_identifier(name: str) -> str:
    """Quote a column name so that it is taken literally."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Quote a text as a string constant; sessions keep ``standard_conforming_strings`` on."""
    return "'" + text.replace("'", "''") + "'"


def _literal(moment: datetime) -> str:
    # Parentheses, so that it never grows together with a word beside it: ``BETWEEN:as_of``.
    return f"(TIMESTAMPTZ '{moment.astimezone(UTC).isoformat(sep=' ', timespec='microseconds')}')"


def _require_one_select(tokens: list[Token], sql: str, where: str) -> None:
    content = [token for token in tokens if token.text not in {"(", ")", ";"}]
    if not content or content[0].text.lower() not in {"select", "with"}:
        raise SpecError(
            f"the query starts with {content[0].text!r}" if content else "the query is empty",
            where=place_in(sql, content[0].start, where) if content else where,
            expected="one SELECT, or WITH … SELECT",
            fix="write a single query that reads",
        )
    seen_end = False
    for token in tokens:
        if seen_end and token.text != ";":
            raise SpecError(
                "there is a second statement",
                where=place_in(sql, token.start, where),
                expected="exactly one SELECT",
                fix="keep one; use WITH for steps",
            )
        if token.kind == "parameter":
            raise SpecError(
                f"{token.text} is a parameter that nothing fills",
                where=place_in(sql, token.start, where),
                expected=f"only {', '.join(':' + name for name in NAMES)}",
                fix="write the value into the query",
            )
        seen_end = seen_end or token.text == ";"


def _end_of_statement(tokens: list[Token], sql: str) -> int:
    return next((token.start for token in tokens if token.text == ";"), len(sql))


def _unknown_name(name: str, place: str) -> SpecError:
    close = difflib.get_close_matches(name, NAMES, n=1)
    guess = f"did you mean :{close[0]}? " if close else ""
    return SpecError(
        f":{name} is not a name that a query can use",
        where=place,
        expected=f"only {', '.join(':' + known for known in NAMES)}",
        fix=f"{guess}In an array slice write a space after the colon: a[1 : {name}]",
        data={"name": name},
    )
