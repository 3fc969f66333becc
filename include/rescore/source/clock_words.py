"""The words that Postgres takes for a moment of the present, in constants and in text.

Pure text, no database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rescore.source.grammar import walk

__all__ = ["ANYWHERE", "constants_with", "end_of_string", "word_of"]

#: A regular expression, for Python and Postgres alike; no zone and no month has one of these in its name.
ANYWHERE = "(now|today|tomorrow|yesterday)"

_WORD = re.compile(rf"(?<![a-z_]){ANYWHERE}(?![a-z_])", re.IGNORECASE)
# What else can stand beside such a word in a moment: times, offsets, zones, and marks, which Postgres skips.
_BESIDE = re.compile(r"[\d\W_]*|[a-z/_]{1,20}", re.IGNORECASE)


def word_of(text: str) -> str | None:
    """The word in a constant that names the present, if the constant can be a moment."""
    words = _WORD.findall(text)
    if len(words) != 1 or len(text) > 60:
        return None
    rest = _WORD.sub(" ", text).split()
    return str(words[0]) if all(_BESIDE.fullmatch(part) for part in rest) else None


def constants_with(tree: Any, *, parts: bool = False, lists: bool = False) -> Iterator[tuple[str, int]]:
    """Constants that can be such a moment, and where.

    With ``parts`` also those that hold one among other values; with ``lists`` only where they look like an
    array, a range or a row.
    """
    for kind, fields in walk(tree):
        text = fields.get("sval", {}).get("sval", "") if kind == "A_Const" else ""
        listed = parts or (lists and text.lstrip()[:1] in {"{", "[", "("})
        if word_of(text) or (listed and _WORD.search(text)):
            yield text, fields["location"]


def end_of_string(sql: str, start: int) -> int:
    """Where the string constant that begins at ``start`` ends."""
    match = re.compile(
        r"(?:[eE]'(?:[^'\\]|\\.|'')*'|(?:[uU]&|[nN])?'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$)", re.DOTALL
    )
    found = match.match(sql, start)
    return found.end() if found else start
