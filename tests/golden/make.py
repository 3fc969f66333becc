"""Make ``tests/golden/vN/`` for the current package format: a snapshot, a package, its scores.

    PYTHONPATH=.:include python tests/golden/make.py tests/golden/v1

Run once for each format, and never again for that one: what lies there has to load and to give these
scores for ever. It refuses a folder that exists.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from rescore.manifest import Lineage, Manifest
from rescore.model import build_package, open_package, train_verified
from rescore.sha256 import file_sha256
from tests.model.parcels import table, write_folder
from tests.model.zoo import BESIDE, OWN, SHARED

ROOT = Path(__file__).parents[2]


def main(destination: Path) -> None:
    """Write the folder."""
    destination.mkdir()
    snapshot = destination / "snapshot.parquet"
    pq.write_table(table(400, 42), snapshot)
    with TemporaryDirectory() as scratch:
        home = Path(scratch)
        folder = write_folder(home, pipeline=OWN, shared=SHARED, files=BESIDE)
        fitted = train_verified(snapshot, folder, build_dir=home / "build")
        made = build_package(
            fitted,
            folder,
            version="1.0.0",
            reference_profile=b"{}",
            lineage=Lineage(snapshot=file_sha256(snapshot)),
            destination=destination,
            lock=ROOT / "requirements.txt",
        )
        package = open_package(made.path, expected_sha256=made.sha256, cache=home / "cache")
        scores = package.predict(snapshot)
        pq.write_table(scores, destination / "scores.parquet")
        stated = {
            "format": Manifest.FORMAT,
            "package": made.path.name,
            "sha256": {path.name: file_sha256(path) for path in sorted(destination.iterdir())},
            "numeric_environment": package.numeric_environment(),
        }
    (destination / "golden.json").write_text(json.dumps(stated, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
