"""Whoever writes expectations.py, or the tests of a model folder, gets none of the store's logins."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.authoring import check_model
from rescore.postgres_url import PostgresUrl
from tests.shared.harbour import MODEL, MODELS, TRAINED_AS_OF, Harbour

LOOK = """
import json, os
with open({seen!r}, "a") as file:
    file.write(json.dumps([os.getpid(), dict(os.environ)]) + "\\n")
"""


@pytest.mark.slow
def test_no_code_of_a_model_folder_runs_with_the_stores_logins(
    harbour: Harbour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = harbour.ctx.settings
    password = PostgresUrl.parse(str(settings.database_url), where="").parameters["password"]
    monkeypatch.setenv("RESCORE_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("RESCORE_CONNECTION_HARBOUR", settings.connection_url("harbour"))
    models, seen = tmp_path / "models", {name: tmp_path / name for name in ("suite", "pipeline", "tests")}
    shutil.copytree(MODELS / MODEL, models / MODEL)
    (models / MODEL / "tests").mkdir(exist_ok=True)
    for name, file in (
        ("suite", "expectations.py"),
        ("pipeline", "pipeline.py"),
        ("tests", "tests/test_it.py"),
    ):
        path = models / MODEL / file
        code = path.read_text() if path.exists() else "def test_nothing():\n    pass\n"
        path.write_text(code + LOOK.format(seen=str(seen[name])))
    ctx = replace(harbour.ctx, settings=replace(settings, models=models))
    pipeline.validate_run(ctx, pipeline.begin_extract(ctx, MODEL, harbour.day(31)))
    assert len(seen["suite"].read_text().splitlines()) == 1
    pipeline.train_model(ctx, MODEL, as_of=TRAINED_AS_OF)
    check_model(ctx, MODEL)
    for name, file in seen.items():
        looks = [json.loads(line) for line in file.read_text().splitlines()]
        assert looks, f"{name} ran"
        for pid, environ in looks:
            assert pid != os.getpid(), name
            assert password not in str(environ), name
            assert not [one for one in environ if one.startswith(("RESCORE_", "AIRFLOW"))], name
