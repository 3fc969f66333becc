"""Put an interval into a query: find ``:names``, refuse what would make a result irreproducible.

Pure text, no database. The only values are :data:`NAMES`; they are moments, rendered as typed
literals in UTC. What looks like a name inside a string, an identifier, a comment or a cast is left
alone.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from rescore.errors import SpecError
from rescore.interval import Interval

__all__ = ["NAMES", "Rendered", "quote_identifier", "relation_names", "render"]

#: What is substituted, and nothing else.
NAMES = ("interval_start", "interval_end", "as_of")

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>--[^\n]*)
  | (?P<block>/\*)
  | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*+')
  | (?P<string>(?:[uU]&|[bBxXnN])?'(?:[^']|'')*+')
  | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")*+")
  | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
  | (?P<parameter>\$\d+)
  | (?P<cast>::)
  | (?P<name>:[A-Za-z_][A-Za-z0-9_]*)
  | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
  | (?P<number>\d[\w.]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
# Each of these gives another result in a later run of the same query (law 1: no wall clock).
_VOLATILE_CALLS = {
    "clock_timestamp",
    "gen_random_uuid",
    "now",
    "random",
    "random_normal",
    "statement_timestamp",
    "timeofday",
    "transaction_timestamp",
    "uuidv4",
    "uuidv7",
}
_VOLATILE_WORDS = {
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "tablesample",
}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int


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

    def locate(self, position: int) -> str:
        """``FILE line L, column C`` of the character at ``position`` (0-based) of ``text``."""
        piece = bisect_right(self._starts, position) - 1
        literal = piece % 2 == 1  # pieces alternate: text as written, a literal for a name
        offset = 0 if literal else position - self._starts[piece]
        return _place(self.template, self._origins[piece] + offset, self.where)


def render(
    template: str, interval: Interval, as_of: datetime, *, where: str, volatile: bool = False
) -> Rendered:
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
    volatile : bool
        Whether wall-clock and random functions are allowed (a readiness query may ask the time).

    Raises
    ------
    SpecError
        Another name, another statement, more than one, an unclosed string or comment, or a function
        that gives another result in a later run.
    """
    tokens = _tokens(template, where)
    _require_one_select(tokens, template, where)
    if not volatile:
        _refuse_volatile(tokens, template, where)
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
            raise _unknown_name(name, _place(template, token.start, where))
        pieces += [template[cursor : token.start], values[name]]
        origins += [cursor, token.start]
        cursor = token.start + len(token.text)
    pieces.append(template[cursor:end])
    origins.append(cursor)
    starts = [0]
    for piece in pieces[:-1]:
        starts.append(starts[-1] + len(piece))
    return Rendered("".join(pieces), template, where, tuple(starts), tuple(origins))


def relation_names(query: str) -> list[tuple[int, int, tuple[str, ...]]]:
    """Names in a query that may be relations: ``schema.name``, and what follows FROM, JOIN or a comma.

    Returns
    -------
    list of (int, int, tuple of str)
        Start and end in the query, and the parts of the name as the catalogue has them.
    """
    tokens = _tokens(query, "the query")
    found: list[tuple[int, int, tuple[str, ...]]] = []
    for index, token in enumerate(tokens):
        before = tokens[index - 1].text.lower() if index else ""
        if token.kind not in {"word", "quoted"} or before == ".":
            continue
        after = [one.text for one in tokens[index + 1 : index + 2]]
        second = tokens[index + 2] if index + 2 < len(tokens) else None
        if after == ["."] and second is not None and second.kind in {"word", "quoted"}:
            end = second.start + len(second.text)
            found.append((token.start, end, (_folded(token.text), _folded(second.text))))
        elif before in {"from", "join", ","} and after != ["("]:
            found.append((token.start, token.start + len(token.text), (_folded(token.text),)))
    return found


