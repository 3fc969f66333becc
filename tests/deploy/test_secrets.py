"""Passwords are in no place where others read: after runs that worked and that failed, all is searched."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from psycopg2 import sql

from rescore import pipeline
from rescore.postgres_url import PostgresUrl
from rescore.store import Store
from rescore_airflow.page import create_page
from tests.airflow.console import Console, prepare_airflow
from tests.shared.airflow_in_one_process import one_process_airflow
from tests.shared.fleet import Fleet
from tests.shared.harbour import MODEL, TRAINED_AS_OF, Harbour
from tests.shared.waiting import until

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),
]
DAGS = f"from rescore_airflow.dags import score_dag\n\nscore = score_dag({MODEL!r})\n"
#: Passwords that open nothing, for URLs that lead nowhere.
MARKED = {"no server": "marked-8f1c/nobody", "refused": "marked 27aa&wrong"}


@dataclass
class Watch:
    """What stood in the arguments of any process while it ran."""

    texts: list[str]
    found: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Until it is over, again and again."""
        while not self.over.wait(0.005):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = path.read_text(errors="replace")
                except OSError:  # it has ended
                    continue
                self.found |= {text for text in self.texts if text in words}


@contextmanager
def watching(texts: list[str]) -> Iterator[Watch]:
    watch = Watch(["planted-in-arguments", *texts])
    thread = threading.Thread(target=watch.look)
    thread.start()
    try:
        words = [sys.executable, "-c", "input()", watch.texts[0]]
        with subprocess.Popen(words, stdin=subprocess.PIPE) as planted:
            until(lambda: watch.found, "seeing an argument")
            planted.communicate(b"\n")
        yield watch
    finally:
        watch.over.set()
        thread.join()


def rows_with(url: str, texts: list[str]) -> list[tuple[str, str]]:
    """Each table of a database that holds a text, with the text."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        tables = cursor.fetchall()
        assert len(tables) > 20
        found = []
        for name in tables:
            query = sql.SQL("SELECT needle FROM unnest(%s) needle WHERE EXISTS (SELECT FROM {} t"
                            " WHERE position(needle IN t::text) > 0)")  # fmt: skip
            cursor.execute(query.format(sql.Identifier(*name)), (texts,))
            found += [(".".join(name), needle) for (needle,) in cursor.fetchall()]
    connection.close()
    return found


def test_no_password_is_anywhere_after_runs_that_worked_and_failed(
    harbour: Harbour, airflow_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.register_model(harbour.ctx, MODEL)
    settings = harbour.ctx.settings
    airflow = one_process_airflow(harbour.ctx, airflow_database, tmp_path, DAGS)
    environment = airflow.environment
    environment |= {"RESCORE_RELEASE_URL": str(settings.release_url)}
    urls = [url for name, url in environment.items() if "_URL" in name or "_CONN" in name]
    passwords = {PostgresUrl.parse(url, where="here").parameters["password"] for url in urls}
    assert len(passwords) >= 3 and min(map(len, passwords)) > 12
    plain = {*passwords, *MARKED.values()}
    secrets = sorted(plain | {quote(word, safe="") for word in plain})

    def command(*words: str, **changed: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "rescore.cli", *words],
            check=False, env=environment | changed, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    good, bad = harbour.day(32), harbour.day(33)
    source = PostgresUrl.parse(settings.connection_url("harbour"), where="here").parameters
    nowhere = f"postgresql://reader:{quote(MARKED['no server'], safe='')}@127.0.0.1:1/harbour"
    refused = f"postgresql://nobody:{quote(MARKED['refused'], safe='')}@{source['host']}:{source['port']}/x"
    said = []
    with watching(secrets) as watch:
        run = airflow.run("score", interval_start=good.start.isoformat(), interval_end=good.end.isoformat())
        assert run.state == "success", run.said[-3000:]
        said.append(run.said)
        bounds = ["--start", bad.start.isoformat(), "--end", bad.end.isoformat()]
        for code, words, changed in [
            (0, ["train", MODEL, "--as-of", TRAINED_AS_OF.isoformat()], {}),
            (None, ["doctor"], {}),
            (1, ["score", MODEL, *bounds], {"RESCORE_CONNECTION_HARBOUR": nowhere}),
            (1, ["score", MODEL, *bounds], {"RESCORE_CONNECTION_HARBOUR": refused}),
            (1, ["models"], {"RESCORE_DATABASE_URL": refused}),
            (1, ["models"], {"RESCORE_DATABASE_URL": nowhere.replace("%2F", "/")}),
        ]:
            got, text = command(*words, **changed)
            assert code in {got, None}, text
            said.append(text)
        harbour.execute(  # a key twice
            "INSERT INTO harbour.readings SELECT * FROM harbour.readings WHERE measured_at = %s LIMIT 1",
            bad.start + timedelta(hours=5),
        )
        run = airflow.run("score", interval_start=bad.start.isoformat(), interval_end=bad.end.isoformat())
        assert run.state == "failed", run.said[-3000:]
        said.append(run.said)
    assert watch.found == {"planted-in-arguments"}
    assert [text for text in said if any(secret in text for secret in secrets)] == []
    assert rows_with(airflow_database, secrets) == [], "XCom, rendered templates, the log of events"
    assert rows_with(harbour.url, secrets) == []

    for name, value in environment.items():
        if name.startswith("RESCORE_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr("rescore_airflow.connections._airflow_connection", lambda connection_id: None)
    prepare_airflow([f"score_{MODEL}"])
    with Store(str(settings.database_url)) as store:
        console = Console(create_page(lambda _: []), store, Fleet(store, tmp_path), settings.models, [MODEL])
        runs = [one.run_id for one in store.runs.latest(MODEL, 10)]
        assert len(runs) >= 2
        for path in ("/", f"/score_{MODEL}", *(f"/score_{MODEL}/runs/{run_id}" for run_id in runs)):
            page = console.get(path)
            assert not any(secret in page for secret in secrets), path
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    written = {str(path): path.read_bytes() for path in files}
    assert [(at, one) for at, content in written.items() for one in secrets if one.encode() in content] == []
