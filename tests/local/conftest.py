"""What the tests of the local stack share: settings below a temporary folder, and finding processes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rescore.local import LocalPostgres, LocalStack
from rescore.settings import Settings


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose Postgres was started once; making one takes a second, copying it a tenth."""
    server = LocalPostgres(tmp_path_factory.mktemp("initialised"), settings={"fsync": "off"})
    server.start()
    server.stop()
    (server.folder / "port").unlink()
    return server.home


@pytest.fixture
def home(initialised: Path, tmp_path: Path) -> Path:
    shutil.copytree(initialised, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings.from_environment({"RESCORE_HOME": str(home)})


@pytest.fixture
def stack(settings: Settings) -> Iterator[LocalStack]:
    """A stack that is stopped however the test ends."""
    stack = LocalStack(settings)
    yield stack
    stack.down()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[LocalPostgres]:
    """A server that was never started."""
    server = LocalPostgres(tmp_path / "home", tied=True, settings={"fsync": "off"})
    yield server
    server.stop()


@pytest.fixture
def server(home: Path) -> Iterator[LocalPostgres]:
    """A server of its own for tests that stop, break or restart it."""
    server = LocalPostgres(home, tied=True, settings={"fsync": "off"})
    yield server
    server.stop()
