"""What a training refuses, and what it measures; in this process, with one thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rescore.errors import (
    NotDeterministicError,
    RefusedTypeError,
    SpecError,
    TrainingError,
    UnseededEstimatorError,
)
from rescore.model.child.evaluate import folds
from rescore.model.child.golden import MANY, draw
from rescore.model.child.trainer import Trainer
from rescore.model.runtime.environment import one_thread
from rescore.model.runtime.frames import Features
from rescore.model.target import encode_target
from rescore.performance import point_metrics
from tests.model.parcels import PIPELINES, table

Make = Callable[..., Trainer]


@pytest.fixture(autouse=True)
def single() -> Iterator[None]:
    with one_thread():
        yield


def out(trainer: Trainer) -> Path:
    return trainer._out


def result(trainer: Trainer, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out(trainer) / name).read_text())
    return loaded


def test_the_tasks_measure_what_the_fit_did_not_see(make_trainer: Make, seed: int) -> None:
    trainer = make_trainer(pipeline=PIPELINES["logistic"])
    assert trainer.tasks == ["final", "evaluation", "fold:0", "fold:1", "fold:2"]
    for task in trainer.tasks:
        trainer.run(task)
    evaluation = result(trainer, "evaluation.json")
    assert evaluation["on"] == "holdout"
    assert evaluation["from"] == "2013-01-10T09:00:00.000000Z"
    days = table(600, seed)["interval_start"].to_numpy()
    assert evaluation["rows"] == (days >= np.unique(days)[-3]).sum()
    assert evaluation["rows"] + evaluation["rows_fitted"] == 600
    assert 0.6 < evaluation["metrics"]["auc"] < 0.95
    assert max(evaluation["importance"], key=evaluation["importance"].get) == "wind"
    assert sum(result(trainer, f"fold_{number}.json")["rows"] for number in range(3)) == 600
    assert sum((out(trainer) / f"fold_{number}.f8").stat().st_size for number in range(3)) == 600 * 8
    final = result(trainer, "final.json")
    assert [one["name"] for one in final["features"]] == ["distance", "wind", "stops", "carrier", "holiday"]
    assert final["features"][3]["levels"] == ["AA", "B6", "UA", "Ünïted"]
    assert final["target"] == {"kind": "binary", "labels": ["false", "true"], "name": "late"}
    assert final["pipeline"]["type"] == "sklearn.pipeline.Pipeline"


def test_a_fold_is_scored_without_its_own_labels(make_trainer: Make, make_snapshot: Any) -> None:
    """Turning over every label of a fold changes the other folds' scores, not its own."""
    import pyarrow.parquet as pq

    trainer = make_trainer(pipeline=PIPELINES["logistic"])
    trainer.run("fold:1")
    before = (out(trainer) / "fold_1.f8").read_bytes()
    first, stop = trainer._folds[1]
    trainer._truth[first:stop] = 1 - trainer._truth[first:stop]
    trainer.run("fold:1")
    assert (out(trainer) / "fold_1.f8").read_bytes() == before
    trainer._truth[:first] = 1 - trainer._truth[:first]
    trainer.run("fold:1")
    assert (out(trainer) / "fold_1.f8").read_bytes() != before
    assert pq.read_table(make_snapshot()).num_rows == 600


