"""What the documentation says is to be typed, and what runs it here: on a harbour, not on flights."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rescore.cli import main
from rescore.local import SINGLE_THREADED, postgres_binaries
from tests.shared.harbour import Harbour

__all__ = ["CHECKOUT", "Command", "command_of", "environment", "shell", "typed"]

CHECKOUT = Path(__file__).parents[2]
#: What a line that a shell is to run begins with, perhaps after a variable.
_PROGRAMS = (
    "createdb|export|helm|make|openssl|pg_dump|pg_dumpall|pg_restore|pip|psql|python3?|rescore|rsync|sed|uvx"
)
_TYPED = re.compile(rf"(?:[A-Z_]+=\S+ )?(?:\.venv/bin/)?(?:{_PROGRAMS})\b(?! *=)")

#: Runs a command line of Rescore in this process; gives what it printed.
Command = Callable[..., str]


def typed(page: str) -> list[str]:
    """The lines of a page's blocks that are for a shell, in order, without remarks."""
    text = (CHECKOUT / page).read_text()
    fenced = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    without = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks = [block for language, block in fenced if language in {"", "sh", "text"}]
    blocks += re.findall(r"(?:^ {4}\S.*\n|^ {6}\S.*\n)+", without, re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [re.split(r"\s+# ", line)[0].strip() for line in lines if _TYPED.match(line)]


def environment(harbour: Harbour, models: Path) -> dict[str, str]:
    """The settings of the harbour, as an administrator would export them."""
    settings = harbour.ctx.settings
    return {
        "RESCORE_HOME": str(settings.home),
        "RESCORE_MODELS": str(models),
        "RESCORE_ARCHIVE": str(settings.archive),
        "RESCORE_ANCHORS": str(settings.home / "anchors"),
        "RESCORE_DATABASE_URL": str(settings.database_url),
        "RESCORE_RELEASE_URL": str(settings.release_url),
        "RESCORE_OWNER_URL": str(settings.owner_url),
        "RESCORE_CONNECTION_HARBOUR": settings.connection_url("harbour"),
    }


def command_of(capsys: pytest.CaptureFixture[str], done: list[list[str]]) -> Command:
    """What runs a command line, notes it in ``done``, and expects an exit code (None: any)."""

    def command(*arguments: str, code: int | None = 0) -> str:
        done.append([*arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        said = capsys.readouterr()
        given = ended.value.code or 0
        assert code in {given, None}, f"rescore {shlex.join(arguments)}: {given}\n{said.out}{said.err}"
        return said.out

    return command


def shell(line: str, folder: Path, given: dict[str, str]) -> None:
    """Run a line as it stands in a shell that has the environment's programs and Postgres'."""
    if line.startswith("rsync") and shutil.which("rsync") is None:
        archive = line.replace("$RESCORE_ARCHIVE", given["RESCORE_ARCHIVE"])
        *_, source, target = shlex.split(archive)
        shutil.copytree(folder / source, folder / target)
        return
    path = [str(Path(sys.executable).parent), str(postgres_binaries()), os.environ["PATH"]]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        env={**SINGLE_THREADED, **given, "HOME": str(folder), "PATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
