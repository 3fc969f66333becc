"""Text as it is shown in a terminal, a log or a page: what anybody may have written; counts and nouns."""

from __future__ import annotations

import re

__all__ = ["number_of", "shown"]

#: Characters by which a terminal, a log or a reader is led astray: controls but for tabs and ends of lines,
#: separators of lines and paragraphs, changes of direction, halves of a pair.
_UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

#: Characters that are shown of one part of an error.
_LONGEST_PART = 4_000


def shown(text: str) -> str:
    """Text of any origin as it can be shown: unsafe characters escaped, the middle of a long one left out."""
    if len(text) > _LONGEST_PART:
        half = _LONGEST_PART // 2
        text = f"{text[:half]} … {len(text) - 2 * half:,} characters left out … {text[-half:]}"
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def number_of(count: float, one: str, many: str | None = None) -> str:
    """A count with what is counted: ``1 row``, ``2,000 rows``; ``many`` where an *s* does not make it."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
