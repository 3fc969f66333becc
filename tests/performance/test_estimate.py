"""Estimates come true when scores are calibrated, and know when they may not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from rescore.performance import ScoreCalibration, estimated_performance
from rescore.performance.estimate import estimated_accuracy


def test_estimates_come_true_for_calibrated_scores(seed: int) -> None:
    generator = np.random.default_rng(seed)
    score = generator.beta(1, 3, 40_000).round(3)
    positive = generator.random(40_000) < score
    expected = estimated_performance(score)
    assert expected["auc"].value == pytest.approx(metrics.roc_auc_score(positive, score), abs=0.015)
    assert expected["accuracy"].value == pytest.approx(((score > 0.5) == positive).mean(), abs=0.012)
    assert expected["brier"].value == pytest.approx(((score - positive) ** 2).mean(), abs=0.01)


@pytest.mark.slow
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
            held[name] += bool(expected[name].low <= found[name] <= expected[name].high)
    assert all(270 <= count <= 297 for count in held.values()), held


def _choices(
    generator: np.random.Generator, sharper: float, rows: int = 400
) -> tuple[np.ndarray, np.ndarray]:
    """Certainty of the class named of four, by logits times ``sharper``, and whether it came true."""
    logits = generator.normal(0, 1.3, (rows, 4)) + generator.normal(0, 0.2, (1, 4))
    chance = np.exp(logits)
    chance /= chance.sum(axis=1, keepdims=True)
    truth = (generator.random((rows, 1)) > chance.cumsum(axis=1)).sum(axis=1)
    said = np.exp(sharper * logits)
    said /= said.sum(axis=1, keepdims=True)
    return said.max(axis=1), (said.argmax(axis=1) == truth).astype(np.float64)


@pytest.mark.parametrize("sharper", [0.5, 1.0, 2.0])
def test_accuracy_of_several_classes_is_estimated_whatever_the_certainties_are_worth(
    seed: int, sharper: float
) -> None:
    generator = np.random.default_rng(seed)
    days = [_choices(generator, sharper) for _ in range(60)]
    certainty, right = (np.concatenate(part) for part in zip(*days, strict=True))
    learnt = ScoreCalibration.fit(certainty, right == 1, range(0, 24_001, 400))
    held = plain = 0
    for _ in range(300):
        live, came_true = _choices(generator, sharper)
        for calibration in (learnt, None):
            band = estimated_accuracy(live, calibration)
            within = band.low <= came_true.mean() <= band.high
            held, plain = held + (calibration is not None) * within, plain + (calibration is None) * within
    assert 270 <= held <= 297, held
    assert (plain > 250) == (sharper == 1.0)


def _named_by_class(
    generator: np.random.Generator, easy: float, rows: int = 400
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Certainty (too low of the easy class, else too high), the class named, whether it came true."""
    named = np.where(generator.random(rows) < easy, "easy", "hard").astype(object)
    certainty = generator.uniform(0.5, 0.9, rows)
    came_true = certainty + np.where(named == "easy", 0.1, -0.2)
    return certainty, named, generator.random(rows) < came_true


def test_each_class_has_its_own_calibration_so_that_their_mixture_may_change(seed: int) -> None:
    generator = np.random.default_rng(seed)
    days = [_named_by_class(generator, 0.5) for _ in range(60)]
    certainty, named, right = (np.concatenate(part) for part in zip(*days, strict=True))
    learnt = ScoreCalibration.fit(certainty, right, range(0, 24_001, 400), named)
    assert learnt is not None
    again = ScoreCalibration.from_dict(learnt.to_dict())
    assert set(again.by_class) == {"easy", "hard"}
    held = pooled = 0
    for _ in range(100):
        live, classes, came_true = _named_by_class(generator, 0.9)
        own, of_all = estimated_accuracy(live, again, classes), estimated_accuracy(live, again)
        held += own.low <= came_true.mean() <= own.high
        pooled += of_all.low <= came_true.mean() <= of_all.high
    assert held >= 88, held
    assert pooled < 10, pooled


def test_a_class_that_training_named_seldom_is_judged_by_all_rows(seed: int) -> None:
    generator = np.random.default_rng(seed)
    certainty, named, right = _named_by_class(generator, 0.9, rows=4_000)
    learnt = ScoreCalibration.fit(certainty, right, [0, 2_000, 4_000], named)
    assert learnt is not None
    assert set(learnt.by_class) == {"easy"}
    seldom = estimated_accuracy(certainty, learnt, np.full(4_000, "hard", dtype=object))
    assert seldom == estimated_accuracy(certainty, learnt)


def test_a_band_widens_with_what_training_is_worth_in_the_window(seed: int) -> None:
    generator = np.random.default_rng(seed)
    days = [_day(generator, 0.5) for _ in range(60)]
    score, positive = (np.concatenate(part) for part in zip(*days, strict=True))
    learnt = ScoreCalibration.fit(score, positive, range(0, 30_001, 500))
    assert learnt is not None
    learnt = ScoreCalibration.from_dict(learnt.to_dict())  # as packages have it, with six digits
    bands = [estimated_performance(days[0][0], learnt.widened(reach)) for reach in (1.0, 0.5, 0.0)]
    for name in bands[0]:
        widths = [band[name].high - band[name].low for band in bands]
        assert widths[0] < widths[1] < widths[2], name
    assert bands[0] == estimated_performance(days[0][0], learnt)


def test_many_scores_are_pooled_without_moving_the_estimate(seed: int) -> None:
    score = np.random.default_rng(seed).beta(2, 5, 300_000)
    whole, part = estimated_performance(score), estimated_performance(score.round(5))
    for name, value in whole.items():
        assert dict(value) == pytest.approx(dict(part[name]), abs=2e-5), name


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
            within = found["base_rate"].low <= rate <= found["base_rate"].high
            if calibrated is None:
                plain += within
            else:
                held += within
    assert 178 <= held <= 199
    assert plain < 150


def test_the_estimated_auc_is_the_expectation_over_all_labellings() -> None:
    scores = np.array([0.2, 0.2, 0.7])
    pairs = right = 0.0
    for i, positive in enumerate(scores):
        for j, negative in enumerate(scores):
            weight = positive * (1 - negative)
            pairs += weight
            right += weight * (1.0 if positive > negative else 0.5 if positive == negative or i == j else 0.0)
    assert estimated_performance(scores)["auc"].value == pytest.approx(right / pairs)
    assert estimated_performance(np.array([np.nan]))["auc"].value is None
    assert estimated_performance(np.array([1.0, 1.0]))["auc"].value is None
