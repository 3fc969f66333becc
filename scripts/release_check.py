"""Check a release: build the wheel, install it in an empty environment, and run a small job with it there.

``make release-check``. The job runs away from the checkout, so that whatever the wheel lacks is missed.
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
    print("the release holds", flush=True)


if __name__ == "__main__":
    main()