@pytest.mark.parametrize(
    ("pipeline", "error", "message"),
    [
        ("def build(h, seed): 1 / 0", TrainingError, "ZeroDivisionError"),
        ("import not_there", SpecError, "not_there"),
        ("x = 1", SpecError, "no build"),
        ("def build(h, seed): return 3", TrainingError, "build\\(\\) gave int"),
        (
            PIPELINES["logistic"].replace(
                "def build",
                "import sklearn; sklearn.set_config(transform_output='pandas')\n\n        def build",
            ),
            TrainingError,
            "changes scikit-learn's setting transform_output",
        ),
        (
            PIPELINES["hgb"].replace("random_state=seed", "random_state=None"),
            UnseededEstimatorError,
            "random_state of HistGradientBoostingClassifier",
        ),
        (
            """
            from sklearn.linear_model import LogisticRegression
            def build(h, seed): return LogisticRegression(random_state=seed)
            """,
            TrainingError,
            "can't be fitted on all rows: ValueError",
        ),
        (
            """
            from sklearn.neighbors import KNeighborsClassifier
            from sklearn.pipeline import make_pipeline
            from sklearn.compose import make_column_transformer
            from sklearn.impute import SimpleImputer
            def build(h, seed):
                wind = make_column_transformer((SimpleImputer(), ["wind"]))
                return make_pipeline(wind, KNeighborsClassifier())
            """,
            RefusedTypeError,
            r"KNeighborsClassifier\._\w+ keeps rows of the training data",
        ),
        (
            """
            from sklearn.base import BaseEstimator, TransformerMixin
            from sklearn.linear_model import LogisticRegression
            from sklearn.pipeline import make_pipeline

            class Centre(TransformerMixin, BaseEstimator):
                def fit(self, X, y=None):
                    self.fitted_ = True
                    return self
                def transform(self, X):
                    wind = X[["wind"]].fillna(0.0)
                    return wind - wind.mean()

            def build(h, seed): return make_pipeline(Centre(), LogisticRegression(random_state=seed))
            """,
            NotDeterministicError,
            "depends on the rows it is scored with",
        ),
        (
            """
            from sklearn.linear_model import Perceptron
            from sklearn.pipeline import make_pipeline
            from sklearn.compose import make_column_transformer
            from sklearn.impute import SimpleImputer
            def build(h, seed):
                wind = make_column_transformer((SimpleImputer(), ["wind"]))
                return make_pipeline(wind, Perceptron(random_state=seed))
            """,
            TrainingError,
            "no predict_proba",
        ),
    ],
)
def test_a_wrong_pipeline_is_refused(
    make_trainer: Make, pipeline: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_trainer(pipeline=pipeline).run("final")


def test_a_cache_that_a_second_training_would_read_is_not_made(make_trainer: Make, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    cached = f"random_state=seed, **hyperparameters), memory={str(kept)!r})"
    trainer = make_trainer(
        pipeline=PIPELINES["logistic"].replace("random_state=seed, **hyperparameters))", cached)
    )
    trainer.run("final")
    assert not kept.exists()


def test_an_error_names_the_line_of_the_model(make_trainer: Make) -> None:
    with pytest.raises(TrainingError) as caught:
        make_trainer(pipeline="def build(h, seed):\n    return h['missing']\n").run("final")
    assert caught.value.where == "pipeline.py, line 2: return h['missing']"


def test_a_feature_that_identifies_rows_is_refused(
    make_trainer: Make, make_snapshot: Any, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    trainer = make_trainer()
    names = pa.array([f"N{number:05d}" for number in range(600)])
    rows = table(600, 1)
    pq.write_table(
        rows.set_column(rows.column_names.index("carrier"), "carrier", names), tmp_path / "ids.parquet"
    )
    with pytest.raises(TrainingError, match="'carrier' has 600 levels in 600 rows"):
        Trainer({**trainer._job, "snapshot": str(tmp_path / "ids.parquet")})


def test_a_snapshot_without_a_feature_is_refused(make_trainer: Make) -> None:
    with pytest.raises(TrainingError, match="has no humidity"):
        make_trainer(features={"wind": "numeric", "humidity": "numeric"})


def test_folds_are_whole_intervals() -> None:
    starts = np.repeat([10, 20, 30, 40, 50], [1, 5, 2, 2, 3])
    assert folds(starts, 2) == [(0, 6), (6, 13)]
    assert folds(starts, 9) == [(0, 1), (1, 6), (6, 8), (8, 10), (10, 13)]
    assert folds(np.zeros(5), 2) == [(0, 2), (2, 5)]


@pytest.mark.parametrize(
    ("column", "positive", "labels", "codes"),
    [
        (pa.array([True, False]), True, ("false", "true"), [1, 0]),
        (pa.array([True, False]), False, ("true", "false"), [0, 1]),
        (pa.array([0, 1]), True, ("0", "1"), [0, 1]),
        (pa.array([0.0, 1.0]), 1, ("0", "1"), [0, 1]),
        (pa.array(["good", "bad"]), "bad", ("good", "bad"), [0, 1]),
        (pa.array(["good", "bad"]).dictionary_encode(), "bad", ("good", "bad"), [0, 1]),
    ],
)
def test_the_positive_class_is_what_was_declared(
    column: pa.Array, positive: Any, labels: tuple[str, ...], codes: list[int]
) -> None:
    truth, target = encode_target("y", "binary", positive, pa.chunked_array([column]))
    assert (target.labels, truth.tolist()) == (labels, codes)


def test_whole_numbers_are_classes_in_the_order_of_numbers() -> None:
    column = pa.array([11, 10, *range(10), -1])
    truth, target = encode_target("y", "multiclass", None, pa.chunked_array([column]))
    assert target.labels == ("-1", *map(str, range(12)))
    assert truth.tolist() == [12, 11, *range(1, 11), 0]


@pytest.mark.parametrize(
    ("kind", "column", "message"),
    [
        ("binary", pa.array([True, None]), "1 row has no y"),
        ("binary", pa.array([True, True]), "only one value: true"),
        ("binary", pa.array(["a", "b"]), "values a, b"),
        ("binary", pa.array([0, 1, 2]), "values 0, 1, 2"),
        ("regression", pa.array(["a", "b"]), "y is string"),
        ("regression", pa.array([1.0, float("nan")]), "NaN or infinite in 1 row"),
        ("multiclass", pa.array([0.5, 1.0]), "the target is double"),
        ("regression", pa.array([1, 2**53 + 1]), "whole numbers beyond 2\\*\\*53"),
        ("multiclass", pa.array([1.0, 2.0, float("nan")]), "the target is NaN in 1 row"),
        ("multiclass", pa.array([1.0, 1e19]), "the target is double"),
    ],
)
def test_an_unusable_target_is_refused(kind: str, column: pa.Array, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        encode_target("y", kind, True, pa.chunked_array([column]))


def test_metrics_by_hand() -> None:
    truth = np.array([0, 0, 1, 1])
    score = np.array([0.1, 0.4, 0.35, 0.8])
    found = point_metrics("binary", truth, np.c_[1 - score, score])
    assert found["auc"] == 0.75
    assert found["brier"] == pytest.approx(np.mean([0.01, 0.16, 0.4225, 0.04]))
    assert found["base_rate"] == 0.5
    assert point_metrics("binary", np.zeros(4, int), np.c_[1 - score, score])["auc"] is None
    assert point_metrics("regression", np.array([1.0, 3.0]), np.array([2.0, 5.0])) == {
        "rmse": pytest.approx(np.sqrt(2.5)),
        "mae": 1.5,
        "r2": pytest.approx(-1.5),
    }
    assert (
        point_metrics("multiclass", np.array([0, 2]), np.eye(3)[[0, 1]] * 0.9 + 0.1 / 3, np.array([0, 1]))[
            "accuracy"
        ]
        == 0.5
    )


def test_golden_rows_show_nobody(seed: int) -> None:
    """Rare levels and words, extremes and observed combinations stay out."""
    random = np.random.default_rng(seed)
    income = random.lognormal(10, 1, 2_000)
    places = np.array(["north", "south"])[random.integers(0, 2, 2_000)].astype(object)
    places[:3] = "hermitage"
    notes = np.array(["usual parcel", "fragile parcel"])[random.integers(0, 2, 2_000)].astype(object)
    notes[7] = "from Eve Smith"
    rows = pa.table({"income": income, "place": places, "note": notes})
    features = Features.learn({"income": "numeric", "place": "categorical", "note": "text"}, rows)
    drawn = draw(features.conform(rows), features, seed, rows=5_000)
    assert set(drawn["place"]) == {"north", "south"}
    assert {word for note in drawn["note"] for word in note.split()} == {"usual", "fragile", "parcel"}
    assert max(drawn["income"]) < np.quantile(income, 0.991)
    assert not set(drawn["income"]) & set(income.tolist())
    assert MANY > 3
    assert min(drawn["income"]) > np.quantile(income, 0.009)
    assert draw(features.conform(rows), features, seed, rows=5_000) == drawn


EVERY_KIND = """
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import {estimator}
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

def hour_and_wind(frame):
    return np.c_[frame["seen"].dt.hour.fillna(-1.0), frame["wind"].fillna(0.0), frame["holiday"].fillna(0.5)]

def words(column):
    return column.fillna("")

def build(hyperparameters, seed):
    text = make_pipeline(FunctionTransformer(words), TfidfVectorizer(min_df=5))
    return make_pipeline(
        make_column_transformer(
            (FunctionTransformer(hour_and_wind), ["seen", "wind", "holiday"]), (text, "note")
        ),
        {estimator}({parameters}),
    )
"""


@pytest.mark.parametrize(
    ("kind", "estimator", "parameters", "labels"),
    [
        ("regression", "Ridge", "random_state=seed", []),
        ("multiclass", "LogisticRegression", "random_state=seed, max_iter=500", ["early", "late", "on time"]),
    ],
)
def test_every_feature_kind_and_target_kind(
    make_trainer: Make,
    tmp_path: Path,
    seed: int,
    kind: str,
    estimator: str,
    parameters: str,
    labels: list[str],
) -> None:
    import pyarrow.parquet as pq

    random = np.random.default_rng(seed)
    rows = table(600, seed, kind=kind)
    notes = random.choice(["left at the door", "signed for", None], 600)
    rows = rows.append_column("note", pa.array(notes.tolist(), pa.string()))
    rows = rows.append_column("seen", rows["event_time"])
    kinds = {
        "seen": "datetime",
        "wind": "numeric",
        "holiday": "boolean",
        "note": "text",
        "carrier": "categorical",
    }
    pq.write_table(rows, tmp_path / "kinds.parquet")
    trainer = make_trainer(
        kind=kind,
        features=kinds,
        pipeline=EVERY_KIND.format(estimator=estimator, parameters=parameters),
        snapshot=tmp_path / "kinds.parquet",
    )
    trainer.run("final")
    trainer.run("evaluation")
    assert result(trainer, "final.json")["target"] == {"kind": kind, "labels": labels, "name": "late"}
    assert result(trainer, "final.json")["selection"]["unused"] == ["carrier"]
    golden = result(trainer, "golden.json")
    assert len(golden["score"]) == 128
    assert (golden["label"] is None) == (kind == "regression")
    assert {type(moment) for moment in golden["rows"]["seen"]} == {int}
    found = result(trainer, "evaluation.json")["metrics"]
    assert found["r2"] > 0.5 if kind == "regression" else found["accuracy"] > 0.5


ALONE = """
    from {module} import {name}
    def build(h, seed): return {name}({arguments})
"""


def rare_class(trainer: Trainer, name: str, labels: tuple[str, ...]) -> None:
    """The first class occurs in the rows of fold 2 alone."""
    first, stop = trainer._folds[1]
    trainer._target = replace(trainer._target, kind=name, labels=labels)
    others = np.arange(len(trainer._truth)) % (len(labels) - 1) + 1
    trainer._truth = np.where((np.arange(len(others)) >= first) & (np.arange(len(others)) < stop), 0, others)


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("sklearn.ensemble", "HistGradientBoostingClassifier", "max_iter=3, random_state=seed"),
        ("xgboost", "XGBClassifier", "n_estimators=2, random_state=seed, enable_categorical=True"),
    ],
)
def test_a_class_that_one_fold_alone_has_is_named(
    make_trainer: Make, module: str, name: str, arguments: str
) -> None:
    folded = 'categorical_features="from_dtype", ' if name.startswith("Hist") else ""
    trainer = make_trainer(pipeline=ALONE.format(module=module, name=name, arguments=folded + arguments))
    kinds = [("binary", ("false", "true"))]
    if name == "XGBClassifier":
        kinds.append(("multiclass", ("a", "b", "c")))
    for kind, labels in kinds:
        rare_class(trainer, kind, labels)
        trainer.run("fold:0")
        with pytest.raises(
            TrainingError, match=f"all but fold 2 lack the class '{labels[0]}' of late"
        ) as caught:
            trainer.run("fold:1")
        assert name in caught.value.what
        assert f"'{labels[0]}' occurs in intervals from 2013-01-" in caught.value.where
        assert "fewer training.folds" in caught.value.fix


def test_a_forest_does_without_a_class(make_trainer: Make) -> None:
    trainer = make_trainer(
        pipeline=ALONE.format(
            module="sklearn.ensemble",
            name="RandomForestClassifier",
            arguments="n_estimators=2, random_state=seed",
        ),
        features={"wind": "numeric"},
    )
    rare_class(trainer, "binary", ("false", "true"))
    trainer.run("fold:1")
    first, stop = trainer._folds[1]
    assert np.frombuffer((out(trainer) / "fold_1.f8").read_bytes()).tolist() == [1.0] * (stop - first)


def test_numbers_that_yaml_reads_as_text_are_named_where_a_fit_fails(make_trainer: Make) -> None:
    pipeline = """
        from sklearn.ensemble import HistGradientBoostingClassifier
        def build(h, seed):
            return HistGradientBoostingClassifier(**h, categorical_features="from_dtype", random_state=seed)
    """
    trainer = make_trainer(pipeline=pipeline)
    trainer._job["hyperparameters"] = "learning_rate: 1e-3"
    with pytest.raises(TrainingError) as caught:
        trainer.run("fold:0")
    assert caught.value.fix == "learning_rate is the text '1e-3' to YAML: write 0.001"
    trainer._job["hyperparameters"] = "learning_rate: 0.001"
    trainer.run("fold:0")
