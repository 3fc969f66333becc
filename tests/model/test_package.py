"""A package: the same bytes each time, proves itself, and is refused when anything of it changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from rescore.errors import (
    ModelError,
    SpecError,
)
from rescore.model import Package, PackageFile, bill_of, held_bill, lock_of, next_version
from rescore.model import package as package_module
from rescore.model.requirements import direct, lock_lines
from rescore.model.target import truth_for
from rescore.performance import point_metrics
from rescore.sha256 import bytes_sha256
from tests.model.packages import LINEAGE, PROFILE, build
from tests.model.parcels import Trained
from tests.shared.waiting import until


def test_the_same_inputs_give_the_same_bytes(trained: Trained, file: PackageFile, tmp_path: Path) -> None:
    umask = os.umask(0o077)
    again = build(trained, tmp_path)
    os.umask(umask)
    assert again.path.read_bytes() == file.path.read_bytes()
    assert again.sha256 == file.sha256 == bytes_sha256(file.path.read_bytes())
    assert build(trained, tmp_path, version="1.0.1").sha256 != file.sha256


def test_the_wheel_holds_its_bill_of_materials(trained: Trained, file: PackageFile, tmp_path: Path) -> None:
    """Below .dist-info/sboms, where PEP 770 puts it; it names what the lock does, and the very package."""
    held = bill_of(file.path)
    with zipfile.ZipFile(file.path) as wheel:
        assert wheel.read("parcel_delay-1.0.0.dist-info/sboms/rescore.cdx.json") == held
        assert (
            "parcel_delay-1.0.0.dist-info/sboms/rescore.cdx.json,sha256="
            in wheel.read("parcel_delay-1.0.0.dist-info/RECORD").decode()
        )
    bill = json.loads(held)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    locked = {line.split()[0] for line in lock_of(file.path).splitlines() if "==" in line}
    assert {f"{one['name']}=={one['version']}" for one in bill["components"]} == locked
    assert bill["metadata"]["component"]["name"] == "parcel_delay"
    other = json.loads(bill_of(build(trained, tmp_path, version="1.0.1").path))
    assert other["serialNumber"] != bill["serialNumber"]


def test_a_package_of_a_release_without_a_bill_has_one_made(trained: Trained, tmp_path: Path) -> None:
    """The same as it would hold; building it again without one gives its file."""
    without = build(trained, tmp_path / "a", bill=False)
    again = build(trained, tmp_path / "b", bill=False)
    assert held_bill(without.path.read_bytes()) is None
    assert without.sha256 == again.sha256
    assert bill_of(without.path) == bill_of(build(trained, tmp_path / "c").path)


ELSEWHERE = """
import os, sys
from pathlib import Path
from rescore.folder import load_model
from rescore.manifest import Lineage
from rescore.model import build_package, train
home, snapshot, lock = map(Path, sys.argv[1:4])
os.umask(0o077)
folder = load_model(home / "models", "parcel_delay")
fitted = train(snapshot, folder, build_dir=home / "build", processes=1)
made = build_package(fitted, folder, version="1.0.0", reference_profile=PROFILE, lineage=LINEAGE,
                     destination=home / "dist", lock=lock)
