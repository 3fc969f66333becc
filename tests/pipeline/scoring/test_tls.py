"""A store and a source that are reached under TLS, as the URL asks for it; else nothing is said to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.errors import SettingsError, StoreError
from rescore.local import LocalPostgres
from rescore.postgres_startup import startup_sqlstate
from rescore.postgres_url import PostgresUrl
from rescore.settings import Settings
from rescore.store import Store
from rescore.store.binary_copy import query_batches
from tests.shared.harbour import MODEL, MODELS, Harbour
from tests.shared.tls import Authority, Gate, gate

#: The names that a URL of the store, of releases, of the owner and of the source has among the settings.
Rewrite = Callable[[str], str]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours.pem")


@pytest.fixture
def tls(postgres_server: LocalPostgres, authority: Authority) -> Iterator[Gate]:
    with gate(postgres_server.port, authority.serve_as("localhost")) as opened:
        yield opened


def under_tls(url: str, port: int, **parameters: str) -> str:
    """The same login, at the gate."""
    given = PostgresUrl.parse(url, where="the test").parameters
    return PostgresUrl({**given, "host": "localhost", "port": str(port), **parameters}).dsn


def context(harbour: Harbour, rewrite: Rewrite) -> pipeline.Context:
    settings = harbour.ctx.settings
    urls = {
        "RESCORE_DATABASE_URL": settings.database_url,
        "RESCORE_RELEASE_URL": settings.release_url,
        "RESCORE_OWNER_URL": settings.owner_url,
        "RESCORE_CONNECTION_HARBOUR": settings.connection_url("harbour"),
    }
    given = {name: rewrite(str(url)) for name, url in urls.items()}
    places = {"RESCORE_HOME": str(settings.home), "RESCORE_MODELS": str(MODELS)}
    return pipeline.Context.from_environment(Settings.from_environment(given | places))


def test_a_run_under_verified_tls_says_nothing_in_plain(
    harbour: Harbour, tls: Gate, authority: Authority
) -> None:
    proved = {"sslmode": "verify-full", "sslrootcert": str(authority.path)}
    with context(harbour, lambda url: under_tls(url, tls.port, **proved)) as ctx:
        run_id = pipeline.score_interval(ctx, MODEL, harbour.day(31)).run_id
        assert [run.run_id for run in ctx.store.runs.published(MODEL)] == [run_id]
    urls = (*_urls(harbour), harbour.ctx.settings.owner_url)
    logins = {PostgresUrl.parse(str(url), where="").parameters["user"] for url in urls}
    assert set(tls.logins) == logins, "the logins of the store, of the source, and of who registers a model"
    assert not tls.plain


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"sslrootcert": "theirs.pem"}, "certificate verify failed", id="another-authority"),
        pytest.param({"host": "127.0.0.1"}, "does not match host name", id="another-host"),
        pytest.param({"sslrootcert": "nowhere.pem"}, "root certificate file", id="no-authority"),
    ],
)
def test_a_server_that_does_not_prove_itself_is_told_nothing(
    change: dict[str, str], said: str, harbour: Harbour, tls: Gate, authority: Authority, tmp_path: Path
) -> None:
    Authority(tmp_path / "theirs.pem")
    change = {
        name: str(tmp_path / value) if name == "sslrootcert" else value for name, value in change.items()
    }
    proved = {"sslmode": "verify-full", "sslrootcert": str(authority.path), **change}
    refused(harbour, lambda url: under_tls(url, tls.port, **proved), said)
    assert not tls.logins and not tls.plain


def test_a_server_without_tls_is_told_nothing_where_it_is_required(
    harbour: Harbour, postgres_server: LocalPostgres
) -> None:
    refused(harbour, lambda url: f"{url}?sslmode=require", "but SSL was required")
    parameters = PostgresUrl.parse(postgres_server.url("no such one"), where="").parameters
    assert startup_sqlstate(parameters) == "", "asked in plain, it goes on to ask for a password"
    assert startup_sqlstate({**parameters, "sslmode": "require"}) is None


def test_why_a_login_is_refused_is_asked_under_the_same_tls(
    tls: Gate, authority: Authority, postgres_server: LocalPostgres, tmp_path: Path
) -> None:
    url = under_tls(postgres_server.url(), tls.port, sslmode="verify-full", sslrootcert=str(authority.path))
    parameters = PostgresUrl.parse(url, where="").parameters
    assert startup_sqlstate({**parameters, "options": "-c no.such"}) == ""
    assert startup_sqlstate({**parameters, "sslmode": "prefer"}) == ""
    assert len(tls.logins) == 2 and not tls.plain
    Authority(tmp_path / "theirs.pem")
    assert startup_sqlstate({**parameters, "sslrootcert": str(tmp_path / "theirs.pem")}) is None
    assert len(tls.logins) == 2 and not tls.plain


def refused(harbour: Harbour, rewrite: Rewrite, said: str) -> None:
    """Both drivers that go to the store, and the one that reads the source, refuse; no password is shown."""
    store_url, source_url = (rewrite(str(url)) for url in _urls(harbour))
    store, password = Store(store_url), PostgresUrl.parse(source_url, where="").parameters["password"]
    acts: list[Callable[[], object]] = [
        lambda: store.pins.current(MODEL),
        lambda: pipeline.begin_extract(_with_source(harbour, source_url), MODEL, harbour.day(31)),
    ]
    for act in acts:
        with pytest.raises(SettingsError, match=said) as caught:  # which is not tried again
            act()
        assert password not in str(caught.value)
    with pytest.raises(StoreError, match=said) as reading:  # the driver that reads scores back
        list(query_batches(store.database.libpq_url, "SELECT 1"))
    assert password not in str(reading.value)
    store.close()


def _with_source(harbour: Harbour, url: str) -> pipeline.Context:
    return pipeline.Context.from_environment(harbour.ctx.settings, connection=lambda _: url)


def _urls(harbour: Harbour) -> tuple[str | None, str]:
    return harbour.ctx.settings.database_url, harbour.ctx.settings.connection_url("harbour")