def _folded(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def quote_identifier(name: str) -> str:
    """Quote a column name so that it is taken literally."""
    return '"' + name.replace('"', '""') + '"'


def _literal(moment: datetime) -> str:
    # Parentheses, so that it never grows together with a word beside it: ``BETWEEN:as_of``.
    return f"(TIMESTAMPTZ '{moment.astimezone(UTC).isoformat(sep=' ', timespec='microseconds')}')"


def _tokens(sql: str, where: str) -> list[_Token]:
    """All tokens but spaces and comments."""
    return [token for token in _scan(sql, where) if token.kind not in {"space", "comment", "block"}]


def _scan(sql: str, where: str) -> Iterator[_Token]:
    position = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        assert match is not None and match.lastgroup is not None  # noqa: S101 - 'other' takes anything
        kind, end = match.lastgroup, match.end()
        if kind == "block":
            end = _end_of_comment(sql, position, where)
        elif kind == "dollar":
            closing = sql.find(match.group(), end)
            if closing < 0:
                raise _unclosed(f"the string that {match.group()} opens", sql, position, where)
            end = closing + len(match.group())
        elif kind == "other" and match.group() in "'\"":
            thing = "the string" if match.group() == "'" else "the quoted identifier"
            raise _unclosed(f"{thing} that {match.group()} opens", sql, position, where)
        elif kind == "word" and match.group() in "eE" and sql[end : end + 1] == "'":
            raise _unclosed("the string that E' opens", sql, position, where)
        yield _Token(kind, sql[position:end], position)
        position = end


def _end_of_comment(sql: str, start: int, where: str) -> int:
    depth = 0
    for edge in _BLOCK_EDGE.finditer(sql, start):  # Postgres' comments nest
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise _unclosed("the comment that /* opens", sql, start, where)


def _require_one_select(tokens: list[_Token], sql: str, where: str) -> None:
    content = [token for token in tokens if token.text not in {"(", ")", ";"}]
    if not content or content[0].text.lower() not in {"select", "with"}:
        raise SpecError(
            f"the query starts with {content[0].text!r}" if content else "the query is empty",
            where=_place(sql, content[0].start, where) if content else where,
            expected="one SELECT, or WITH … SELECT",
            fix="write a single query that reads",
        )
    seen_end = False
    for token in tokens:
        if seen_end and token.text != ";":
            raise SpecError(
                "there is a second statement",
                where=_place(sql, token.start, where),
                expected="exactly one SELECT",
                fix="keep one; use WITH for steps",
            )
        if token.kind == "parameter":
            raise SpecError(
                f"{token.text} is a parameter that nothing fills",
                where=_place(sql, token.start, where),
                expected=f"only {', '.join(':' + name for name in NAMES)}",
                fix="write the value into the query",
            )
        seen_end = seen_end or token.text == ";"


def _end_of_statement(tokens: list[_Token], sql: str) -> int:
    return next((token.start for token in tokens if token.text == ";"), len(sql))


def _refuse_volatile(tokens: list[_Token], sql: str, where: str) -> None:
    texts = ["", "", *(token.text.lower() for token in tokens), ""]
    for index, token in enumerate(tokens, start=2):
        if token.kind not in {"word", "quoted"}:
            continue
        text, qualifier, before, after = texts[index].strip('"'), *texts[index - 2 : index], texts[index + 1]
        owned = before == "." and qualifier.strip('"') != "pg_catalog"  # somebody's own, or a column
        call = after == "(" and text in _VOLATILE_CALLS and not owned and before != "as"
        word = token.kind == "word" and text in _VOLATILE_WORDS and before not in {".", "as"}
        if call or word:
            raise SpecError(
                f"{token.text}{'()' if call else ''} gives another result in every run",
                where=_place(sql, token.start, where),
                expected="a result that depends on :interval_start, :interval_end and :as_of alone",
                fix="write :as_of or :interval_end for the time; leave chance to the training seed",
            )


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


def _unclosed(thing: str, sql: str, position: int, where: str) -> SpecError:
    return SpecError(
        f"{thing} is never closed", where=_place(sql, position, where), expected="its end", fix="close it"
    )


def _place(text: str, position: int, where: str) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return f"{where} line {line}, column {column}"
