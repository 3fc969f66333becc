"""What the folder itself says: declared, decided, tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from rescore import model
from rescore.authoring.checks.result import CheckResult
from rescore.folder import ModelFolder
from rescore.folder_files import read_text
from rescore.shown_text import number_of

__all__ = ["check_declaration", "run_folder_tests"]

#: What the tests of a folder may take; one that waits for ever must not hold the other checks.
_TESTS_SECONDS = 600


def check_declaration(folder: ModelFolder) -> list[CheckResult]:
    """What is declared, what is still to be decided, and what is declared in vain."""
    spec = folder.spec
    results = []
    if not spec.source.known_by.reproducible_from_source:
        what = "known_by: none: its history can't be extracted again; the leakage test can't look at it"
        results.append(CheckResult("history", "warning", what, "give the source a recorded_at"))
    for text in model.numbers_as_text(spec.training.hyperparameters):
        fix = "numbers with an exponent need a point and a sign; leave it if a text is meant"
        results.append(CheckResult("hyperparameters", "warning", text, fix))
    undecided = {
        path.name: len(re.findall(r"\bDECIDE\b", read_text(path)))
        for path in sorted(folder.path.rglob("*"))
        if path.suffix in {".yaml", ".sql", ".py"} and "__pycache__" not in path.parts
    }
    if any(undecided.values()):
        where = ", ".join(f"{name} {count}" for name, count in undecided.items() if count)
        what = f"DECIDE is left: {where}"
        results.append(CheckResult("to decide", "warning", what, "decide, delete the word"))
    return [
        *results,
        CheckResult("declaration", "ok", f"{number_of(len(spec.features), 'feature')}, {spec.target.kind}"),
    ]


def run_folder_tests(folder: ModelFolder, python: str = sys.executable) -> CheckResult:
    """Run the folder's own tests with ``python``, if it has pytest; without this process' logins."""
    tests = folder.path / "tests"
    if not any(tests.glob("test_*.py")):
        fix = f"write {tests / 'test_folder.py'}"
        return CheckResult("folder tests", "warning", "the folder has no tests", fix)
    # Deployments have no use for pytest; asked of the interpreter that would run it.
    if subprocess.run([python, "-c", "import pytest"], capture_output=True, check=False).returncode:
        what = f"pytest is not installed for {python}: the tests in {tests} were not run"
        return CheckResult("folder tests", "skipped", what, "pip install pytest, or run them where it is")
    library = str(Path(__file__).parents[3])
    path = [library, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", str(tests)]
    try:
        done = subprocess.run(
            command,
            cwd=folder.path,
            env=model.start_environment([Path(folder) for folder in path if folder]),
            capture_output=True,
            text=True,
            check=False,
            timeout=_TESTS_SECONDS,
        )
    except subprocess.TimeoutExpired:
        what = f"the tests in {tests} were not over within {_TESTS_SECONDS} seconds and were ended"
        return CheckResult("folder tests", "failed", what, "run them by pytest and see where they wait")
    lines = (done.stdout + done.stderr).strip().splitlines() or ["no output"]
    if done.returncode == 0:
        return CheckResult("folder tests", "ok", lines[-1])
    return CheckResult("folder tests", "failed", "\n".join(lines[-15:]), "correct what the tests name")
