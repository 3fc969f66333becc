"""Realised metrics equal scikit-learn's; estimated ones come true when scores are calibrated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from rescore.drift import auc_interval, estimated_performance, realised
from rescore.errors import DriftError
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
    assert (report["rows"], report["labelled"], report["coverage"]) == (3000, 2500, 2500 / 3000)
    assert report["auc"] == pytest.approx(metrics.roc_auc_score(positive[kept], score[kept]))
    assert report["brier"] == pytest.approx(metrics.brier_score_loss(positive[kept], score[kept]))
    clipped = np.clip(score[kept], 1e-15, 1 - 1e-15)
    assert report["log_loss"] == pytest.approx(metrics.log_loss(positive[kept], clipped))
    assert report["base_rate"] == positive[kept].mean()
    assert sum(part["rows"] for part in report["calibration"]) == 2500
    assert report["calibration_error"] < 0.06


def test_a_positive_class_that_is_not_true_and_labels_that_are_null(make_spec: Spec) -> None:
    spec = make_spec(x="numeric")
    spec = spec.model_copy(update={"target": spec.target.model_copy(update={"positive": "late"})})
    scores = pa.table({"id": [1, 2, 3, 4], "score": [0.9, 0.2, 0.8, 0.1]})
    labels = pa.table({"id": [1, 2, 3], "y": ["late", "on time", None]})
    report = realised(scores, labels, spec)
    assert (report["labelled"], report["auc"], report["base_rate"]) == (2, 1.0, 0.5)


def test_the_auc_interval_covers_the_truth(seed: int) -> None:
    # N(0, 1) against N(1, 1): the AUC is the normal distribution function at 1 / sqrt(2).
    generator, covered = np.random.default_rng(seed), 0
    for _ in range(400):
        positive = np.arange(300) < 90
        found = auc_interval(generator.normal(positive.astype(float)), positive)
        assert found is not None
        covered += found[1] <= 0.7602499 <= found[2]
    assert 0.90 <= covered / 400 <= 0.985


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_an_auc_of_one_class_is_not_defined(make_spec: Spec, positive: list[bool]) -> None:
    table = pa.table({"id": [1, 2], "score": [0.5, 0.6]})
    report = realised(table, pa.table({"id": [1, 2], "y": positive}), make_spec(x="numeric"))
    assert report["auc"] is None
    assert report["auc_low"] is None


def test_without_any_label_only_the_coverage_is_said(make_spec: Spec) -> None:
    table = pa.table({"id": [1, 2], "score": [0.5, 0.6]})
    labels = pa.table({"id": pa.array([], pa.int64()), "y": pa.array([], pa.bool_())})
    report = realised(table, labels, make_spec(x="numeric"))
    assert report["estimated"]["base_rate"] == pytest.approx(0.55)
    assert {**report, "estimated": None} == {"rows": 2, "labelled": 0, "coverage": 0.0, "estimated": None}


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
    assert report["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, score))
    assert report["mae"] == pytest.approx(metrics.mean_absolute_error(truth, score))
    assert report["r2"] == pytest.approx(metrics.r2_score(truth, score))
    assert report["bias"] == pytest.approx((score - truth).mean())
    assert report["rmse_low"] < report["rmse"] < report["rmse_high"]


def test_multiclass_accuracy(make_spec: Spec) -> None:
    scores = pa.table({"id": [1, 2, 3, 4], "score": [0.9, 0.6, 0.5, 0.8], "label": ["a", "b", "c", "a"]})
    labels = pa.table({"id": [4, 3, 2, 1], "y": ["a", "c", "x", "a"]})
    report = realised(scores, labels, make_spec(target="multiclass", x="numeric"))
    assert report["accuracy"] == 0.75
    assert report["accuracy_low"] == pytest.approx(0.3006, abs=1e-4)  # Wilson's interval for 3 of 4
    assert report["accuracy_high"] == pytest.approx(0.9544, abs=1e-4)


def test_missing_columns_are_named(make_spec: Spec) -> None:
    with pytest.raises(DriftError, match="labels lack columns"):
        realised(pa.table({"id": [1], "score": [0.5]}), pa.table({"id": [1]}), make_spec(x="numeric"))


def test_estimates_come_true_for_calibrated_scores(seed: int) -> None:
    generator = np.random.default_rng(seed)
    score = generator.beta(1, 3, 40_000).round(3)
    positive = generator.random(40_000) < score
    expected = estimated_performance(score)
    assert expected["auc"] == pytest.approx(metrics.roc_auc_score(positive, score), abs=0.015)
    assert expected["accuracy"] == pytest.approx(((score > 0.5) == positive).mean(), abs=0.012)
    assert expected["brier"] == pytest.approx(((score - positive) ** 2).mean(), abs=0.01)


def test_the_estimated_auc_is_the_expectation_over_all_labellings() -> None:
    scores = np.array([0.2, 0.2, 0.7])
    pairs = right = 0.0
    for i, positive in enumerate(scores):
        for j, negative in enumerate(scores):
            weight = positive * (1 - negative)
            pairs += weight
            right += weight * (1.0 if positive > negative else 0.5 if positive == negative or i == j else 0.0)
    assert estimated_performance(scores)["auc"] == pytest.approx(right / pairs)
    assert estimated_performance(np.array([np.nan]))["auc"] is None
    assert estimated_performance(np.array([1.0, 1.0]))["auc"] is None
