"""The borders of the house are failing checks: each kind is broken on purpose in a copy, and is named."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]

CONTRACTS = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
#: What one import says of its kind of contract, as the check prints it.
NAMED = {
    "Imports go down only; siblings (|) never import each other": "rescore.json_values -> rescore.cli",
    "store is entered by its face": "rescore.json_values -> rescore.store.archive",
    "The parent never imports what only the child interpreter runs": "-> rescore.model.child",
    "The runtime, copied into every wheel, stands alone": "-> rescore.airflow_version",
    "The library never imports Airflow": "rescore.json_values -> airflow",
}


def breaking(contract: dict[str, Any]) -> tuple[str, str]:
    """A module, and an import that breaks a contract there."""
    outside = "rescore.json_values"
    match contract["type"]:
        case "layers":
            within = [f"{container}." for container in contract.get("containers", [])] or [""]
            top, bottom = (within[0] + contract["layers"][end].split(" | ")[0] for end in (0, -1))
            return (outside if bottom == "rescore" else bottom), f"import {top}"
        case "acyclic_siblings":
            return "rescore.sha256", "from rescore import errors; from rescore.interval import Interval"
        case "protected":
            [protected] = contract["protected_modules"]
            package = protected.removesuffix(".*")
            inner = min(
                file.stem
                for file in (CHECKOUT / "include").joinpath(*package.split(".")).glob("*.py")
                if file.stem != "__init__"
            )
            return outside, f"import {package}.{inner}"
        case "forbidden":
            [source] = contract["source_modules"]
            module = f"{source}.frames" if source == "rescore.model.runtime" else outside
            return module, f"import {contract['forbidden_modules'][0]}"
    raise AssertionError(contract)


def test_every_package_is_entered_by_its_face() -> None:
    faces = {
        module.removesuffix(".*")
        for contract in CONTRACTS
        if contract["type"] == "protected"
        for module in contract["protected_modules"]
        if module.endswith(".*")
    }
    packages = {
        f"{package}.{folder.name}"
        for package in ("rescore", "rescore_airflow")
        for folder in (CHECKOUT / "include" / package).iterdir()
        if (folder / "__init__.py").exists()
    }
    assert faces == packages


def test_nobody_imports_the_childs_code_by_a_text() -> None:
    """The check reads import statements alone; starting an interpreter names the module that runs there."""
    for file in (CHECKOUT / "include").rglob("*.py"):
        if "model/child" not in file.as_posix():
            text = file.read_text(encoding="utf-8").replace('"-m", "rescore.model.child.worker"', "")
            assert not re.search(r"""["']rescore\.model\.child""", text), file


def test_the_runtime_may_import_no_module_of_ours() -> None:
    """The check takes a list of names alone: it has to name every module but the runtime's own."""
    [alone] = [one for one in CONTRACTS if one.get("source_modules") == ["rescore.model.runtime"]]
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
    for module, statement in map(breaking, CONTRACTS):
        place = home.joinpath("include", *module.split("."))
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
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


@pytest.mark.parametrize("contract", [contract["name"] for contract in CONTRACTS])
def test_what_breaks_a_border_is_named(said: str, contract: str) -> None:
    assert f"{contract} BROKEN" in said
    assert NAMED.get(contract, "") in said
