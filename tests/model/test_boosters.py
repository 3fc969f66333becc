"""Boosters are packaged like any estimator: the same bytes twice, the same bits as by themselves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from catboost import CatBoostRegressor

from rescore.errors import SpecError, UnseededEstimatorError
from rescore.model import open_package, requirements, train_verified
from rescore.model.code_tree import code_tree, write_tree
from rescore.model.environment import start_environment
from rescore.model.runtime.artifact import force_one_job, load_artifact
from rescore.model.runtime.frames import Features
from tests.model.boosters import KINDS, LIBRARIES, pipeline
from tests.model.packages import build
from tests.model.parcels import MIXED, Trained, table, write_folder
from tests.model.test_train import FIT_ALL

ROOT = Path(__file__).parents[2]
EACH = [(library, kind) for library in LIBRARIES for kind in KINDS]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Path:
    """Two interpreters of other hash seeds fit each model, in other order and some moments apart."""
    home = tmp_path_factory.mktemp("boosters")
    runs: list[list[str]] = [[], []]
    for kind in KINDS:
        pq.write_table(table(400, seed, kind=kind), home / f"{kind}.parquet")
    for library, kind in EACH:
        name = f"{library}_{kind}"
        folder = write_folder(home, name=name, pipeline=pipeline(library, kind), target={"kind": kind})
        write_tree(code_tree(folder), home / "trees")
        for number, jobs in enumerate(runs):
            out = home / f"run{number}" / name
            out.mkdir(parents=True)
            job = {
                "model": name,
                "features": MIXED,
                "target": {"name": "late", "kind": kind, "positive": True if kind == "binary" else None},
                "seed": 7,
                "hyperparameters": "{}",
                "holdout_intervals": 3,
                "folds": 3,
                "snapshot": str(home / f"{kind}.parquet"),
                "out": str(out),
            }
            path = home / f"{name}{number}.json"
            path.write_text(json.dumps(job))
            jobs.append(str(path))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", FIT_ALL, *(jobs if number else reversed(jobs))],
            env=start_environment([home / "trees", ROOT / "include"], hash_seed=number * 1_000 + 1),
            cwd=home,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, jobs in enumerate(runs)
    ]
    for child in children:
        _, log = child.communicate()
        assert child.returncode == 0, log
    return home


@pytest.mark.parametrize(("library", "kind"), EACH)
def test_two_fits_give_the_same_bytes(trained: Path, library: str, kind: str) -> None:
    for file in ("model.skops", "golden.json", "final.json"):
        one, other = (trained / f"run{number}" / f"{library}_{kind}" / file for number in (0, 1))
        assert one.read_bytes() == other.read_bytes(), file
    assert not [path.name for path in trained.iterdir() if path.name.startswith("catboost_info")]


@pytest.mark.parametrize(("library", "kind"), EACH)
def test_the_artifact_predicts_the_bits_of_the_plain_pipeline(
    trained: Path, seed: int, library: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is loaded, and a pipeline that build() gives and that is fitted here: the same scores."""
    name = f"{library}_{kind}"
    monkeypatch.syspath_prepend(str(trained / "trees"))
    final = json.loads((trained / "run0" / name / "final.json").read_text())
    content = (trained / "run0" / name / "model.skops").read_bytes()
    loaded = load_artifact(content, final["artifact"]["types"])
    features = Features.from_json(final["features"])
    fitted_to, rows = (table(400, one, kind=kind) for one in (seed, seed + 1))
    truth = fitted_to["late"].to_numpy(zero_copy_only=False)
    labels = sorted(set(truth.tolist())) if kind != "regression" else None
    if labels:
        truth = np.array([labels.index(one) for one in truth])
    namespace: dict[str, Any] = {}
    exec(pipeline(library, kind), namespace)
    plain = namespace["build"]({}, 7)
    if library != "catboost":
        plain.set_params(n_jobs=1)
    plain.fit(features.frame(features.conform(fitted_to)), truth)
    frame = features.frame(features.conform(rows))
    ask = "predict" if kind == "regression" else "predict_proba"
    assert getattr(loaded, ask)(frame).tobytes() == getattr(plain, ask)(frame).tobytes()


def test_the_manifest_says_what_was_fitted(trained: Path) -> None:
    described = {
        name: json.loads((trained / "run0" / f"{name}_binary" / "final.json").read_text())["pipeline"]
        for name in LIBRARIES
    }
    assert described["lightgbm"]["parameters"]["deterministic"] is True
    assert described["lightgbm"]["n_iter"] == described["xgboost"]["n_iter"] == 25
    (_, catboost) = described["catboost"]["parameters"]["steps"][1]
    assert catboost["n_iter"] == 25
    assert 0 < catboost["learning_rate"] < 1  # CatBoost chose it from the number of rows
    assert "thread_count" not in catboost["parameters"]


