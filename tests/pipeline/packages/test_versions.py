"""Which version a newly built package gets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rescore.manifest import Manifest
from rescore.model import PackageFile
from rescore.pipeline.packages.versions import same_or_next
from rescore.sha256 import bytes_sha256


def built(training: str, version: str) -> PackageFile:
    manifest = Manifest(files={"model.skops": bytes_sha256(training.encode())}, version=version)
    return PackageFile(Path(version), bytes_sha256(f"{training} {version}".encode()), manifest)


def trained(*trainings: str) -> list[str]:
    """The versions that these trainings get, one after the other."""
    known: list[Any] = []
    given = []
    for training in trainings:
        line = training.partition(" ")[0]
        folder: Any = SimpleNamespace(spec=SimpleNamespace(version=line))
        package = same_or_next(lambda version, training=training: built(training, version), known, folder)
        given.append(package.version)
        if package.version not in [one.version for one in known]:
            known.append(
                SimpleNamespace(version=package.version, sha256=package.sha256, manifest=package.manifest)
            )
    return given


@pytest.mark.parametrize(
    ("trainings", "versions"),
    [
        pytest.param(["1.0 a", "1.0 a"], ["1.0.0", "1.0.0"], id="again"),
        pytest.param(["1.0 a", "1.0 b", "1.0 a"], ["1.0.0", "1.0.1", "1.0.0"], id="another between"),
        pytest.param(
            ["1.0 a", "1.0 b", "1.0 c", "1.0 b", "1.0 d"],
            ["1.0.0", "1.0.1", "1.0.2", "1.0.1", "1.0.3"],
            id="several between",
        ),
        pytest.param(["1.0 a", "1.1 a", "1.0 a"], ["1.0.0", "1.1.0", "1.0.0"], id="another line between"),
    ],
)
def test_a_training_has_one_version_whatever_was_trained_between(
    trainings: list[str], versions: list[str]
) -> None:
    assert trained(*trainings) == versions
