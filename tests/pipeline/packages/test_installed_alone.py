"""A package by itself: installed into an empty environment, it gives the published bits."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from rescore import pipeline

MODEL = "tides"
UV = Path(sysconfig.get_path("scripts")) / "uv"

# What a person who has the wheel alone would type.
ASK = """
import importlib.util, json, sys
import numpy, pyarrow.parquet
import tides
frame = pyarrow.parquet.read_table(sys.argv[1]).to_pandas()
scores = tides.predict(frame)["score"].to_numpy()
absent = [name for name in ("rescore", "rescore_airflow", "airflow", "sqlalchemy", "great_expectations")
          if importlib.util.find_spec(name) is None]
print(json.dumps({"bits": scores.view(numpy.int64).tolist(), "absent": absent, "version": tides.__version__}))
"""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment that holds nothing."""
    home = tmp_path_factory.mktemp("alone") / "venv"
    subprocess.run(
        [UV, "venv", "--quiet", "--offline", "--python", sys.executable, home], check=True, timeout=120
    )
    return home / "bin" / "python"


@pytest.mark.slow
def test_a_package_installed_alone_gives_the_published_scores(harbour, empty, tmp_path):
    done = pipeline.score_interval(harbour.ctx, MODEL, harbour.day(31))
    wheel = harbour.ctx.archive.get_package(done.package_sha256)
    # The libraries come from the cache that made this environment; no test asks an index.
    installed = subprocess.run(
        [UV, "pip", "install", "--quiet", "--offline", "--python", empty, wheel],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "cache" in installed.stderr and installed.returncode:
        pytest.skip(f"uv's cache does not hold the package's libraries: {installed.stderr.strip()[:200]}")
    assert installed.returncode == 0, installed.stderr

    run = harbour.ctx.store.runs.get(done.run_id)
    rows = harbour.ctx.archive.get_input(run.input_digest)
    answer = json.loads(_output([empty, "-I", "-c", ASK, rows], tmp_path))
    published = harbour.ctx.store.scores.of_run(run)["score"].to_numpy()
    assert answer["absent"] == ["rescore", "rescore_airflow", "airflow", "sqlalchemy", "great_expectations"]
    assert answer["version"] == done.package_version
    assert answer["bits"] == published.view(np.int64).tolist()

    proof = _output([empty, "-I", "-m", MODEL], tmp_path)
    assert proof.startswith(f"tides {done.package_version}: ")
    assert "golden rows give their recorded bits" in proof


def _output(command: list[object], folder: Path) -> str:
    """What a command prints, run in a folder and an environment where nothing of ours is."""
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
