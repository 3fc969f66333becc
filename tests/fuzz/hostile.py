"""Texts that nobody means well; each has to become a value or an error of ours, as text that can be shown.

``make fuzz`` draws many (``FUZZ=2000``); the suite draws a few, the same ones each time.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from rescore.errors import RescoreError

__all__ = ["MARKUP", "Refusals", "fuzzed", "hostile_texts", "refusals", "unsafe_characters", "words"]

_MANY = os.environ.get("FUZZ")
#: How many draws a test makes, and which.
fuzzed = settings(
    deadline=None,
    max_examples=int(_MANY or 40),
    derandomize=_MANY is None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

#: Markup by which a page that does not escape is known.
MARKUP = "<hostile onhostile=alert(1)>"


def words(text: str) -> list[str]:
    """What stands between spaces."""
    return text.split(" ")


#: Controls, directions, halves of pairs, forms of one letter; then a language or a reader each.
_CHARACTERS = [*"\0\x07\x7f\x85\n\t\u2028\u202e\u2066\u200b\ufeff\ud800\udcff\uffff\U0001f600ﬁ𝟙İ١", "e\u0301"]
_TERMINALS = ["\x1b[31m", "\x1b]0;t\x07", "\r\n", "[red]x[/red]", "[/]"]
_TEMPLATES = words("% %s %(x)s %n %00 %2e%2e%2f {} {0.__class__} {{7*7}} {%raw%} ${HOME}")
_SHELL = words("' \" \\ `id` $(id) ;id |cat -rf --help -")
_SQL = ["'; DROP TABLE x; --", "''", '""', "--", "/*", "$$"]
_PATHS = words("../ ../../../etc/passwd /etc/passwd .. . ~ file:///etc/passwd a/b C:\\x NUL @file")
_MARKED_UP = [MARKUP, "&amp;", "]]>", "<!--", "javascript:alert(1)", "[x](y)", "|", "=1+1"]
_YAML = ["!!python/object:os.system", "&a *a", "<<", ": ", "#", "null", "no", "1e999", "="]
_SIZES = ["", " ", "\u00a0", "a" * 300, "ä" * 3_000, "9" * 400, "-1", "9223372036854775808", "0x10", "nan"]
_MOMENTS = words("2024-01-31 9999-12-31T23:59:59Z 0001-01-01 2024-02-30 2024-01-31T00:00:00+99:99")
_PIECES = [
    *(_CHARACTERS + _TERMINALS + _TEMPLATES + _SHELL + _SQL),
    *(_PATHS + _MARKED_UP + _YAML + _SIZES + _MOMENTS),
]

hostile_texts = st.one_of(
    st.sampled_from(_PIECES),
    st.lists(st.sampled_from(_PIECES), min_size=1, max_size=4).map("".join),
    st.text(st.characters(codec=None), max_size=30),
)


def unsafe_characters(text: str) -> set[str]:
    """Characters of a text by which a terminal or a reader is led astray: controls, directions, halves."""
    return {
        one
        for one in text
        if (unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} and one not in "\n\t")
        or one in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    }


class Refusals(list[RescoreError]):
    """The errors of ours that a block raised: one or none."""


@contextmanager
def refusals() -> Iterator[Refusals]:
    """Catch an error of ours, which says what, and can be shown; any other one is a finding."""
    caught = Refusals()
    try:
        yield caught
    except RescoreError as error:
        caught.append(error)
        said = str(error)
        assert len(said) > 10
        assert unsafe_characters(said) == set(), repr(said)
        assert len(said) < 20_000, f"{len(said)} characters"
