"""Adopting classifiers: whatever their classes are called, the score is the declared class's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression

from rescore.errors import ModelError
from rescore.model import Package, adopt, build_package, find_saved, open_package
from tests.model.parcels import table, write_folder

NUMBERS = {"distance": "numeric", "stops": "numeric"}


def adopted(home: Path, seed: int, classes: Any, kind: str = "binary", **target: Any) -> tuple[Any, Package]:
    """A classifier of ``classes`` by the quantiles of distance, and the package that it becomes."""
    path = home / "snapshot.parquet"
    pq.write_table(table(400, seed, kind=kind).drop_null(), path)  # a linear model takes no NaN
    rows = pq.read_table(path).select(list(NUMBERS)).to_pandas().astype("float64")
    cut = np.quantile(rows["distance"], np.linspace(0, 1, len(classes) + 1)[1:-1])
    estimator = LogisticRegression(max_iter=1000).fit(
        rows, np.asarray(classes)[np.searchsorted(cut, rows["distance"])]
    )
    joblib.dump(estimator, home / "model.joblib")
    folder = write_folder(home, features=NUMBERS, target={"kind": kind, **target}, pipeline=BUILD)
    fitted = adopt(find_saved(home / "model.joblib"), folder, lambda: path, build_dir=home / "build")
    file = build_package(
        fitted, folder, version="1.0.0", reference_profile=b"{}", lineage={}, destination=home / "dist"
    )
    return estimator, open_package(file.path, expected_sha256=file.sha256, cache=home / "cache")


BUILD = """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def build(hyperparameters, seed):
        return make_pipeline(SimpleImputer(), LogisticRegression(random_state=seed))
    """


def complete(home: Path, seed: int) -> Any:
    """Rows without a missing value, as a file and as a frame."""
    rows = table(300, seed + 1).select(list(NUMBERS)).drop_null()
    pq.write_table(rows, home / "rows.parquet")
    return rows.to_pandas().astype("float64")


@pytest.mark.parametrize(
    ("classes", "positive", "column"),
    [([False, True], True, 1), ([0, 1], True, 1), (["false", "true"], False, 0)],
    ids=["booleans", "numbers", "text, the other one is positive"],
)
def test_the_score_is_the_probability_of_the_declared_class(tmp_path, seed, classes, positive, column):
    estimator, package = adopted(tmp_path, seed, classes, positive=positive)
    frame = complete(tmp_path, seed)
    scores = package.predict(tmp_path / "rows.parquet")
    np.testing.assert_allclose(scores["score"], estimator.predict_proba(frame)[:, column], rtol=1e-12)
    assert set(scores["label"].to_pylist()) == {"false", "true"}
    package.verify()


def test_several_classes_keep_their_names(tmp_path, seed):
    estimator, package = adopted(tmp_path, seed, ["on time", "never", "late", "early"], "multiclass")
    frame = complete(tmp_path, seed)
    scores = package.predict(tmp_path / "rows.parquet")
    assert scores["label"].to_pylist() == estimator.predict(frame).tolist()
    np.testing.assert_allclose(scores["score"], estimator.predict_proba(frame).max(axis=1), rtol=1e-12)


def test_classes_that_are_not_the_labels_are_refused(tmp_path, seed):
    with pytest.raises(ModelError, match="knows the classes n, y") as caught:
        adopted(tmp_path, seed, ["n", "y"])
    assert "false, true" in caught.value.expected
