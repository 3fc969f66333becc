"""Commands that the documentation shows are accepted by the command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.exceptions import TyperException

from tests.shared.command_line import PLACEHOLDERS, ROOT, accepted

CHECKOUT = Path(__file__).parents[2]
PAGES = [
    *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((CHECKOUT / "docs").rglob("*.md")),
]
_COMMANDS = "|".join(ROOT.commands)
#: A line of its own: within a block of code, or indented like one.
_LINE = re.compile(rf"^\s*(?:\$ )?(?:\.venv/bin/)?rescore ((?:{_COMMANDS})\b.*)$", re.MULTILINE)
_INLINE = re.compile(rf"`(?:\.venv/bin/)?rescore ((?:{_COMMANDS})\b[^`]*)`")


def words(written: str) -> list[str]:
    """The arguments of a command, without what a shell or a reader takes as a remark."""
    command = re.split(r"\s{2,}| \|\| | \| ", written)[0]
    return [PLACEHOLDERS.get(word, word) for word in shlex.split(command, comments=True)]


def lines() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in re.findall(r"^```\w*\n(.*?)^```|((?:^ {4}\S.*\n)+)", page.read_text(), re.M | re.S):
            for written in _LINE.findall("".join(block)):
                yield page.name, written


LINES = sorted(set(lines()))
INLINE = sorted({(page.name, written) for page in PAGES for written in _INLINE.findall(page.read_text())})


def test_the_commands_are_found() -> None:
    assert (
        "operations.md",
        'publish RUN --reason "the station is broken; the model does not use it"',
    ) in LINES
    assert len(LINES) > 30
    assert len(INLINE) > 30


@pytest.mark.parametrize(("page", "written"), LINES)
def test_every_command_that_is_to_be_typed_is_accepted(page: str, written: str) -> None:
    accepted(words(written))


@pytest.mark.parametrize(("page", "written"), INLINE)
def test_every_command_that_is_spoken_of_lacks_arguments_at_most(page: str, written: str) -> None:
    try:
        accepted(words(written))
    except TyperException as refused:
        assert re.search("Missing parameter|requires an argument", str(refused)), (
            f"{page}: rescore {written}: {refused}"
        )
