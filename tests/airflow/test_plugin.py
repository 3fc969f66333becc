"""Registration: once, whichever way the package came, and without loading the page in a task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rescore_airflow import plugin

CHECKOUT = Path(__file__).parents[2]

_LOAD = """
import json, sys
from airflow import plugins_manager
loaded, errors = plugins_manager._get_plugins()
light = sorted(sys.modules)
timetables = list(plugins_manager.get_timetables_plugins())
mine = [p for p in loaded if p.name == "rescore"]
plugins_manager._get_ui_plugins()  # takes out what it refuses
views = [[v["destination"], v.get("url_route"), v["href"]] for p in mine for v in p.external_views]
print(json.dumps({
    "sources": [str(p.source) for p in mine], "errors": errors, "timetables": timetables, "views": views,
    "page": [m for m in light if m.startswith(("fastapi", "rescore_airflow.page.app", "pandas", "sklearn"))],
}))
"""


def load(**environment: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", _LOAD],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_the_entry_point_and_the_plugins_folder_register_once() -> None:
    found = load()
    assert len(found["sources"]) == 1  # type: ignore[arg-type]
    assert "rescore_airflow.plugin" in str(found["sources"])
    assert found["errors"] == {}
    assert found["timetables"] == ["rescore_airflow.timetable.ModelTimetable"]
    assert found["views"] == [
        ["nav", None, "rescore/"],
        ["dag", "rescore", "rescore/dags/{DAG_ID}"],
        ["dag_run", "rescore-run", "rescore/dags/{DAG_ID}/runs/{RUN_ID}"],
    ]
    assert found["page"] == [], "every task loads the plugins; the page is the API server's alone"


def test_the_plugins_folder_stands_in_where_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "entry_points", lambda group: [])
    assert plugin.unless_installed() is plugin.RescorePlugin
