"""What every test may ask for: a real Postgres, a fresh database on it, a seed."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from rescore.local import LocalPostgres, Logins, postgres_binaries
from rescore.local.logins import airflow_login
from tests.scheduling import ByScope, first_long, is_left_out, mark_long
from tests.shared.superuser import superusers_refused

# Fixtures that the tests of several packages ask for.
pytest_plugins = ["tests.shared.bank", "tests.shared.harbour"]

# A machine that does other work fails no law: no example has a time, and none is drawn too slowly.
settings.register_profile("rescore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rescore")

SEED = int(os.environ.get("RESCORE_TEST_SEED", "42"))


# A developer's own deployment must not be what the tests write to.
for _name in tuple(os.environ):
    if _name.startswith(("RESCORE_", "AIRFLOW__")) and _name != "RESCORE_TEST_SEED":
        del os.environ[_name]

# Importing Airflow writes a configuration file into its home.
_AIRFLOW_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = _AIRFLOW_HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(Path(__file__).parents[1] / "plugins")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return is_left_out(collection_path, config.option.markexpr) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_long(items)  # before -m selects
    first_long(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByScope | None:
    """With several workers (``-n``) and no other ``--dist``, files stay whole."""
    if config.option.dist != "load":
        return None
    config.option.loadscopereorder = False  # the order is that of first_long
    return ByScope(config, log)


def pytest_report_header() -> list[str]:
    packages = ("numpy", "scikit-learn", "pandas", "pyarrow", "great-expectations", "apache-airflow")
    return [
        f"python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages),
        f"{_postgres_version()}, seed {SEED} (RESCORE_TEST_SEED)",
    ]


def _postgres_version() -> str:
    command = [str(postgres_binaries() / "postgres"), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session", autouse=True)
def no_superuser() -> Iterator[None]:
    """No test and no fixture uses a store as the superuser, but where it says so."""
    with superusers_refused():
        yield


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed for whatever a test draws; any of 0-99 has to pass."""
    return SEED


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    """One server for the whole session; it dies with this process, however that ends."""
    home: Path = tmp_path_factory.mktemp("postgres-server")
    server = LocalPostgres(
        home,
        tied=True,
        settings={"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"},
    )
    server.start()
    server.create_database("rescore_template")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def database_url(postgres_server: LocalPostgres) -> Iterator[str]:
    """A fresh, empty database, dropped afterwards; a libpq URL."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield postgres_server.create_database(name, template="rescore_template")
    postgres_server.drop_database(name)


@pytest.fixture
def owned_database(postgres_server: LocalPostgres, database_url: str) -> str:
    """The same by the one login of somebody who tries Rescore: its owner, who is no superuser."""
    return Logins.prepare(postgres_server, database_url.rpartition("/")[2]).owner


@pytest.fixture
def airflow_database(postgres_server: LocalPostgres) -> Iterator[str]:
    """A fresh, empty database, by the login that owns it and nothing else; dropped afterwards."""
    name = f"airflow_{uuid.uuid4().hex[:12]}"
    yield airflow_login(postgres_server, name)
    postgres_server.drop_database(name)
