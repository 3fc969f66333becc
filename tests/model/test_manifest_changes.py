"""What changed between two packages is said in a data scientist's words."""

from __future__ import annotations

import copy

import pytest

from rescore.manifest import Lineage, Manifest
from rescore.model import build_package, changes
from tests.model.parcels import Trained


@pytest.fixture(scope="module")
def manifest(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    made = build_package(
        trained.fitted,
        trained.folder,
        version="1.0.0",
        reference_profile=b"{}",
        lineage=Lineage(snapshot_digest="sha256:" + "0" * 64),
        destination=tmp_path_factory.mktemp("manifest"),
    )
    return made.manifest


def test_the_same_package_has_no_changes(manifest: Manifest) -> None:
    assert changes(manifest, copy.deepcopy(manifest)) == []


def test_each_kind_of_change_is_named(manifest: Manifest) -> None:
    other = manifest.to_dict()
    other["lineage"]["snapshot_digest"] = "sha256:" + "1" * 64
    other["features"][3]["levels"] = [*other["features"][3]["levels"][1:], "ZZ"]
    del other["features"][0]
    other["seed"] = 8
    other["pipeline"]["parameters"]["steps"][1][1]["parameters"]["C"] = 2.0
    other["code"]["files"]["parcel_delay/pipeline.py"] = "sha256:" + "2" * 64
    other["locked"]["numpy"] = "1.2.3"
    other["metrics"]["auc"] = 0.25 + (manifest.metrics["auc"] or 0)
    other["built"] = {"code_revision": "abc", "image": "sha256:33"}
    changed = changes(manifest, Manifest.from_dict(other))
    found = {(row["about"], row["what"]): (row["before"], row["after"]) for row in changed}
    assert list(dict.fromkeys(about for about, _ in found)) == [
        "data",
        "features",
        "parameters",
        "code",
        "environment",
        "metrics",
    ]
    assert found["features", "distance"] == ("a feature", "gone")
    assert found["features", "carrier: levels"] == ("4, gone: AA", "4, new: ZZ")
    assert found["parameters", "seed"] == ("7", "8")
    assert found["parameters", "pipeline parameters.steps[1][1].parameters.C"] == ("1.0", "2.0")
    assert found["code", "git revision of the build"] == ("absent", "abc")
    assert found["environment", "numpy"] == (manifest.locked["numpy"], "1.2.3")
    assert found["environment", "image"] == ("absent", "sha256:33")
    assert found["metrics", "auc"][1].endswith(" (+0.25)")
    assert ("code", "parcel_delay/pipeline.py") in found
