"""The tokens of a query, as Postgres' own scanner splits it: what is a string, a comment, a name.

Pure text, no database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rescore.errors import SpecError

__all__ = ["Token", "place_in", "require_characters", "tokens_of"]

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
_NO_CHARACTER = re.compile("[\0\ud800-\udfff]")
_BLOCK_EDGE = re.compile(r"/\*|\*/")


@dataclass(frozen=True)
class Token:
    """A piece of a query: its kind, its text, and where it begins, in characters."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where what follows it begins."""
        return self.start + len(self.text)


def tokens_of(sql: str, where: str) -> list[Token]:
    """All tokens but spaces and comments.

    Raises
    ------
    SpecError
        A string, a quoted identifier or a comment is never closed, or a character is none of Postgres'
        text; with the place in ``where``.
    """
    require_characters(sql, where)
    return [token for token in _scan(sql, where) if token.kind not in {"space", "comment", "block"}]


def require_characters(sql: str, where: str) -> None:
    """Refuse a query with characters that Postgres' text has not: its grammar would end at a zero.

    Raises
    ------
    SpecError
        It holds a zero character, or half a pair of UTF-16.
    """
    if found := _NO_CHARACTER.search(sql):
        raise SpecError(
            f"the query holds the character {found[0]!r}",
            where=place_in(sql, found.start(), where),
            expected="characters that Postgres' text can hold",
            fix="remove it; an editor may not show it",
        )


def _scan(sql: str, where: str) -> Iterator[Token]:
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
        yield Token(kind, sql[position:end], position)
        position = end


def _end_of_comment(sql: str, start: int, where: str) -> int:
    depth = 0
    for edge in _BLOCK_EDGE.finditer(sql, start):  # Postgres' comments nest
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise _unclosed("the comment that /* opens", sql, start, where)


def _unclosed(thing: str, sql: str, position: int, where: str) -> SpecError:
    return SpecError(
        f"{thing} is never closed", where=place_in(sql, position, where), expected="its end", fix="close it"
    )


def place_in(text: str, position: int, where: str) -> str:
    """``FILE line L, column C`` of the character at ``position`` (0-based)."""
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return f"{where} line {line}, column {column}"
