"""Put a table that a bench has measured into the page of the docs that shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["replace_table"]


def replace_table(page: Path, name: str, script: str, lines: Sequence[str]) -> None:
    """Replace what stands between ``<!-- name: bench/script -->`` and ``<!-- end name -->``.

    Parameters
    ----------
    page : Path
        A Markdown file that has the two marks once.
    name, script : str
        The table, and the file in ``bench/`` that measures it.
    lines : sequence of str
        The table's lines.

    Raises
    ------
    ValueError
        The page does not have the two marks exactly once.
    """
    begin, end = f"<!-- {name}: bench/{script} -->", f"<!-- end {name} -->"
    block = "\n".join([begin, *lines, end])
    marked = f"{re.escape(begin)}.*?{re.escape(end)}"
    text, hits = re.subn(marked, lambda _: block, page.read_text(encoding="utf-8"), flags=re.DOTALL)
    if hits != 1:
        raise ValueError(
            f"{page} has {hits} places for the table {name}; expected 1, between {begin} and {end}"
        )
    page.write_text(text, encoding="utf-8")