print(made.sha256)
"""


@pytest.mark.slow
def test_another_folder_without_git_in_another_place_gives_the_same_file(
    trained: Trained, tmp_path: Path
) -> None:
    """Another checkout of the folders, no git, other umask, time zone, language, hash seed, threads."""
    lock = Path(__file__).parents[2] / "requirements.txt"
    here = build(trained, tmp_path / "here", lock=lock)
    home = tmp_path / "a colleague's"
    shutil.copytree(trained.folder.path.parents[1], home, ignore=shutil.ignore_patterns("build"))
    around = {
        "HOME": str(tmp_path),
        "PATH": str(tmp_path),
        "TZ": "Asia/Tokyo",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "77",
        "OMP_NUM_THREADS": "4",
        "SOURCE_DATE_EPOCH": "1234567890",
        "PYTHONPATH": str(Path(__file__).parents[2] / "include"),
    }
    code = ELSEWHERE.replace("PROFILE", repr(PROFILE)).replace(
        "LINEAGE", f"Lineage.from_dict({LINEAGE.to_dict()!r})"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(home), str(trained.snapshot), str(lock)],
        env=around,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said.strip() == here.sha256
    assert (home / "dist" / here.path.name).read_bytes() == here.path.read_bytes()
    with zipfile.ZipFile(here.path) as archive:
        lines = archive.read("parcel_delay/_data/requirements.txt").decode().split("\n")
    assert all(line.startswith("    --hash=sha256:") or line.endswith(" \\") or not line for line in lines)


def test_the_wheel_holds_no_path_and_no_time_of_this_machine(trained: Trained, file: PackageFile) -> None:
    with zipfile.ZipFile(file.path) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}
        everything = b"".join(archive.read(name) for name in archive.namelist())
    for path in (trained.fitted.directory, Path(__file__).parents[2], Path(sys.prefix)):
        assert str(path).encode() not in everything


def test_the_manifest_says_what_an_auditor_asks(file: PackageFile, trained: Trained) -> None:
    manifest = file.manifest.to_dict()
    assert (manifest["name"], manifest["version"], manifest["format"]) == ("parcel_delay", "1.0.0", 1)
    assert [(one["name"], one["kind"], one["dtype"]) for one in manifest["features"]] == [
        ("distance", "numeric", "float64"),
        ("wind", "numeric", "float64"),
        ("stops", "numeric", "float64"),
        ("carrier", "categorical", "category"),
        ("holiday", "boolean", "float64"),
    ]
    assert manifest["lineage"] == LINEAGE.to_dict()
    assert manifest["seed"] == 7
    assert manifest["training"] == {"rows": 500, "intervals": 12, "holdout_intervals": 3, "folds": 3}
    assert manifest["metrics"] == trained.fitted.metrics
    assert manifest["requirements"]["numpy"] == np.__version__
    assert manifest["environment"]["blas"]
    steps = manifest["pipeline"]["parameters"]["steps"]
    assert [step[1]["type"] for step in steps] == [
        "parcel_delay.pipeline.Encode",
        "sklearn.linear_model._logistic.LogisticRegression",
    ]
    own = manifest["code"]["files"]
    assert set(own) >= {
        "parcel_delay/pipeline.py",
        "parcel_delay/features/ratios.py",
        "parcel_delay/levels.py",
    }
    assert "parcel_delay/_sources/model.yaml" in own
    assert not any("_runtime" in path for path in own)


def test_the_code_is_found_in_git_by_its_content(file: PackageFile, trained: Trained) -> None:
    """Nothing of git is in the package, but the ids that git gives to the same contents."""
    code = file.manifest.code.to_dict()
    pipeline = trained.folder.path / "pipeline.py"
    told = subprocess.run(["git", "hash-object", str(pipeline)], capture_output=True, text=True, check=True)
    assert code["git_blobs"]["parcel_delay/pipeline.py"] == told.stdout.strip()
    assert code["git_blobs"].keys() == code["files"].keys()


def test_scores_are_aligned_and_do_not_depend_on_what_is_left_out(
    package: Package, rows: Path, scores: pa.Table
) -> None:
    """Left out rows shift every block; two processes cut the file elsewhere; the bits stay."""
    assert scores.column_names == ["score", "label"]
    assert scores.num_rows == 70_000
    high = np.asarray(scores["score"]) > 0.5
    assert np.asarray(scores["label"]).tolist() == np.where(high, "true", "false").tolist()
    left_out = [0, 1, 2, 29_999, 65_536, 69_999]
    lines: list[str] = []
    kept = package.predict(rows, exclude=left_out, progress=lines.append, processes=2)
    expected = np.delete(np.asarray(scores["score"]), left_out)
    assert np.asarray(kept["score"]).tobytes() == expected.tobytes()
    assert lines[-1] == "scored 69,994 of 69,994 rows"


@pytest.mark.parametrize("processes", [1, 3])
def test_scores_flow_leaf_by_leaf_the_same_from_any_number_of_children(
    package: Package, rows: Path, scores: pa.Table, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_module, "LEAF_ROWS", 7_000)  # ten leaves, none of which is one of the file's
    left_out = [0, *range(7_000, 14_000), 65_536]  # a leaf without any row
    flowing = package.scored(rows, exclude=left_out, processes=processes)
    batches = list(flowing)
    assert [batch.num_rows for batch in batches] == [6_999, 0, *[7_000] * 7, 6_999]
    assert pa.Table.from_batches(batches).equals(source_without(scores, left_out).combine_chunks())


def test_a_package_from_before_leaves_scores_a_range_of_them(
    package: Package, rows: Path, scores: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_module, "LEAF_ROWS", 7_000)
    monkeypatch.setattr(Package, "_knows_leaves", False)
    left_out = [0, 13_999, 14_000, 20_000, 28_000]
    part = list(package.scored(rows, exclude=left_out, leaves=(2, 4), processes=2))
    expected = source_without(scores, left_out).combine_chunks().slice(13_998, 13_998)
    assert pa.Table.from_batches(part).equals(expected)


def test_the_first_dead_child_ends_the_others_and_so_does_who_takes_no_more(
    package: Package, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_module, "LEAF_ROWS", 1_000)
    flowing = package.scored(rows, processes=2)
    next(flowing)
    first, second = two_scoring_children(package)
    first.kill()
    with pytest.raises(ModelError, match="was ended by signal 9"):
        list(flowing)
    assert not second.is_running()
    flowing = package.scored(rows, processes=2)
    next(flowing)
    children = two_scoring_children(package)
    flowing.close()
    assert not any(child.is_running() for child in children)
    assert list(package.scratch.glob("package-*")) == []


def two_scoring_children(package: Package) -> list[psutil.Process]:
    """The processes that work in the package's private folder, once both do; fresh or forked."""

    def working() -> list[psutil.Process]:
        found = []
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if Path(process.cwd()).is_relative_to(package.scratch):
                    found.append(process)
        return found if len(found) == 2 else []

    return until(working, "two children at work")


