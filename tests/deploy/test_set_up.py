"""``scripts/set-up.sh``: which environment counts as made, up to the point where it would install."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
#: Answers as this Python, and makes no environment.
PYTHON = f"""#!/bin/sh
[ "$1 $2" != "-m venv" ] || exit 1
exec {shlex.quote(sys.executable)} "$@"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in a folder with a space, with an environment that was made there."""
    made = tmp_path / "a checkout"
    (made / "scripts").mkdir(parents=True)
    shutil.copy(CHECKOUT / "scripts" / "set-up.sh", made / "scripts")
    for name in ("requirements.txt", "pyproject.toml"):
        (made / name).write_text("")
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    venv = made / ".venv"
    (venv / "bin").mkdir(parents=True)
    shutil.copy(python, venv / "bin" / "python")
    (venv / "pyvenv.cfg").write_text(f"command = {sys.executable} -m venv {venv}\n")
    for name in ("pip", "uv"):
        program = venv / "bin" / name
        program.write_text("#!/bin/sh\necho uv 0.13.9\n")
        program.chmod(0o755)
    first = set_up(made)
    assert first.returncode == 0, first.stderr
    assert "making .venv" in first.stdout
    return made


def set_up(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "scripts/set-up.sh"],
        cwd=checkout,
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(checkout.parents[0] / "python")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_environment_that_was_made_here_is_left_alone(checkout: Path) -> None:
    again = set_up(checkout)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


@pytest.mark.parametrize("how", ["copied", "moved"])
def test_an_environment_that_came_with_its_checkout_is_made_anew(checkout: Path, how: str) -> None:
    """Its programs and its editable install are those of the checkout that it was made in."""
    other = checkout.with_name("another")
    if how == "copied":
        shutil.copytree(checkout, other, symlinks=True)
    else:
        checkout.rename(other)
    done = set_up(other)
    assert "making .venv" in done.stdout
    assert "python -m venv failed" in done.stderr
    assert not (other / ".venv").exists()
