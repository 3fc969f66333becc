"""``rescore store`` on a real source and store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rescore.cli import app
from rescore.local import LocalPostgres
from tests.authoring.test_check import _source
from tests.shared.logins import set_up, store_settings


def test_one_model_that_can_not_be_registered_keeps_no_other_from_it(
    postgres_server: LocalPostgres,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ctx, folder, connection = _source(postgres_server, database_url, tmp_path)
    set_up(ctx, "public")
    for name, line, instead in (
        ("another_source", "connection: source", "connection: nowhere"),
        ("broken", "name: broken", "name: ["),
        ("column_gone", "", ""),
    ):
        other = shutil.copytree(folder.path, folder.path.with_name(name))
        text = (other / "model.yaml").read_text().replace("name: call", f"name: {name}")
        assert line in text
        (other / "model.yaml").write_text(text.replace(line, instead, 1))
    (other / "extract.sql").write_text("SELECT gone FROM public.call")
    for name, value in store_settings(postgres_server, database_url, "source").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RESCORE_HOME", str(tmp_path))
    monkeypatch.setenv("RESCORE_MODELS", str(tmp_path / "models"))
    assert app(["store", "register"], standalone_mode=False) == 1
    printed = capsys.readouterr()
    assert printed.out == "call: registered\n"
    for name in ("another_source", "broken", "column_gone"):
        assert f"{name} is not registered: " in printed.err
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relname ~ '^scores_' AND relkind = 'p'")
        assert cursor.fetchall() == [("scores_call",)]
    connection.close()
    ctx.store.close()