def source_without(table: pa.Table, positions: list[int]) -> pa.Table:
    return table.filter(pa.array(~np.isin(np.arange(table.num_rows), positions)))


def test_rows_that_do_not_exist_are_not_left_out(package: Package, rows: Path) -> None:
    with pytest.raises(ModelError, match="70,000"):
        package.predict(rows, exclude=[70_000])


def test_its_metrics_are_measured_again_from_the_snapshot(trained: Trained, package: Package) -> None:
    """To the last bit, by the fit that it keeps of the rows before the hold-out."""
    evaluation = package.manifest.evaluation.to_dict()
    columns = {label: f"p{number}" for number, label in enumerate(package.manifest.target.labels)}
    scores = package.predict(trained.snapshot, fit="evaluation", probabilities=columns)
    rows = pq.read_table(trained.snapshot)
    unseen = pc.greater_equal(rows["interval_start"], datetime.fromisoformat(evaluation["from"]))
    raw = np.column_stack([scores.filter(unseen)[name] for name in ("p0", "p1")])
    truth = truth_for("late", "binary", package.manifest.target.labels, rows.filter(unseen)["late"])
    assert point_metrics("binary", truth, raw) == package.manifest.metrics
    assert not scores["score"].equals(package.predict(trained.snapshot)["score"])
    assert scores["score"].equals(scores["p1"])


def test_reference_profile(package: Package) -> None:
    assert package.reference_profile() == PROFILE
    assert (package.name, package.version) == ("parcel_delay", "1.0.0")


