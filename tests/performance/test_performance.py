"""Realised metrics equal scikit-learn's; estimated ones come true when scores are calibrated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from rescore.errors import DriftError
from rescore.performance import ScoreCalibration, auc_interval, estimated_performance, realised
from rescore.performance.interval_metrics import calibration
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


def test_bands_of_estimates_hold_for_95_in_100_labellings(seed: int) -> None:
    generator = np.random.default_rng(seed)
    score = generator.beta(2, 5, 800).round(2)
    expected, held = estimated_performance(score), dict.fromkeys(("auc", "brier", "log_loss", "accuracy"), 0)
    for _ in range(300):
        positive = generator.random(800) < score
        found = {
            "auc": metrics.roc_auc_score(positive, score),
            "brier": ((score - positive) ** 2).mean(),
            "log_loss": metrics.log_loss(positive, np.clip(score, 1e-15, 1 - 1e-15)),
            "accuracy": ((score >= 0.5) == positive).mean(),
        }
        for name in held:
            held[name] += bool(expected[f"{name}_low"] <= found[name] <= expected[f"{name}_high"])
    assert all(270 <= count <= 297 for count in held.values()), held


def test_many_scores_are_pooled_without_moving_the_estimate(seed: int) -> None:
    score = np.random.default_rng(seed).beta(2, 5, 300_000)
    whole, part = estimated_performance(score), estimated_performance(score.round(5))
    for name, value in whole.items():
        assert value == pytest.approx(part[name], abs=2e-5), name


def _day(generator: np.random.Generator, wander: float, rows: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Overconfident scores, on a day whose rate is its own by ``wander``."""
    logit = generator.normal(-1, 1.2, rows)
    positive = generator.random(rows) < 1 / (1 + np.exp(-logit - generator.normal(0, wander)))
    return 1 / (1 + np.exp(-2 * logit)), positive


@pytest.mark.parametrize("wander", [0.0, 0.5])
def test_calibrated_estimates_hold_for_overconfident_scores_and_days_of_their_own(
    seed: int, wander: float
) -> None:
    generator = np.random.default_rng(seed)
    days = [_day(generator, wander) for _ in range(60)]
    score, positive = (np.concatenate(part) for part in zip(*days, strict=True))
    learnt = ScoreCalibration.fit(score, positive, range(0, 30_001, 500))
    assert learnt is not None
    again = ScoreCalibration.from_dict(learnt.to_dict())
    assert (np.diff(again.probabilities) >= 0).all() and (np.diff(again.scores) > 0).all()
    plain = held = 0
    for _ in range(200):
        live, truth = _day(generator, wander)
        rate = truth.mean()
        for calibrated, found in (
            (None, estimated_performance(live)),
            (again, estimated_performance(live, again)),
        ):
            within = found["base_rate_low"] <= rate <= found["base_rate_high"]
            if calibrated is None:
                plain += within
            else:
                held += within
    assert 178 <= held <= 199
    assert plain < 150


def test_a_calibration_error_of_calibrated_scores_is_no_more_than_chance(seed: int) -> None:
    generator, zero, errors = np.random.default_rng(seed), 0, []
    score = generator.beta(2, 5, 1000)
    for _ in range(100):
        found = calibration(score, generator.random(1000) < score)
        zero += found["calibration_error_low"] == 0
        errors.append(found["calibration_error"])
        assert found["calibration_error_low"] <= found["calibration_error"] <= found["calibration_error_high"]
    assert zero >= 90
    assert np.mean(errors) == pytest.approx(found["calibration_error_by_chance"], rel=0.1)
    wrong = calibration(score, generator.random(1000) < score**2)
    assert wrong["calibration_error_low"] > 0.05


def test_equal_scores_are_in_one_group_whatever_their_order(seed: int) -> None:
    generator = np.random.default_rng(seed)
    score = generator.choice([0.1, 0.2, 0.8], 500)
    positive = generator.random(500) < score
    found = calibration(score, positive)
    assert [part["mean_score"] for part in found["calibration"]] == pytest.approx([0.1, 0.2, 0.8])
    order = generator.permutation(500)
    assert calibration(score[order], positive[order])["calibration_error"] == pytest.approx(
        found["calibration_error"]
    )


def test_an_auc_of_one_is_not_certain_among_few_rows() -> None:
    found = auc_interval(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert found == (1.0, pytest.approx(0.025**0.5), 1.0)


def test_segments_of_few_rows_are_pooled(make_spec: Spec, seed: int) -> None:
    spec = make_spec(x="numeric").model_copy(update={"segments": ["place", "gate"]})
    generator = np.random.default_rng(seed)
    place = ["a"] * 60 + ["b"] * 30 + ["c"] * 9 + ["d"]
    rows = pa.table({"place": place, "gate": pa.array([1.0, 2.5] * 49 + [None, None], pa.float64())})
    scores = pa.table({"id": np.arange(100), "score": generator.random(100)})
    labels = pa.table({"id": np.arange(60), "y": generator.random(60) < 0.5})
    found = realised(scores, labels, spec, rows)["segments"]
    assert [(one["value"], one["rows"], one["labelled"]) for one in found["place"]] == [
        ("a", 60, 60),
        ("b", 30, 0),
        ("other values", 10, 0),
    ]
    assert found["place"][0]["auc"] == pytest.approx(
        metrics.roc_auc_score(labels["y"].to_numpy(), scores["score"].to_numpy()[:60])
    )
    assert [one["value"] for one in found["gate"]] == ["1", "2.5", "other values"]
    with pytest.raises(DriftError, match="segments of 99 rows"):
        realised(scores, labels, spec, rows.slice(1))


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
