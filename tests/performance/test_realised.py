"""Realised metrics equal scikit-learn's, whatever the kind of target; segments and coverage."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from rescore.errors import DriftError
from rescore.performance import (
    Outcomes,
    PerformanceReport,
    ScoreCalibration,
    main_metric,
    measure,
    realised,
    realised_metric,
)
from rescore.performance.class_rates import ClassRates
from rescore.spec import ModelSpec

Spec = Callable[..., ModelSpec]


def test_binary_metrics_equal_scikit_learn(make_spec: Spec, seed: int) -> None:
    generator = np.random.default_rng(seed)
    score = generator.beta(2, 5, 3000).round(2)  # rounded: ties must count half
    positive = generator.random(3000) < score
    order = generator.permutation(3000)[:2500]
    scores = pa.table({"id": np.arange(3000), "score": score})
    labels = pa.table({"id": order.astype(np.int32), "y": pa.array(positive[order])})
    report = realised(scores, labels, make_spec(x="numeric"))
    kept = np.sort(order)
    assert (report.rows, report.labelled, report.coverage) == (3000, 2500, 2500 / 3000)
    assert report.measure("auc").value == pytest.approx(metrics.roc_auc_score(positive[kept], score[kept]))
    assert report.measure("brier").value == pytest.approx(
        metrics.brier_score_loss(positive[kept], score[kept])
    )
    clipped = np.clip(score[kept], 1e-15, 1 - 1e-15)
    assert report.measure("log_loss").value == pytest.approx(metrics.log_loss(positive[kept], clipped))
    assert report.measure("base_rate").value == positive[kept].mean()
    assert report.calibration is not None and sum(part.rows for part in report.calibration.bins) == 2500
    assert (report.calibration.error.value or 1) < 0.06


def test_a_positive_class_that_is_not_true_and_labels_that_are_null(make_spec: Spec) -> None:
    spec = make_spec(x="numeric")
    spec = spec.model_copy(update={"target": spec.target.model_copy(update={"positive": "late"})})
    scores = pa.table({"id": [1, 2, 3, 4], "score": [0.9, 0.2, 0.8, 0.1]})
    labels = pa.table({"id": [1, 2, 3], "y": ["late", "on time", None]})
    report = realised(scores, labels, spec)
    assert (report.labelled, report.measure("auc").value, report.measure("base_rate").value) == (2, 1.0, 0.5)


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_an_auc_of_one_class_is_not_defined(make_spec: Spec, positive: list[bool]) -> None:
    table = pa.table({"id": [1, 2], "score": [0.5, 0.6]})
    report = realised(table, pa.table({"id": [1, 2], "y": positive}), make_spec(x="numeric"))
    assert report.measure("auc").value is None
    assert report.measure("auc").low is None


def test_without_any_label_only_the_coverage_is_said(make_spec: Spec) -> None:
    table = pa.table({"id": [1, 2], "score": [0.5, 0.6]})
    labels = pa.table({"id": pa.array([], pa.int64()), "y": pa.array([], pa.bool_())})
    report = realised(table, labels, make_spec(x="numeric"))
    assert report.estimated["base_rate"].value == pytest.approx(0.55)
    assert report.model_copy(update={"estimated": {}}) == PerformanceReport(rows=2, labelled=0, coverage=0.0)


def test_regression_metrics_equal_scikit_learn(make_spec: Spec, seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.normal(50, 10, 500)
    score = truth + generator.normal(1, 3, 500)
    ids = pa.array([f"k{i}" for i in range(500)])
    report = realised(
        pa.table({"id": ids, "score": score}),
        pa.table({"id": ids, "y": truth}),
        make_spec(target="regression", x="numeric"),
    )
    assert report.measure("rmse").value == pytest.approx(metrics.root_mean_squared_error(truth, score))
    assert report.measure("mae").value == pytest.approx(metrics.mean_absolute_error(truth, score))
    assert report.measure("r2").value == pytest.approx(metrics.r2_score(truth, score))
    assert report.measure("bias").value == pytest.approx((score - truth).mean())
    assert report.measure("rmse").low < report.measure("rmse").value < report.measure("rmse").high


def test_several_classes_are_judged_by_accuracy_where_scores_give_no_log_loss(make_spec: Spec) -> None:
    spec = make_spec(target="multiclass", x="numeric")
    declared = spec.promotion.model_copy(update={"metric": "log_loss"})
    spec = spec.model_copy(update={"promotion": declared})
    assert (main_metric(spec), realised_metric(spec)) == ("log_loss", "accuracy")
    bound = spec.performance.model_copy(update={"alarm_at": 0.8})  # in the metric's unit: it is refused later
    assert realised_metric(spec.model_copy(update={"performance": bound})) == "log_loss"


def test_multiclass_accuracy(make_spec: Spec) -> None:
    scores = pa.table({"id": [1, 2, 3, 4], "score": [0.9, 0.6, 0.5, 0.8], "label": ["a", "b", "c", "a"]})
    labels = pa.table({"id": [4, 3, 2, 1], "y": ["a", "c", "x", "a"]})
    report = realised(scores, labels, make_spec(target="multiclass", x="numeric"))
    assert report.measure("accuracy").value == 0.75
    assert report.measure("accuracy").low == pytest.approx(0.3006, abs=1e-4)  # Wilson's interval for 3 of 4
    assert report.measure("accuracy").high == pytest.approx(0.9544, abs=1e-4)


def test_missing_columns_are_named(make_spec: Spec) -> None:
    with pytest.raises(DriftError, match="labels lack columns"):
        realised(pa.table({"id": [1], "score": [0.5]}), pa.table({"id": [1]}), make_spec(x="numeric"))


def test_segments_of_few_rows_are_pooled(make_spec: Spec, seed: int) -> None:
    spec = make_spec(x="numeric").model_copy(update={"segments": ["place", "gate"]})
    generator = np.random.default_rng(seed)
    place = ["a"] * 60 + ["b"] * 30 + ["c"] * 9 + ["d"]
    rows = pa.table({"place": place, "gate": pa.array([1.0, 2.5] * 49 + [None, None], pa.float64())})
    scores = pa.table({"id": np.arange(100), "score": generator.random(100)})
    labels = pa.table({"id": np.arange(60), "y": generator.random(60) < 0.5})
    found = realised(scores, labels, spec, rows).segments
    assert [(one.value, one.rows, one.labelled) for one in found["place"]] == [
        ("a", 60, 60),
        ("b", 30, 0),
        ("other values", 10, 0),
    ]
    assert found["place"][0].measure("auc").value == pytest.approx(
        metrics.roc_auc_score(labels["y"].to_numpy(), scores["score"].to_numpy()[:60])
    )
    assert [one.value for one in found["gate"]] == ["1", "2.5", "other values"]
    with pytest.raises(DriftError, match="segments of 99 rows"):
        realised(scores, labels, spec, rows.slice(1))


def three_classes(rows: int, generator: np.random.Generator, more: float = 0.0) -> tuple[Any, ...]:
    """Certainty, the class named and the true one; the third comes more often for the same scores."""
    logits = generator.normal(0, 1.5, (rows, 3))
    said = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    chance = np.exp(logits + np.asarray([0.0, 0.0, more]))
    chance /= chance.sum(axis=1, keepdims=True)
    drawn = (chance.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)
    names = np.asarray(["calm", "fog", "rain"], dtype=object)
    return said.max(axis=1), names[said.argmax(axis=1)], names[np.minimum(drawn, 2)]


def test_classes_that_come_true_more_often_than_scores_let_expect_are_named_with_both_shares(
    make_spec: Spec, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    spec = make_spec(target="multiclass", x="numeric")
    score, named, true = three_classes(12_000, generator)
    learnt = ScoreCalibration.fit(score, named == true, list(range(0, 12_001, 400)), named, true)
    assert learnt is not None
    assert ScoreCalibration.from_dict(json.loads(json.dumps(learnt.to_dict()))).class_rates is not None

    def found(more: float) -> PerformanceReport:
        score, named, true = three_classes(400, generator, more)
        return measure(
            Outcomes(score, (named == true).astype(np.float64), {}, named=named, true=true), spec, learnt
        )

    usual = [found(0.0) for _ in range(60)]
    assert sum(bool(one.contradiction()) for one in usual) <= 8  # .05 are to be expected
    changed = [found(1.0) for _ in range(10)]
    assert all(not one.class_rates["rain"].within for one in changed)
    said = changed[0].contradiction()
    share = changed[0].class_rates["rain"].realised
    assert f"{share:.3g} of the rows with a label were 'rain', and their scores let 0.3" in said
    assert "more often are 'rain'" in said and "the relation of features and target is another one" in said


def test_one_wrong_row_where_training_had_none_contradicts_nothing() -> None:
    names = np.asarray(["ice", "rain", "sun"], dtype=object)
    named = np.repeat(names, 2_000)
    rates = ClassRates.fit(np.ones(6_000), named, named, list(range(0, 6_001, 200)))
    assert rates is not None
    live = np.repeat(names, 300)
    true = live.copy()
    true[0] = "rain"
    assert all(one.within for one in rates.agreement(np.ones(900), live, true).values())
    true[:60] = "rain"
    assert not rates.agreement(np.ones(900), live, true)["rain"].within