ALONE = """
import runpy, sys
sys.modules["rescore"] = sys.modules["airflow"] = None  # importing either fails
import pandas as pd
import parcel_delay
frame = pd.read_parquet(sys.argv[1]).iloc[:2_000].sample(frac=1, random_state=1)
scores = parcel_delay.predict(frame)
assert (scores.index == frame.index).all()
scores.sort_index().to_parquet(sys.argv[2])
print(parcel_delay.__version__, parcel_delay.manifest()["owner"])
sys.argv[1:] = []
runpy.run_module("parcel_delay", run_name="__main__")  # python -m parcel_delay, without another start
"""


@pytest.mark.slow
def test_installed_by_pip_it_needs_neither_rescore_nor_airflow(
    file: PackageFile, rows: Path, scores: pa.Table, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", str(site), str(file.path)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    said = subprocess.run(
        [sys.executable, "-c", ALONE, str(rows), str(tmp_path / "scores.parquet")],
        env=environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said.splitlines()[0] == "1.0.0 parcels@example.org"
    assert said.splitlines()[1].startswith("parcel_delay 1.0.0: 128 golden rows give their recorded bits")
    people = pd.read_parquet(tmp_path / "scores.parquet")
    assert people["score"].to_numpy().tobytes() == np.asarray(scores["score"])[:2_000].tobytes()
    assert people["label"].tolist() == scores["label"].to_pylist()[:2_000]


def test_a_missing_feature_is_named(package: Package, rows: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(rows).drop_columns(["wind"]), tmp_path / "less.parquet")
    with pytest.raises(ModelError, match=r"features are missing from less\.parquet: wind"):
        package.predict(tmp_path / "less.parquet")


def test_code_changed_since_training_is_not_packaged(trained: Trained, tmp_path: Path) -> None:
    moved = tmp_path / "models" / trained.folder.name
    shutil.copytree(trained.folder.path, moved)
    (moved / "pipeline.py").write_text((moved / "pipeline.py").read_text() + "\n# changed\n")
    folder = replace(trained.folder, path=moved)
    with pytest.raises(SpecError, match="changed since it was trained") as caught:
        build(replace(trained, folder=folder), tmp_path)
    assert caught.value.data["changed"] == ["parcel_delay/pipeline.py"]


def test_code_that_needs_rescore_is_not_packaged() -> None:
    with pytest.raises(SpecError, match="imports rescore"):
        direct("m", {"m/pipeline.py": b"from rescore.spec import load_model\n"}, [])
    own = direct("m", {"m/pipeline.py": b"import json, yaml, m\nfrom . import x\n"}, ["numpy.dtype"])
    assert "pyyaml" in {name.lower() for name in own}
    assert "scikit-learn" in own


def test_the_lock_takes_its_hashes_from_the_platforms(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        "numpy==2.2.0 ; python_full_version < '3.12' \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
        "numpy==2.4.6 ; python_full_version >= '3.12' \\\n    --hash=sha256:cc\n    # via pandas\n"
    )
    assert lock_lines({"numpy": "2.4.6", "joblib": "1.5"}, lock) == (
        "numpy==2.4.6 \\\n    --hash=sha256:cc\njoblib==1.5\n"
    )


def test_versions_count_up_within_their_minor() -> None:
    assert next_version("1.0", []) == "1.0.0"
    assert next_version("1.0", ["1.0.2", "1.0.10", "1.1.7", "11.0.99"]) == "1.0.11"
    assert next_version("2.0", ["1.0.10"]) == "2.0.0"


def test_processes_share_whole_leaves() -> None:
    assert package_module.whole_leaves((0, 200_000), 2) == [(0, 131_072), (131_072, 200_000)]
    assert package_module.whole_leaves((65_536, 200_000), 2) == [(65_536, 131_072), (131_072, 200_000)]
    assert package_module.whole_leaves((0, 10), 2) == [(0, 10)]
    assert package_module.whole_leaves((0, 0), 2) == [(0, 0)]
