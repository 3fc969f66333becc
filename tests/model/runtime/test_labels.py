"""The label of a row is what the estimator's ``predict`` says, whatever rule that follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from rescore.model.runtime.errors import ScoreError
from rescore.model.runtime.frames import Features
from rescore.model.runtime.scoring import BLOCK_ROWS, Scorer, Target

KINDS = dict.fromkeys(("a", "b", "c"), "numeric")
BINARY = Target("binary", ("no", "yes"))
THREE = Target("multiclass", ("x", "y", "z"))


class Wary(ClassifierMixin, BaseEstimator):
    """Names the last class as soon as it is a fifth as probable; a rule of its own, multiclass too."""

    def fit(self, X: Any, y: Any) -> Wary:
        self.inner_ = LogisticRegression().fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X: Any) -> Any:
        return self.inner_.predict_proba(X)

    def predict(self, X: Any) -> Any:
        raw = self.predict_proba(X)
        return np.where(raw[:, -1] > 0.2, self.classes_[-1], self.classes_[raw[:, :-1].argmax(axis=1)])


class Stray(Wary):
    """Names a class that nobody knows."""

    def predict(self, X: Any) -> Any:
        return np.full(len(X), 7)


def rows(seed: int, count: int = 600) -> tuple[pa.Table, np.ndarray]:
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(count, 3))
    # Few distinct values: trees and forests then give ties.
    matrix[:, 1] = np.round(matrix[:, 1])
    return pa.table({name: matrix[:, n] for n, name in enumerate(KINDS)}), matrix[:, 0] + random.normal(
        size=count
    )


ESTIMATORS: dict[str, Callable[[], Any]] = {
    "fixed": lambda: FixedThresholdClassifier(LogisticRegression(), threshold=0.2),
    "tuned": lambda: TunedThresholdClassifierCV(LogisticRegression(), scoring="f1", cv=3),
    "in a pipeline": lambda: make_pipeline(
        StandardScaler(), FixedThresholdClassifier(LogisticRegression(), threshold=0.2)
    ),
    "in a search": lambda: GridSearchCV(
        FixedThresholdClassifier(LogisticRegression()), {"threshold": [0.1]}, cv=2
    ),
    "own": Wary,
    "vectors": lambda: CalibratedClassifierCV(SVC(random_state=0), ensemble=False),
    "logistic": LogisticRegression,
    "logistic cv": lambda: LogisticRegressionCV(
        cv=2, l1_ratios=(0.0,), use_legacy_attributes=False, scoring="neg_log_loss"
    ),
    "tree": lambda: DecisionTreeClassifier(max_depth=2, random_state=0),
    "extra tree": lambda: ExtraTreeClassifier(max_depth=2, random_state=0),
    "forest": lambda: RandomForestClassifier(2, max_depth=2, random_state=0),
    "extra trees": lambda: ExtraTreesClassifier(2, max_depth=2, random_state=0),
    "gradient": lambda: GradientBoostingClassifier(n_estimators=3, random_state=0),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=3, random_state=0),
    "neural": lambda: MLPClassifier((3,), max_iter=5, random_state=0),
}


#: Scikit-learn's thresholds are for two classes.
OF_TWO = ("fixed", "tuned", "in a pipeline", "in a search")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "binary") for name in ESTIMATORS]
    + [(name, "multiclass") for name in ESTIMATORS if name not in OF_TWO],
)
def test_the_label_is_what_predict_says(name: str, kind: str, seed: int) -> None:
    table, value = rows(seed)
    truth = np.digitize(value, [0.0] if kind == "binary" else [-0.8, 0.8])
    features = Features(KINDS)
    frame = features.frame(table, BLOCK_ROWS)
    estimator = ESTIMATORS[name]().fit(features.frame(table), truth)
    target = BINARY if kind == "binary" else THREE
    scores = Scorer(estimator, features, target).scores(table)
    expected = [target.labels[int(one)] for one in estimator.predict(frame)[: table.num_rows]]
    assert scores["label"].to_pylist() == expected
    raw = estimator.predict_proba(frame)[: table.num_rows]
    position = np.array([target.labels.index(one) for one in expected])
    probability = raw[:, 1] if kind == "binary" else raw[np.arange(len(raw)), position]
    assert scores["score"].to_numpy().tobytes() == np.ascontiguousarray(probability).tobytes()


def test_a_tie_is_left_to_predict() -> None:
    """Logistic regression names the positive class at exactly one half; a forest the first one."""
    features = Features(KINDS)
    table = pa.table({name: np.zeros(4) for name in KINDS})
    line = LogisticRegression().fit(features.frame(table), [0, 1, 0, 1])
    line.coef_[:], line.intercept_[:] = 0.0, 1e-18
    for target, estimator in ((BINARY, line), (BINARY, DummyClassifier().fit(np.zeros((2, 3)), [0, 1]))):
        scores = Scorer(estimator, features, target).scores(table)
        assert scores["score"].to_pylist() == [0.5] * 4
        named = estimator.predict(features.frame(table))
        assert scores["label"].to_pylist() == [target.labels[int(one)] for one in named]


def test_classes_of_its_own_are_named_by_the_labels(seed: int) -> None:
    """A model fitted elsewhere keeps its own values, here in another order than the labels."""
    table, value = rows(seed)
    features = Features(KINDS)
    texts = np.where(value > 0, "late", "on time")
    estimator = FixedThresholdClassifier(LogisticRegression(), threshold=0.3, pos_label="on time").fit(
        features.frame(table), texts
    )
    target = Target("binary", ("on time", "late"), order=(1, 0))
    assert Scorer(estimator, features, target).scores(table)["label"].to_pylist() == list(
        estimator.predict(features.frame(table))
    )


def test_a_class_that_nobody_knows_is_refused(seed: int) -> None:
    table, value = rows(seed)
    features = Features(KINDS)
    estimator = Stray().fit(features.frame(table), (value > 0).astype(int))
    with pytest.raises(ScoreError, match=r"predict\(\) named 7"):
        Scorer(estimator, features, BINARY).scores(table)


@pytest.mark.parametrize(
    ("predict", "said"),
    [
        (lambda frame: [1], r"predict\(\) gives 1 values for a frame of 16,384 rows"),
        (lambda frame: np.int64(1), r"predict\(\) gives 1 values"),
        (lambda frame: np.ones((len(frame), 2), int), r"predict\(\) gives 2 classes for each row"),
    ],
)
def test_one_answer_is_not_every_rows(predict: Callable[[Any], Any], said: str, seed: int) -> None:
    table, value = rows(seed, 40)
    estimator = Wary().fit(Features(KINDS).frame(table), (value > 0).astype(int))
    estimator.predict = predict
    with pytest.raises(ScoreError, match=said):
        Scorer(estimator, Features(KINDS), BINARY).scores(table)
