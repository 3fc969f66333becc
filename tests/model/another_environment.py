"""A package of another environment than today's: trained there, by the same library code.

The set-up needs a package index, to lock and install that environment; what is tested afterwards does
not. Only slow tests use it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from rescore.manifest import Manifest
from rescore.model.own_environment import find_uv

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
import pyarrow.parquet as pq
from rescore.drift import build_reference
from rescore.folder import load_model
from rescore.manifest import Lineage
from rescore.model import build_package, train_verified
home, snapshot, lock, models = map(Path, sys.argv[1:5])
folder = load_model(models, sys.argv[5])
fitted = train_verified(snapshot, folder, build_dir=home / "older build")
profile = b"{}"
if sys.argv[7] == "reference":
    profile = build_reference(pq.read_table(snapshot), folder.spec, fitted.out_of_fold, fitted.importance)
made = build_package(fitted, folder, version=sys.argv[6], reference_profile=profile, lineage=Lineage(),
                     destination=home / "older", lock=lock)
print(json.dumps([str(made.path), made.sha256, made.manifest.to_dict()]))
"""


def train_elsewhere(
    home: Path, snapshot: Path, models: Path, name: str, version: str = "1.0.0", *, reference: bool = True
) -> tuple[Path, str, Manifest]:
    """Train a model folder in an environment of :data:`OLDER`, with or without a reference for drift.

    Returns
    -------
    Path
        The package.
    str
        Its sha256.
    Manifest
        Its manifest.
    """
    uv = find_uv()
    assert uv is not None, "the slow tests lock with uv: pip install uv"
    wanted = [f"{name}=={OLDER[name]}" if name in OLDER else name for name in [*_NEEDED, *_LIBRARY]]
    (home / "wanted.in").write_text("\n".join(wanted) + "\n")
    lock, trainer = home / "older.txt", home / "trainer"
    _run(uv, "pip", "compile", "--quiet", "--generate-hashes", str(home / "wanted.in"), "-o", str(lock))
    _run(uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(trainer))
    python = str(trainer / "bin" / "python")
    _run(uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", str(lock))
    variables = {**os.environ, "PYTHONPATH": str(_INCLUDE)}
    paths = [str(path) for path in (home, snapshot, lock, models)]
    arguments = [*paths, name, version, "reference" if reference else "none"]
    path, sha256, manifest = json.loads(_run(python, "-c", _TRAIN, *arguments, env=variables))
    return Path(path), sha256, Manifest.from_dict(manifest)


def _run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout
