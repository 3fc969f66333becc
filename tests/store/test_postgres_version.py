"""A server that is too old is refused before anything is made on it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rescore.cli import main
from rescore.errors import StoreError
from rescore.local import postgres_binaries
from rescore.store import Store
from rescore.store.postgres_version import LOWEST, check_postgres_version


@pytest.mark.parametrize(("number", "version"), [(90_624, "9.6.24"), (120_022, "12.22"), (140_023, "14.23")])
def test_an_older_server_is_refused_by_name(number: int, version: str) -> None:
    with pytest.raises(StoreError, match=f"the store's database is Postgres {version}") as caught:
        check_postgres_version(number, "localhost:5432/store")
    said = str(caught.value)
    assert "localhost:5432/store" in said and f"Postgres {LOWEST} or later" in said
    assert "RESCORE_DATABASE_URL" in said


@pytest.mark.parametrize(("number", "version"), [(LOWEST * 10_000, f"{LOWEST}.0"), (180_006, "18.6")])
def test_the_lowest_and_later_ones_are_taken(number: int, version: str) -> None:
    assert check_postgres_version(number, "here") == version


def test_nothing_is_made_on_a_server_that_is_too_old(
    owned_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rescore.store.postgres_version.LOWEST", 999)
    store = Store(owned_database)
    with pytest.raises(StoreError, match="Postgres 999 or later"):
        store.schema.migrate()
    with pytest.raises(StoreError, match="Postgres 999 or later"):
        store.schema.server_version()
    assert store.schema.version() is None
    store.close()


def test_printed_sql_makes_nothing_on_such_a_server_either(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run by who owns the server; psql goes on after an error unless it is told not to."""
    monkeypatch.setattr("rescore.store.postgres_version.LOWEST", 999)
    monkeypatch.setenv("RESCORE_DATABASE_URL", database_url)
    monkeypatch.setenv("RESCORE_HOME", str(tmp_path))
    with pytest.raises(SystemExit):
        main(["store", "ddl", "--source-schema", "public"])
    printed = tmp_path / "store.sql"
    printed.write_text(capsys.readouterr().out.replace("rescore_run", "of_an_old_server"))
    psql = [str(postgres_binaries() / "psql"), "-X", "-q", database_url, "-f", str(printed)]
    done = subprocess.run(psql, capture_output=True, text=True, check=False)
    assert "expected Postgres 999 or later" in done.stderr
    query = (
        "SELECT nspname FROM pg_namespace WHERE nspname IN ('rescore', 'scores')"
        " UNION SELECT rolname FROM pg_roles WHERE rolname = 'of_an_old_server'"
    )
    made = subprocess.run([*psql[:-2], "-Atc", query], capture_output=True, text=True, check=True)
    assert made.stdout == ""
