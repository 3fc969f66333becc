"""A package is refused, or runs nothing else, when anything of it or around it was changed."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rescore.errors import (
    DigestMismatchError,
    EnvironmentMismatchError,
    GoldenRowError,
)
from rescore.model import Fitted, Package, PackageFile, open_package
from rescore.model.process import Team
from rescore.model.requirements import direct
from rescore.model.runtime.errors import EnvironmentError_, FileDigestError
from rescore.model.runtime.package import InstalledPackage
from rescore.model.wheel_format import build_wheel, unpack
from rescore.sha256 import bytes_sha256
from tests.model.packages import build
from tests.model.parcels import Trained

KINDS = [
    "parcel_delay/__init__.py",
    "parcel_delay/_data/evaluation.skops",
    "parcel_delay/_data/golden.json",
    "parcel_delay/_data/manifest.json",
    "parcel_delay/_data/model.skops",
    "parcel_delay/_data/reference.json",
    "parcel_delay/_data/requirements.txt",
    "parcel_delay/_runtime/scoring.py",
    "parcel_delay/_sources/extract.sql",
    "parcel_delay/_sources/model.yaml",
    "parcel_delay/features/ratios.py",
    "parcel_delay/pipeline.py",
    "parcel_delay-1.0.0.dist-info/METADATA",
    "parcel_delay-1.0.0.dist-info/WHEEL",
]


@pytest.mark.parametrize("member", KINDS)
def test_one_changed_byte_is_found_and_its_file_named(file: PackageFile, member: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(file.path) as archive:
        info = archive.getinfo(member)
        offset = info.header_offset + 30 + len(member) + info.file_size // 2
    content = bytearray(file.path.read_bytes())
    content[offset] ^= 1
    changed = tmp_path / file.path.name
    changed.write_bytes(content)
    with pytest.raises(DigestMismatchError, match=r"expected sha256=.* got sha256=") as caught:
        open_package(changed, expected_sha256=file.sha256, cache=tmp_path / "cache")
    assert [one.partition(":")[0] for one in caught.value.data["changed"]] == [member]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("where", ["RECORD", "directory", "end"])
def test_a_changed_byte_outside_the_members_is_found(file: PackageFile, where: str, tmp_path: Path) -> None:
    content = bytearray(file.path.read_bytes())
    with zipfile.ZipFile(file.path) as archive:
        record = archive.getinfo("parcel_delay-1.0.0.dist-info/RECORD")
        offset = {"RECORD": record.header_offset + 100, "directory": archive.start_dir + 60, "end": -1}[where]
    content[offset] ^= 1
    (tmp_path / file.path.name).write_bytes(content)
    with pytest.raises(DigestMismatchError):
        open_package(tmp_path / file.path.name, expected_sha256=file.sha256, cache=tmp_path / "cache")


def planted(folder: Path) -> None:
    """What an attacker can leave in a folder of unpacked packages: bytecode, a link, a module in front."""
    (folder / "__pycache__").mkdir(parents=True, exist_ok=True)
    for name in ("pipeline", "__init__", "levels"):
        (folder / "__pycache__" / f"{name}.cpython-311.pyc").write_bytes(b"not what was verified")
    (folder / "numpy.py").write_text("raise SystemExit('comes before the real one')")


def test_nothing_that_lies_in_the_cache_is_run(
    file: PackageFile, package: Package, rows: Path, tmp_path: Path
) -> None:
    scores = package.predict(rows)
    cache = tmp_path / "cache"
    planted(cache)
    planted(cache / file.sha256.hex)
    planted(cache / file.sha256.hex / "parcel_delay")
    (cache / "parcel_delay").symlink_to(cache / file.sha256.hex)
    opened = open_package(file.path, expected_sha256=file.sha256, cache=cache)
    before = sorted(cache.rglob("*"))
    assert opened.predict(rows).equals(scores)
    assert sorted(cache.rglob("*")) == before  # and nothing is left behind


def test_a_file_that_is_swapped_after_it_was_verified_is_not_read(
    file: PackageFile, package: Package, rows: Path, tmp_path: Path
) -> None:
    copied = tmp_path / file.path.name
    shutil.copyfile(file.path, copied)
    opened = open_package(copied, expected_sha256=file.sha256, cache=tmp_path / "cache")
    copied.write_bytes(copied.read_bytes().replace(b"1.0", b"2.0"))
    assert opened.predict(rows).equals(package.predict(rows))
    copied.unlink()
    opened.verify()
    assert opened.reference_profile() == package.reference_profile()


def test_the_folder_of_a_run_is_this_users_alone_and_bytecode_is_neither_read_nor_left(
    package: Package,
) -> None:
    with package._unpacked() as run:
        assert stat.S_IMODE(run.code.parent.stat().st_mode) == 0o700
        package._command(Team(), [], run)
        assert not list(run.code.rglob("*.pyc"))
    assert not run.code.parent.exists()


def test_an_installed_package_checks_itself_without_the_platform(file: PackageFile, tmp_path: Path) -> None:
    """Whoever installed it with pip has no wheel to compare with, only the manifest."""
    unpack(file.path.read_bytes(), tmp_path)
    root = tmp_path / "parcel_delay"
    assert "model.skops" in InstalledPackage(root).data  # every file was compared
    data = (root / "_data" / "model.skops").read_bytes()
    (root / "_data" / "model.skops").write_bytes(data[:-1])
    with pytest.raises(FileDigestError, match=r"_data/model\.skops of parcel_delay 1\.0\.0") as caught:
        _ = InstalledPackage(root).scorer
    assert caught.value.data["file"] == "parcel_delay/_data/model.skops"
    manifest = json.loads((root / "_data" / "manifest.json").read_text())
    manifest["requirements"] |= {"skops": "0.1", "python": "3.9.1"}
    (root / "_data" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EnvironmentError_, match=r"python 3\.9\.1 \(found 3.*skops 0\.1 \(found"):
        _ = InstalledPackage(root).scorer


def test_other_versions_are_listed_one_by_one(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = direct
    monkeypatch.setattr(
        "rescore.model.requirements.direct",
        lambda *given: {**real(*given), "numpy": "1.2.3", "shapely": "4.6.0"},
    )
    other = build(trained, tmp_path)
    with pytest.raises(EnvironmentMismatchError) as caught:
        open_package(other.path, expected_sha256=other.sha256, cache=tmp_path / "cache")
    assert caught.value.data["different"] == {
        "shapely": {"expected": "4.6.0", "found": None},
        "numpy": {"expected": "1.2.3", "found": np.__version__},
    }
    assert "numpy: expected 1.2.3, found" in str(caught.value)
    assert "shapely: expected 4.6.0, found not installed" in str(caught.value)


def test_golden_rows_that_do_not_give_their_bits_stop_the_first_score(
    trained: Trained, rows: Path, tmp_path: Path
) -> None:
    """A wheel with every digest right, whose third golden score is one bit off."""
    directory = tmp_path / "fitted"
    shutil.copytree(trained.fitted.directory, directory)
    golden = json.loads((directory / "fitted" / "golden.json").read_text())
    recorded = float.fromhex(golden["score"][2])
    golden["score"][2] = float(np.nextafter(recorded, 1)).hex()
    (directory / "fitted" / "golden.json").write_text(json.dumps(golden))
    other = build(trained, tmp_path, Fitted.open(directory))
    package = open_package(other.path, expected_sha256=other.sha256, cache=tmp_path / "cache")
    with pytest.raises(GoldenRowError, match=r"1 of 128 differ, by up to 1 ULP") as caught:
        package.predict(rows)
    assert caught.value.data["row"] == 2
    assert caught.value.data["expected_score"] == golden["score"][2]
    assert caught.value.data["found_score"] == recorded.hex()


def test_golden_labels_stop_the_first_score_too(trained: Trained, rows: Path, tmp_path: Path) -> None:
    directory = tmp_path / "fitted"
    shutil.copytree(trained.fitted.directory, directory)
    golden = json.loads((directory / "fitted" / "golden.json").read_text())
    golden["label"][5] = "true" if golden["label"][5] == "false" else "false"
    (directory / "fitted" / "golden.json").write_text(json.dumps(golden))
    other = build(trained, tmp_path, Fitted.open(directory))
    package = open_package(other.path, expected_sha256=other.sha256, cache=tmp_path / "cache")
    with pytest.raises(GoldenRowError, match=r"golden labels: the first other one is row 5") as caught:
        package.predict(rows)
    assert caught.value.data["expected_label"] == golden["label"][5]


def test_a_wheel_does_not_unpack_outside_its_folder(tmp_path: Path) -> None:
    content = build_wheel(
        "evil", "1", {"../evil.py": b""}, summary="", python=">=3", requirements=[], information={}
    )
    (tmp_path / "evil-1-py3-none-any.whl").write_bytes(content)
    with pytest.raises(DigestMismatchError, match="leads out"):
        unpack(content, tmp_path / "unpacked")
    with pytest.raises(DigestMismatchError, match="is no model package"):
        open_package(
            tmp_path / "evil-1-py3-none-any.whl",
            expected_sha256=bytes_sha256(content),
            cache=tmp_path / "cache",
        )
    assert not (tmp_path / "evil.py").exists()
