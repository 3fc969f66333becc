"""The executed notebook of the docs gives today what is written in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebooks" / "flight_delay.ipynb"


def test_it_was_executed_from_top_to_bottom_and_names_no_machine() -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    said = str([cell.outputs for cell in code])
    for folder in (str(ROOT), str(Path.home()), "/home/", "/tmp/", "Traceback"):
        assert folder not in said


@pytest.mark.slow
def test_it_gives_the_same_again_beside_what_the_dag_makes() -> None:
    """Snapshot digest, metrics and scores as written; its own assertions hold the DAG's bytes."""
    command = [sys.executable, str(ROOT / "scripts" / "run_notebook.py"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
