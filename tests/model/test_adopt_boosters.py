"""Adopting boosters: pickles of their scikit-learn classes, their own files, and MLflow's folders of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import catboost
import joblib
import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost
import yaml

from rescore.errors import EnvironmentMismatchError, ModelError
from rescore.folder import ModelFolder
from rescore.model import adopt, build_package, find_saved, open_package
from rescore.model.runtime.frames import Features
from tests.model.packages import LINEAGE
from tests.model.parcels import table, write_folder

MIXED = {"distance": "numeric", "wind": "numeric", "carrier": "categorical"}
NUMBERS = {"distance": "numeric", "wind": "numeric"}
BUILD = """
from sklearn.ensemble import HistGradientBoostingClassifier

def build(hyperparameters, seed):
    return HistGradientBoostingClassifier(random_state=seed)
"""


def _mlflow(folder: Path, flavor: str, **said: Any) -> Path:
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": {"python_function": {}, flavor: said}}))
    return folder


def _lightgbm_file(model: Any, home: Path) -> Path:
    model.booster_.save_model(home / "model.txt")
    return home / "model.txt"


def _lightgbm_in_mlflow(model: Any, home: Path) -> Path:
    joblib.dump(model, home / "model.pkl")
    said = {"data": "model.pkl", "lgb_version": lightgbm.__version__, "serialization_format": "cloudpickle"}
    return _mlflow(home, "lightgbm", **said)


def _xgboost_file(model: Any, home: Path) -> Path:
    model.save_model(home / "model.json")
    return home / "model.json"


def _xgboost_in_mlflow(model: Any, home: Path) -> Path:
    (home / "model.xgb").write_bytes(model.get_booster().save_raw("ubj"))
    return _mlflow(home, "xgboost", data="model.xgb", xgb_version="2.0.0", model_format="xgb")


def _catboost_in_mlflow(model: Any, home: Path) -> Path:
    model.save_model(home / "model.cb")
    return _mlflow(home, "catboost", data="model.cb", model_type="CatBoostClassifier", save_format="cbm")


@dataclass(frozen=True)
class Saved:
    """A model, how it was saved, and what the package is to say of it."""

    estimator: Any
    kind: str
    save: Callable[[Any, Path], Path]
    form: str


LIGHT = {"n_estimators": 12, "n_jobs": 1, "random_state": 1, "verbosity": -1}
EXTREME = {"n_estimators": 12, "n_jobs": 1, "random_state": 1, "enable_categorical": True}
CAT = {"iterations": 12, "thread_count": 1, "random_state": 1, "verbose": 0, "allow_writing_files": False}
SAVED = {
    "LightGBM's text": Saved(lightgbm.LGBMClassifier(**LIGHT), "binary", _lightgbm_file, "LightGBM text"),
    "LightGBM in MLflow": Saved(
        lightgbm.LGBMClassifier(**LIGHT), "multiclass", _lightgbm_in_mlflow, "mlflow lightgbm (cloudpickle)"
    ),
    "XGBoost's JSON": Saved(xgboost.XGBRegressor(**EXTREME), "regression", _xgboost_file, "XGBoost JSON"),
    "XGBoost in MLflow": Saved(
        xgboost.XGBClassifier(**EXTREME), "multiclass", _xgboost_in_mlflow, "mlflow xgboost (XGBoost UBJSON)"
    ),
    "CatBoost in MLflow": Saved(
        catboost.CatBoostClassifier(**CAT), "binary", _catboost_in_mlflow, "mlflow catboost (CatBoost binary)"
    ),
}
#: Each takes seconds, most of them for starting interpreters.
MANY = [pytest.param(one, marks=() if one == "CatBoost in MLflow" else pytest.mark.slow) for one in SAVED]


def _fitted(home: Path, seed: int, saved: Saved) -> tuple[ModelFolder, Path, Features]:
    """The estimator fitted to the numbers that its labels are called by, and the folder to adopt it into."""
    kinds = NUMBERS if isinstance(saved.estimator, catboost.CatBoostClassifier) else MIXED
    rows = table(400, seed, kind=saved.kind)
    pq.write_table(rows, home / "snapshot.parquet")
    truth = rows["late"].to_numpy(zero_copy_only=False)
    if saved.kind != "regression":
        truth = np.unique(truth, return_inverse=True)[1]
        numbered = rows.set_column(rows.column_names.index("late"), "late", pa.array(truth))
        pq.write_table(numbered, home / "snapshot.parquet")
    features = Features.learn(kinds, rows)
    saved.estimator.fit(features.frame(features.conform(rows)), truth)
    positive = {"positive": 1} if saved.kind == "binary" else {}
    folder = write_folder(home, features=kinds, pipeline=BUILD, target={"kind": saved.kind, **positive})
    return folder, home / "snapshot.parquet", features


@pytest.mark.parametrize("which", MANY)
def test_an_adopted_booster_scores_the_bits_of_its_file(tmp_path: Path, seed: int, which: str) -> None:
    saved = SAVED[which]
    folder, snapshot, features = _fitted(tmp_path, seed, saved)
    found = find_saved(saved.save(saved.estimator, tmp_path))
    assert found.form == saved.form
    fitted = adopt(found, folder, lambda: [snapshot], build_dir=tmp_path / "build")
    assert fitted.final["adopted"]["adopted_from"]["format"] == saved.form
    file = build_package(
        fitted,
        folder,
        version="1.0.0",
        reference_profile=b"{}",
        lineage=LINEAGE,
        destination=tmp_path / "dist",
    )
    package = open_package(file.path, expected_sha256=file.sha256, cache=tmp_path / "cache")
    rows = table(300, seed + 1).select(list(features.kinds))
    pq.write_table(rows, tmp_path / "rows.parquet")
    frame = features.frame(features.conform(rows))
    columns = {label: f"p{number}" for number, label in enumerate(package.manifest.target.labels)}
    found_scores = package.predict(tmp_path / "rows.parquet", probabilities=columns)
    if saved.kind == "regression":
        expected = saved.estimator.predict(frame).astype(np.float64)
        assert found_scores["score"].to_numpy().tobytes() == expected.tobytes()
        return
    expected = saved.estimator.predict_proba(frame).astype(np.float64)
    for label in range(expected.shape[1]):
        assert found_scores[f"p{label}"].to_numpy().tobytes() == expected[:, label].tobytes(), label


@pytest.mark.slow
def test_a_native_file_of_another_kind_is_refused(tmp_path: Path, seed: int) -> None:
    saved = SAVED["XGBoost's JSON"]
    _, snapshot, _ = _fitted(tmp_path, seed, saved)
    folder = write_folder(tmp_path, features=MIXED, pipeline=BUILD, target={"kind": "binary"})
    with pytest.raises(ModelError, match="holds a regression") as caught:
        adopt(
            find_saved(_xgboost_file(saved.estimator, tmp_path)), folder, lambda: [snapshot],
            build_dir=tmp_path / "build",
        )  # fmt: skip
    assert "target.kind" in str(caught.value.fix)


def test_a_pickle_of_another_release_is_refused_and_a_native_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04N.")
    folder = _mlflow(tmp_path, "lightgbm", data="model.pkl", lgb_version="3.0.0")
    with pytest.raises(EnvironmentMismatchError, match=r"fitted with lightgbm 3\.0\.0"):
        find_saved(folder)
    (tmp_path / "model.pkl").write_bytes(b"tree\nversion=v4\n")
    assert find_saved(folder).native == "LightGBM text"


def test_another_form_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "model.cb").write_text("applyCatboostModel = 1")
    with pytest.raises(ModelError, match="a form that is not read") as caught:
        find_saved(_mlflow(tmp_path, "catboost", data="model.cb", save_format="python"))
    assert "CatBoost binary" in caught.value.expected
