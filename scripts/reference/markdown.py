"""Markdown from docstrings and values: cells, tables, code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

__all__ = ["cell", "code", "prose", "table"]


def prose(docstring: str | None) -> str:
    """A docstring's text up to its first section, in Markdown instead of reStructuredText."""
    text = re.split(r"\n\w[\w ]*\n-{3,}\n", inspect.cleandoc(docstring or ""))[0]
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?([\w]+)`", r"`\1`", text)
    return text.replace("``", "`").strip()


def code(text: object) -> str:
    """Something as it is typed."""
    return f"`{text}`"


def cell(text: str) -> str:
    """A text as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(text) for text in line) + " |" for line in lines)
