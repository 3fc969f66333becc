"""The wheel is whole: what an Airflow of somebody else's gets with pip is all that there is."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

INCLUDE = Path(__file__).parents[2] / "include"

_LOOK = """
import json, rescore, rescore_airflow
from pathlib import Path
from airflow import plugins_manager
from rescore_airflow.page.app import create_page
loaded, errors = plugins_manager._get_plugins()
folders = [Path(package.__file__).parent for package in (rescore, rescore_airflow)]
print(json.dumps({
    "files": [str(file.relative_to(folder.parent)) for folder in folders for file in folder.rglob("*")],
    "folders": [str(folder) for folder in folders],
    "plugins": [str(plugin.source) for plugin in loaded if plugin.name == "rescore"],
    "errors": errors,
    "routes": [route.path for route in create_page().routes],
}))
"""


@pytest.mark.slow
def test_an_airflow_of_somebody_else_has_all_of_it(their_python: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path)}
    done = subprocess.run(
        [their_python, "-c", _LOOK], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert all(folder.startswith(str(their_python.parents[1])) for folder in found["folders"])
    assert len(found["plugins"]) == 1
    assert found["errors"] == {}
    assert {"/", "/{dag_id}", "/{dag_id}/runs/{run_id}"} <= set(found["routes"])
    here = {
        str(path.relative_to(INCLUDE))
        for package in ("rescore", "rescore_airflow")
        for path in (INCLUDE / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert not here - set(found["files"])
