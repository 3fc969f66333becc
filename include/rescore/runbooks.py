"""Where the documentation says what to do about an alarm, an event or a verdict."""

from __future__ import annotations

__all__ = ["runbook"]

_PAGE = "docs/guides/runbooks.md"
#: Words that have no section of their own.
_SAME = {"verdict": "drifted", "broken": "folder", "worse": "performance", "unjudged": "performance"}


def runbook(word: str) -> str:
    """The section about a kind of alarm, an event, a verdict or a state: page and anchor."""
    return f"{_PAGE}#{_SAME.get(word, word)}"
