"""Intervals cover the truth; the calibration error knows what chance makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from rescore.performance import auc_interval
from rescore.performance.metrics import calibration


def test_the_auc_interval_covers_the_truth(seed: int) -> None:
    # N(0, 1) against N(1, 1): the AUC is the normal distribution function at 1 / sqrt(2).
    generator, covered = np.random.default_rng(seed), 0
    for _ in range(400):
        positive = np.arange(300) < 90
        found = auc_interval(generator.normal(positive.astype(float)), positive)
        assert found is not None
        covered += found[1] <= 0.7602499 <= found[2]
    assert 0.90 <= covered / 400 <= 0.985


def test_a_calibration_error_of_calibrated_scores_is_no_more_than_chance(seed: int) -> None:
    generator, zero, errors = np.random.default_rng(seed), 0, []
    score = generator.beta(2, 5, 1000)
    for _ in range(100):
        found = calibration(score, generator.random(1000) < score)
        zero += found.error.low == 0
        errors.append(found.error.value)
        assert found.error.low <= found.error.value <= found.error.high
    assert zero >= 90
    assert np.mean(errors) == pytest.approx(found.by_chance, rel=0.1)
    wrong = calibration(score, generator.random(1000) < score**2)
    assert wrong.error.low > 0.05


def test_equal_scores_are_in_one_group_whatever_their_order(seed: int) -> None:
    generator = np.random.default_rng(seed)
    score = generator.choice([0.1, 0.2, 0.8], 500)
    positive = generator.random(500) < score
    found = calibration(score, positive)
    assert [part.mean_score for part in found.bins] == pytest.approx([0.1, 0.2, 0.8])
    order = generator.permutation(500)
    assert calibration(score[order], positive[order]).error.value == pytest.approx(found.error.value)


def test_an_auc_of_one_is_not_certain_among_few_rows() -> None:
    found = auc_interval(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert found == (1.0, pytest.approx(0.025**0.5), 1.0)