@pytest.mark.parametrize(
    ("library", "installed"),
    [("lightgbm", "lightgbm"), ("xgboost", "xgboost-cpu"), ("catboost", "catboost")],
)
def test_the_lock_of_a_package_names_its_booster_with_version_and_hashes(
    trained: Path, library: str, installed: str
) -> None:
    final = json.loads((trained / "run0" / f"{library}_binary" / "final.json").read_text())
    pinned = requirements.direct(f"{library}_binary", {}, final["artifact"]["types"])
    assert pinned[installed] == version(installed)
    lock = requirements.lock_lines(requirements.locked(pinned), ROOT / "requirements.txt")
    assert f"{installed}=={version(installed)}" in lock
    assert not requirements.without_hashes(lock)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "kind"), [("lightgbm", "binary"), ("xgboost", "multiclass"), ("catboost", "regression")]
)
def test_a_package_is_the_same_file_twice_and_scores_in_a_process_of_its_own(
    tmp_path: Path, seed: int, library: str, kind: str
) -> None:
    """From two verified trainings, each of all fits twice, to two wheels."""
    pq.write_table(table(600, seed, kind=kind), tmp_path / "snapshot.parquet")
    folder = write_folder(tmp_path, pipeline=pipeline(library, kind), target={"kind": kind})
    files = []
    for name in ("one", "other"):
        fitted = train_verified(tmp_path / "snapshot.parquet", folder, build_dir=tmp_path / f"build_{name}")
        files.append(build(Trained(tmp_path, folder, fitted), tmp_path / name))
    assert files[0].path.read_bytes() == files[1].path.read_bytes()
    assert fitted.importance["wind"] > fitted.importance["stops"], "chance decides stops, wind the target"
    package = open_package(files[0].path, expected_sha256=files[0].sha256, cache=tmp_path / "cache")
    pq.write_table(table(300, seed + 1, kind=kind), tmp_path / "rows.parquet")
    columns = {label: f"p{number}" for number, label in enumerate(package.manifest.target.labels)}
    scores = package.predict(tmp_path / "rows.parquet", probabilities=columns)
    assert scores.num_rows == 300
    if kind == "multiclass":
        np.testing.assert_allclose(sum(scores[f"p{n}"].to_numpy() for n in range(3)), 1.0, rtol=1e-6)


REFUSED = {
    "a CatBoost model without a seed": (
        "catboost",
        "iterations=5",
        UnseededEstimatorError,
        "has no random_state: it would not follow training.seed",
    ),
    "a LightGBM that may add in any order": (
        "lightgbm",
        "deterministic=False, random_state=seed",
        SpecError,
        "deterministic of LGBMClassifier is False",
    ),
    "a graphics processor": (
        "xgboost",
        'device="cuda", random_state=seed',
        SpecError,
        "device of XGBClassifier is 'cuda'",
    ),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_need_not_give_the_same_model_twice_is_refused_by_name(
    make_trainer: Callable[..., Any], which: str
) -> None:
    library, arguments, error, what = REFUSED[which]
    name = {"catboost": "CatBoost", "lightgbm": "LGBM", "xgboost": "XGB"}[library] + "Classifier"
    text = (
        f"from {library} import {name}\n\ndef build(hyperparameters, seed):\n    return {name}({arguments})\n"
    )
    with pytest.raises(error, match=what) as caught:
        make_trainer(pipeline=text).run("final")
    assert caught.value.fix


def test_threads_that_a_pipeline_asks_for_are_not_used(make_trainer: Callable[..., Any]) -> None:
    """Also where nothing is said, which means all processors to LightGBM and CatBoost."""
    text = """
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.ensemble import VotingClassifier

def build(hyperparameters, seed):
    line = LGBMClassifier(n_estimators=5, random_state=seed, num_threads=4)
    trees = CatBoostClassifier(iterations=5, thread_count=4, random_state=seed)
    return VotingClassifier([("line", line), ("trees", trees)], voting="soft", n_jobs=3)
"""
    estimator = make_trainer(pipeline=text)._build()
    (_, lightgbm), (_, catboost) = estimator.estimators
    assert (lightgbm.n_jobs, lightgbm.get_params()["num_threads"]) == (1, 1)
    assert catboost.get_params()["thread_count"] == 1
    assert estimator.n_jobs == 1


def test_catboost_predicts_on_one_thread() -> None:
    rows = np.arange(40.0).reshape(20, 2)
    model = CatBoostRegressor(iterations=3, random_state=1, verbose=False, allow_writing_files=False)
    model.fit(rows, rows[:, 0])
    asked: list[int] = []
    kept = CatBoostRegressor._base_predict

    def note(part: Any, *arguments: Any) -> Any:
        asked.append(arguments[4])
        return kept(part, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CatBoostRegressor, "_base_predict", note)
        before = model.predict(rows)
        force_one_job(model)
        assert model.predict(rows).tobytes() == before.tobytes()
    assert asked == [-1, 1]


GUIDE = (ROOT / "docs" / "guides" / "boosters.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^```python\n(.*?)^```", GUIDE, re.M | re.S)


@pytest.mark.parametrize("text", SHOWN, ids=["categories", "early stopping"])
def test_the_pipelines_of_the_guide_can_be_trained(make_trainer: Callable[..., Any], text: str) -> None:
    trainer = make_trainer(pipeline=text)
    trainer.run("final")
    if "early_stopping" in text:
        fitted = trainer._fit(np.ones(600, dtype=bool), "all rows").estimator.model_
        assert 0 < fitted.best_iteration_ < 500
        assert fitted.get_params()["deterministic"] is True
