"""What an earlier release kept still loads and gives its scores: ``tests/golden/vN/``, for ever.

To the last bit on the numeric environment stated there. On another processor a package refuses to
score, and says by how many doubles its golden rows differ; that distance has a bound here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rescore.errors import GoldenRowError
from rescore.manifest import Manifest
from rescore.model import Package, open_package
from rescore.model.environment import differences
from rescore.model.own_environment import own_environment
from rescore.sha256 import file_sha256

GOLDEN = Path(__file__).parents[1] / "golden"
FORMATS = sorted(path.name for path in GOLDEN.glob("v*"))
#: Doubles between the scores of two processors: under OPENBLAS_CORETYPE=Nehalem it was 2 at most,
#: under Haswell 3.
FAR_ULPS = 64

pytestmark = pytest.mark.parametrize("name", FORMATS)


def opened(name: str, home: Path, environments: Path | None = None) -> tuple[dict[str, Any], Package]:
    stated = json.loads((GOLDEN / name / "golden.json").read_text())
    package = open_package(
        GOLDEN / name / stated["package"],
        expected_sha256=stated["sha256"][stated["package"]],
        cache=home / "cache",
        environments=environments,
    )
    return stated, package


def reproduces(name: str, stated: dict[str, Any], package: Package) -> None:
    try:
        scores = package.predict(GOLDEN / name / "snapshot.parquet")
    except GoldenRowError as error:
        assert package.numeric_environment() != stated["numeric_environment"], error
        assert error.data["max_ulps"] <= FAR_ULPS
    else:
        assert scores.equals(pq.read_table(GOLDEN / name / "scores.parquet"))


def test_nothing_of_it_was_changed(name: str) -> None:
    stated = json.loads((GOLDEN / name / "golden.json").read_text())
    assert stated["format"] == int(name.removeprefix("v")) <= Manifest.FORMAT
    for file, sha256 in stated["sha256"].items():
        assert file_sha256(GOLDEN / name / file) == sha256, file


def test_it_gives_its_scores(name: str, tmp_path: Path) -> None:
    stated = json.loads((GOLDEN / name / "golden.json").read_text())
    if differences({**stated["numeric_environment"]["packages"]}):
        pytest.skip("made with other versions than are installed here: make test-slow builds them")
    reproduces(name, *opened(name, tmp_path))


@pytest.mark.slow
def test_it_gives_its_scores_in_an_environment_of_its_lock(name: str, tmp_path: Path) -> None:
    """Needs a package index, once, as an auditor's machine would."""
    stated, package = opened(name, tmp_path, tmp_path / "environments")
    if package.python is None:
        own = own_environment(package.manifest, package.data("requirements.txt"), tmp_path / "environments")
        own.build()
        package = replace(package, seal=own.check())
    reproduces(name, stated, package)


def test_the_current_format_is_kept(name: str) -> None:
    assert f"v{Manifest.FORMAT}" in FORMATS
