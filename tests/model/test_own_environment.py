"""A package whose versions are not today's runs in an environment of its own, or says what it lacks."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rescore.errors import EnvironmentMismatchError
from rescore.manifest import Lineage
from rescore.model import Package, build_package, open_package
from rescore.model.own_environment import own_environment
from rescore.model.requirements import direct
from tests.model.another_environment import OLDER, train_elsewhere
from tests.model.parcels import Trained, table, write_folder

WITHOUT_INDEX = {
    "UV_OFFLINE": "1",
    "UV_NO_CACHE": "1",
    "PIP_NO_INDEX": "1",
    "UV_NO_INDEX": "1",
}


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an installer would fetch is refused."""
    for name, value in WITHOUT_INDEX.items():
        monkeypatch.setenv(name, value)


def test_an_environment_that_cant_be_built_names_every_version(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_index: None
) -> None:
    real = direct
    monkeypatch.setattr(
        "rescore.model.requirements.direct",
        lambda *given: {**real(*given), "numpy": "1.2.3", "scikit-learn": "0.1"},
    )
    other = build_package(
        trained.fitted,
        trained.folder,
        version="1.0.0",
        reference_profile=b"{}",
        lineage=Lineage(),
        destination=tmp_path,
        lock=Path(__file__).parents[2] / "requirements.txt",
    )
    with pytest.raises(EnvironmentMismatchError) as caught:
        open_package(
            other.path,
            expected_sha256=other.sha256,
            cache=tmp_path / "cache",
            environments=tmp_path / "environments",
        )
    said = str(caught.value)
    assert f"numpy: expected 1.2.3, found {np.__version__}" in said
    assert f"scikit-learn: expected 0.1, found {version('scikit-learn')}" in said
    assert "rescore env build parcel_delay" in said
    assert [one for one in (tmp_path / "environments").iterdir() if one.is_dir()] == []


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory, seed: int) -> tuple[Package, Path, Path]:
    """A package trained with older versions, opened here: its environment is built by that."""
    home = tmp_path_factory.mktemp("older")
    pq.write_table(table(500, seed), home / "snapshot.parquet")
    write_folder(home)
    path, sha256, _ = train_elsewhere(
        home, home / "snapshot.parquet", home / "models", "parcel_delay", reference=False
    )
    shutil.rmtree(home / "trainer")
    lines: list[str] = []
    package = open_package(
        path,
        expected_sha256=sha256,
        cache=home / "cache",
        environments=home / "environments",
        progress=lines.append,
    )
    assert lines == [f"building the environment of parcel_delay 1.0.0 in {package.python.parents[1]}"]  # type: ignore[union-attr]
    return package, path, home


@pytest.mark.slow
def test_a_package_of_other_versions_scores_in_its_own_environment(
    older: tuple[Package, Path, Path], no_index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its golden rows give their bits there; opened again, it needs no index and no installer."""
    package, path, home = older
    for name, wanted in OLDER.items():
        assert package.manifest.requirements[name] == wanted != version(name)
    monkeypatch.setenv("PATH", os.fspath(home))  # no installer
    again = open_package(
        path, expected_sha256=package.sha256, cache=home / "cache", environments=home / "environments"
    )
    again.verify()
    scores = again.predict(home / "snapshot.parquet", processes=2)
    assert scores.num_rows == 500
    assert scores["score"].equals(again.predict(home / "snapshot.parquet", processes=1)["score"])
    found = again.numeric_environment()
    assert found["packages"].items() >= OLDER.items()
    assert found == again.manifest.environment.to_dict()


@pytest.mark.slow
def test_a_changed_environment_is_not_used(older: tuple[Package, Path, Path], tmp_path: Path) -> None:
    package, path, home = older
    own = own_environment(package.manifest, package.data("requirements.txt"), home / "environments")
    site = next(own.root.glob("lib/python*/site-packages"))
    there = next(site.glob("scikit_learn-*.dist-info"))
    there.rename(tmp_path / "gone")
    try:
        with pytest.raises(EnvironmentMismatchError, match="was changed since it was built") as caught:
            open_package(
                path, expected_sha256=package.sha256, cache=home / "cache", environments=home / "environments"
            )
    finally:
        (tmp_path / "gone").rename(there)
    assert "scikit-learn: expected 1.7.2, found not installed" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("numpy/__init__.py", "changed"),
        ("numpy/__pycache__/__init__.cpython-311.pyc", "changed"),
        ("usercustomize.py", "added"),
    ],
)
def test_a_changed_file_of_an_environment_is_named(
    older: tuple[Package, Path, Path], name: str, said: str
) -> None:
    """The versions are as they were; the content is not, or something lies there that was not installed."""
    package, path, home = older
    own = own_environment(package.manifest, package.data("requirements.txt"), home / "environments")
    file = next(own.root.glob("lib/python*/site-packages")) / name
    before = file.read_bytes() if file.exists() else None
    file.unlink(missing_ok=True)  # an installer may have linked it to its cache
    file.write_bytes((before or b"") + b"\n#")
    try:
        with pytest.raises(EnvironmentMismatchError, match="was changed since it was built") as caught:
            open_package(
                path, expected_sha256=package.sha256, cache=home / "cache", environments=home / "environments"
            )
    finally:
        file.unlink()
        if before is not None:
            file.write_bytes(before)
    assert any(line.endswith(f"site-packages/{name}: {said}") for line in caught.value.examples)
