"""Check a release: build the wheel, install it in an empty environment, run a small job and a demo with it.

``make release-check``. Both run away from the checkout, so that whatever the wheel lacks is missed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
UV = ROOT / ".venv" / "bin" / "uv"


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command in the caller's environment, without what points into the checkout."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL", "RESCORE"))
    }
    subprocess.run([str(part) for part in command], cwd=cwd, env=kept, check=True)


def demo(wheel: Path, empty: Path) -> None:
    """Run the demo as somebody does who has the wheel alone: by ``uvx``, in an empty folder."""
    empty.mkdir()
    print("a demo by uvx, from the wheel alone", flush=True)
    lock = ROOT / "requirements.txt"
    command = (UV, "tool", "run", "--python", sys.executable, "--constraints", lock)
    run(*command, "--from", f"{wheel}[demo]", "rescore", "demo", "house_price", cwd=empty)
    made = sorted(path.name for path in empty.iterdir())
    assert made == ["include", "var"], made


def main() -> None:
    """Build, install, run."""
    with TemporaryDirectory(prefix="rescore-release-") as scratch:
        folder = Path(scratch)
        run(
            UV,
            "build",
            "--quiet",
            "--wheel",
            "--no-build-isolation",
            "--python",
            sys.executable,
            "--out-dir",
            folder,
        )
        [wheel] = folder.glob("rescore-*.whl")
        print(f"built {wheel.name}, {wheel.stat().st_size:,} bytes", flush=True)
        python = folder / "environment" / "bin" / "python"
        run(UV, "venv", "--quiet", "--python", sys.executable, folder / "environment")
        lock = ROOT / "requirements.txt"
        wanted = f"rescore[local] @ {wheel.as_uri()}"
        run(UV, "pip", "install", "--quiet", "--python", python, "--constraints", lock, wanted)
        run(UV, "pip", "check", "--quiet", "--python", python)
        print("installed it in an empty environment", flush=True)
        (folder / "elsewhere").mkdir()
        run(python, "-I", ROOT / "scripts" / "smoke_job.py", ROOT / "tests", cwd=folder / "elsewhere")
        demo(wheel, folder / "an empty folder")
    print("the release holds", flush=True)


if __name__ == "__main__":
    main()
