"""The borders of the house are failing checks: each kind is broken on purpose in a copy, and is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

#: Contract: the module that is made to break it, what it imports, and the import as the check prints it.
BROKEN = {
    "Imports go down only; siblings (|) never import each other": (
        "rescore.interval",
        "from rescore import drift",
        "rescore.interval -> rescore.drift",
    ),
    "No circle at any depth": (
        "rescore.sha256",
        "from rescore import errors; from rescore.interval import Interval",
        "rescore",
    ),
    "store is entered by its face": (
        "rescore.report.drawing",
        "from rescore.store.database import Database",
        "rescore.report.drawing -> rescore.store.database",
    ),
    "The parent never imports what only the child interpreter runs": (
        "rescore.model.build",
        "from rescore.model.child.trainer import Trainer",
        "rescore.model.build -> rescore.model.child.trainer",
    ),
    "The runtime, copied into every wheel, stands alone": (
        "rescore.model.runtime.frames",
        "from rescore.sha256 import Sha256",
        "rescore.model.runtime.frames -> rescore.sha256",
    ),
    "The library never imports Airflow": (
        "rescore.digest",
        "from airflow.sdk import DAG",
        "rescore.digest -> airflow",
    ),
}


def test_the_runtime_may_import_no_module_of_ours() -> None:
    """The check takes a list of names alone: it has to name every module but the runtime's own."""
    contracts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [alone] = [one for one in contracts if one.get("source_modules") == ["rescore.model.runtime"]]
    package = CHECKOUT / "include" / "rescore"
    modules = {
        f"rescore.{name}"
        for folder in ("", "model/")
        for file in (package / folder).iterdir()
        if file.suffix == ".py" or (file / "__init__.py").exists()
        for name in [(folder + file.stem).replace("/", ".")]
    }
    ours = {"rescore.__init__", "rescore.model", "rescore.model.__init__", "rescore.model.runtime"}
    assert {*alone["forbidden_modules"]} == modules - ours


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the check prints of a copy in which every contract above is broken once."""
    home = tmp_path_factory.mktemp("broken")
    shutil.copy(CHECKOUT / "pyproject.toml", home)
    for package in ("rescore", "rescore_airflow"):
        shutil.copytree(
            CHECKOUT / "include" / package, home / "include" / package, ignore=shutil.ignore_patterns("*.pyc")
        )
    for module, statement, _ in BROKEN.values():
        file = home / "include" / Path(*module.split(".")).with_suffix(".py")
        file.write_text(file.read_text(encoding="utf-8") + f"\n{statement}\n", encoding="utf-8")
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(
        command,
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(home / "include"), "COLUMNS": "200"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("contract", BROKEN)
def test_what_breaks_a_border_is_named(said: str, contract: str) -> None:
    assert f"{contract} BROKEN" in said
    assert BROKEN[contract][2] in said
