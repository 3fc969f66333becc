"""A package of another environment than today's: trained there, by the same library code.

The set-up needs a package index, to lock and install that environment; what is tested afterwards does
not. Only slow tests use it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rescore.model.own_environment import _uv

#: Versions of last year's; the test checks that they are not those installed here.
OLDER = {"scikit-learn": "1.7.2", "numpy": "2.2.6"}
#: What a package needs anyway, and what the library needs to train one.
_NEEDED = [
    "joblib",
    "narwhals",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "skops",
    "threadpoolctl",
]
_LIBRARY = ["croniter", "pydantic", "pyyaml", "tzdata"]
_INCLUDE = Path(__file__).parents[2] / "include"

_TRAIN = """
import json, sys
from pathlib import Path
from rescore.folder import load_model
from rescore.model import build_package, train_verified
home, snapshot, lock = map(Path, sys.argv[1:4])
folder = load_model(home / "models", "parcel_delay")
fitted = train_verified(snapshot, folder, build_dir=home / "older build")
made = build_package(fitted, folder, version="1.0.0", reference_profile=b"{}", lineage={},
                     destination=home / "older", lock=lock)
print(json.dumps([str(made.path), made.sha256]))
"""


def train_elsewhere(home: Path, snapshot: Path) -> str:
    """Train the model folder in ``home`` in an environment of :data:`OLDER`; the JSON that it printed."""
    uv = _uv()
    assert uv is not None, "the slow tests lock with uv: pip install uv"
    wanted = [f"{name}=={OLDER[name]}" if name in OLDER else name for name in [*_NEEDED, *_LIBRARY]]
    (home / "wanted.in").write_text("\n".join(wanted) + "\n")
    lock, trainer = home / "older.txt", home / "trainer"
    _run(uv, "pip", "compile", "--quiet", "--generate-hashes", str(home / "wanted.in"), "-o", str(lock))
    _run(uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(trainer))
    python = str(trainer / "bin" / "python")
    _run(uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", str(lock))
    variables = {**os.environ, "PYTHONPATH": str(_INCLUDE)}
    return _run(python, "-c", _TRAIN, str(home), str(snapshot), str(lock), env=variables)


def _run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout
