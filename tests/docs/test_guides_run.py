"""Commands of the guides on backup, erasure, retention and audit are run, and do what the guides say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.local import LocalPostgres
from rescore.postgres_url import PostgresUrl
from tests.docs.guides import command_of, environment, shell, typed
from tests.docs.test_commands import INLINE, LINES, words
from tests.shared.harbour import MODEL, MODELS, TRAINED_AS_OF, Harbour

GUIDES = ("audit.md", "backup.md", "erasure.md", "retention.md")
#: A person of the harbour is a gauge; the rest stays.
SUBJECT = ["--subject", "gauge=buoy"]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The harbour's model, which says that a gauge is a person."""
    shutil.copytree(MODELS / MODEL, tmp_path / "models" / MODEL)
    declared = tmp_path / "models" / MODEL / "model.yaml"
    key = "  key: [gauge, reading]\n"
    declared.write_text(declared.read_text().replace(key, key + "  subject: [gauge]\n"))
    return tmp_path / "models"


@pytest.mark.slow
def test_every_command_of_the_guides_works(
    harbour: Harbour,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in environment(harbour, models).items():
        monkeypatch.setenv(name, value)
    done: list[list[str]] = []
    run = command_of(capsys, done)
    ctx = replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=models))
    run("store", "migrate")
    pipeline.score_interval(ctx, MODEL, harbour.day(31))
    scored = pipeline.score_interval(ctx, MODEL, harbour.day(31)).run_id
    again = ["--start", harbour.day(32).start.isoformat(), "--end", harbour.day(33).start.isoformat()]
    run("backfill", MODEL, *again)

    # audit.md
    key, public = tmp_path / "key.pem", tmp_path / "public.pem"
    for command in (
        f"ecparam -name prime256v1 -genkey -noout -out {key}",
        f"ec -in {key} -pubout -out {public}",
    ):
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
    monkeypatch.setenv("RESCORE_SIGNING_KEY", str(key))
    head = run("audit", "head").strip().splitlines()[0]
    run("audit", "anchor")
    assert [*(harbour.home / "anchors").iterdir()]
    run("audit", "head", "--save", "head.json", "--sign", str(key))
    run("audit", "verify", "--head", "head.json", "--public-key", str(public))
    for options in ([], ["--scores"], ["--files"], ["--head", head], ["--scores", "--files", "--head", head]):
        run("audit", "verify", *options)
    run("audit", "export", "--run", scored, "--out", "run.zip")
    run(
        "audit", "export", "--model", MODEL, "--key", "gauge=pier", "--key", "reading=745", "--out", "one.zip"
    )
    run("audit", "check", "run.zip", "--public-key", str(public), code=None)  # nobody signed it
    for bundle in ("run.zip", "one.zip"):
        run("audit", "check", bundle)
        with zipfile.ZipFile(bundle) as archive:
            Path("verify.py").write_bytes(archive.read("verify.py"))
        # As the guide has it: Python and nothing else, and the head from elsewhere.
        checked = subprocess.run(
            [sys.executable, "-I", "-S", "verify.py", bundle, "--head", head],
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0 and "VERIFIED" in checked.stdout.splitlines()[-1], checked.stdout

    # retention.md
    assert json.loads(run("retention", "run", "--dry-run", "--json")) == []
    run("retention", "hold", MODEL, "--reason", "case 7")
    held = run("retention", "holds")
    assert "case 7" in held
    run("erase", *SUBJECT, "--ground", "Art. 17, ticket 9", code=1)  # a legal hold stops it
    run("retention", "lift", "1", "--reason", "closed")
    run("retention", "run")
    run("retention", "log")

    # erasure.md
    assert "buoy" in run("subject", "show", *SUBJECT)
    run("erase", *SUBJECT, "--ground", "Art. 17, ticket 9", "--dry-run")
    run("erase", *SUBJECT, "--ground", "Art. 17, ticket 9")
    assert harbour.execute("SELECT count(*) FROM scores.tides WHERE gauge = 'buoy'") == [(0,)]
    run("audit", "verify", "--scores", "--files", "--head", head)
    run("doctor")
    run("reproduce", "--model", MODEL)
    harbour.execute("DELETE FROM harbour.readings WHERE gauge = 'buoy'")
    second = pipeline.train_model(ctx, MODEL, as_of=TRAINED_AS_OF).version
    pipeline.pin(ctx, MODEL, second, who="ada", why="never saw the person")
    run("reproduce", "--model", MODEL, "--package", second, "--train")
    run("packages", "withdraw", MODEL, "1.0.0", "--reason", "trained on the person")

    unused = [
        f"{page}: rescore {one}" for page, one in (*LINES, *INLINE) if page in GUIDES and not used(one, done)
    ]
    assert unused == []


def used(written: str, done: list[list[str]]) -> bool:
    """Whether a command with all its options was run; its values are others."""
    asked = words(written)
    plain = next((at for at, word in enumerate(asked) if word.startswith("-")), len(asked))
    path = [word for word in asked[:plain] if re.fullmatch("[a-z]+", word) and "." not in word][:2]
    options = {word for word in asked if word.startswith("--")}
    return any(one[: len(path)] == path and options <= {*one} for one in done)


@pytest.mark.slow
def test_a_backup_is_made_and_restored_as_the_guide_says(
    harbour: Harbour, postgres_server: LocalPostgres, tmp_path: Path
) -> None:
    """By the logins that it names, on another server; then what it says to ask is asked."""
    ctx = harbour.ctx
    run_id = pipeline.score_interval(ctx, MODEL, harbour.day(31)).run_id
    head = str(ctx.store.chain.head())
    lines = typed("docs/guides/backup.md")
    restored = lines.index("psql --file=roles.sql")
    given = environment(harbour, MODELS)
    (tmp_path / "backup").mkdir()
    for line in lines[:restored]:
        shell(line, tmp_path, given | administrator(postgres_server, postgres_server.password))

    elsewhere = LocalPostgres(tmp_path / "elsewhere", tied=True, settings={"fsync": "off"})
    elsewhere.start()
    try:
        password = elsewhere.password
        given["RESCORE_ARCHIVE"] = str(tmp_path / "restored archive")
        given["RESCORE_HOME"] = str(tmp_path / "restored home")
        for name in [name for name in given if name.endswith("_URL") or "CONNECTION" in name]:
            url = PostgresUrl.parse(given[name], where="the test").parameters
            moved = PostgresUrl({**url, "port": str(elsewhere.port), "dbname": "rescore"})
            given[name] = (
                moved.sqlalchemy().set(drivername="postgresql").render_as_string(hide_password=False)
            )
        for line in lines[restored:]:
            shell(line, tmp_path, given | administrator(elsewhere, password))
            if "roles.sql" in line:
                password = postgres_server.password  # the administrator's, too, is the old server's now
        asked = (
            ["doctor"],
            ["audit", "verify", "--scores", "--files", "--head", head],
            ["reproduce", "--run", run_id],
        )
        for command in asked:
            done = subprocess.run(
                [sys.executable, "-m", "rescore.cli", *command],
                env={"PATH": os.environ["PATH"], **given},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    finally:
        elsewhere.stop()


def administrator(server: LocalPostgres, password: str) -> dict[str, str]:
    """How libpq's programs reach the server as its administrator."""
    url = PostgresUrl.parse(server.url(), where="the test").parameters
    return {
        "PGHOST": url["host"],
        "PGPORT": str(server.port),
        "PGUSER": url["user"],
        "PGPASSWORD": password,
        "PGDATABASE": "postgres",
    }
