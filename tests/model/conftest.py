"""What tests of models share: folders, snapshots, a trainer in this process."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rescore.folder import ModelFolder
from rescore.model import Package, PackageFile, open_package, train
from rescore.model.child.trainer import Trainer
from rescore.model.code_tree import code_tree, write_tree
from rescore.model.environment import THREAD_VARIABLES
from tests.model.packages import build
from tests.model.parcels import Trained, table, write_folder
from tests.model.zoo import BESIDE, OWN, SHARED


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Trained:
    """Trained in two processes, below a parent whose environment is unlike the one they need."""
    home = tmp_path_factory.mktemp("trained")
    pq.write_table(table(500, seed), home / "snapshot.parquet")
    folder = write_folder(home, pipeline=OWN, shared=SHARED, files=BESIDE)
    hostile = {**dict.fromkeys(THREAD_VARIABLES, "4"), "PYTHONHASHSEED": "99", "TZ": "Asia/Tokyo"}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in hostile.items():
            patch.setenv(variable, value)
        umask = os.umask(0o077)
        try:
            fitted = train(home / "snapshot.parquet", folder, build_dir=home / "build", processes=2)
        finally:
            os.umask(umask)
    return Trained(home / "snapshot.parquet", folder, fitted)


@pytest.fixture(scope="session")
def package_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("package")


@pytest.fixture(scope="session")
def file(trained: Trained, package_home: Path) -> PackageFile:
    return build(trained, package_home / "built")


@pytest.fixture(scope="session")
def package(file: PackageFile, package_home: Path) -> Package:
    return open_package(file.path, expected_sha256=file.sha256, cache=package_home / "cache")


@pytest.fixture(scope="session")
def rows(package_home: Path, seed: int) -> Path:
    """Rows to score, in row groups that are no leaves, with a carrier that training never saw."""
    drawn = table(70_000, seed + 1)
    carriers = drawn["carrier"].to_pylist()
    carriers[3] = "never seen"
    drawn = drawn.set_column(drawn.column_names.index("carrier"), "carrier", pa.array(carriers))
    pq.write_table(drawn, package_home / "rows.parquet", row_group_size=30_000)
    return package_home / "rows.parquet"


@pytest.fixture(scope="session")
def scores(package: Package, rows: Path) -> pa.Table:
    return package.predict(rows)


@pytest.fixture
def make_trainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_snapshot: Callable[..., Path]
) -> Callable[..., Trainer]:
    """A trainer in this process: for what needs no fresh interpreter. Each has a name of its own."""

    def make(rows: int = 600, kind: str = "binary", snapshot: Path | None = None, **changes: Any) -> Trainer:
        name = f"parcel_{uuid.uuid4().hex[:8]}"
        folder = write_folder(tmp_path, name=name, **{"target": {"name": "late", "kind": kind}, **changes})
        build = tmp_path / name
        write_tree(code_tree(folder), build / "tree")
        (build / "fitted").mkdir()
        monkeypatch.syspath_prepend(build / "tree")
        return Trainer(
            {
                "model": name,
                "features": {feature.name: feature.kind for feature in folder.spec.features},
                "target": folder.spec.target.model_dump(),
                "seed": 7,
                "hyperparameters": "{}",
                "holdout_intervals": 3,
                "folds": 3,
                "snapshot": str(snapshot or make_snapshot(rows, kind=kind)),
                "out": str(build / "fitted"),
            }
        )

    return make


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., ModelFolder]:
    """Write a model folder; see :func:`write_folder`."""
    return lambda **changes: write_folder(tmp_path, **changes)


@pytest.fixture
def make_snapshot(tmp_path: Path, seed: int) -> Callable[..., Path]:
    """Write a training snapshot as Parquet; see :func:`table`."""

    def make(rows: int = 600, **options: Any) -> Path:
        path = tmp_path / "snapshot.parquet"
        pq.write_table(table(rows, seed, **options), path)
        return path

    return make
