"""The tutorial, word for word: its commands are run as they stand, and print what stands below them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rescore.local import SINGLE_THREADED, postgres_binaries

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"


def unspaced(text: str) -> str:
    """A text without the room that a table gives its columns, and without the space at ends of lines."""
    return "\n".join(re.sub(r" +", " ", line).strip() for line in text.splitlines())


def shown(printed: str, wanted: str) -> bool:
    """Whether a line of the page was printed; ``…`` stands for what differs from machine to machine."""
    return re.search(re.escape(unspaced(wanted)).replace("…", ".*"), unspaced(printed)) is not None


def steps_of(page: Path) -> list[tuple[str, str]]:
    """Blocks of commands, each with what the page says it prints."""
    return re.findall(r"```sh\n(.*?)```\n(?:\n```text\n(.*?)```)?", page.read_text(), re.DOTALL)


STEPS = steps_of(PAGE)


def run_page(steps: list[tuple[str, str]], folder: Path, given: dict[str, str]) -> None:
    """Run each block in a folder and look for each line that the page shows below it."""
    path = [str(Path(sys.executable).parent), str(postgres_binaries()), os.environ["PATH"]]
    environment = {**os.environ, **SINGLE_THREADED, **given, "PATH": os.pathsep.join(path)}
    for commands, wanted in steps:
        script = ["bash", "-euo", "pipefail", "-c", commands]
        done = subprocess.run(
            script,
            cwd=folder,
            env=environment,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        missing = [line for line in wanted.splitlines() if not shown(done.stdout, line)]
        assert missing == [], f"{commands}\n{done.stdout}"


@pytest.mark.slow
def test_every_command_prints_what_the_page_says(owned_database: str, tmp_path: Path) -> None:
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    given = {"RESCORE_DATABASE_URL": owned_database, "RESCORE_CONNECTION_SHOP": owned_database}
    run_page(STEPS, folder, given | {"PGTZ": "UTC"})


def test_no_command_stands_outside_of_what_is_run() -> None:
    """Except setting up a checkout and naming one's database, which every reader does otherwise."""
    left = re.sub(r"```(?:sh|text)\n.*?```", "", PAGE.read_text(), flags=re.DOTALL)
    blocks = re.findall(r"```\n(.*?)```", left, re.DOTALL)
    assert [line.split()[0] for block in blocks for line in block.splitlines()] == [
        "make",
        ".",
        "export",
        "export",
        "export",
        "export",
        "rescore",
    ]
    assert len(STEPS) == 11


def test_a_line_that_was_not_printed_is_missed() -> None:
    assert shown("a   | 12\nb |  3", "a | 1…")
    assert not shown("a   | 12\nb |  3", "a | 2…")
