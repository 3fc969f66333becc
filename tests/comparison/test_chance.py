"""What only chance made better is not promoted: the intervals of a comparison, as laws and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from rescore.comparison import decide
from rescore.comparison.resampling import MIN_BLOCKS, Resampled, metric_of
from rescore.performance import METRICS, point_metrics
from tests.comparison.builders import STORED, report_of


@st.composite
def samples(draw):
    """Truth, predictions and blocks of some rows, with ties and with blocks of one class.

    Whatever `predict` says is the label: here chance, as no probability implies it.
    """
    kind = draw(st.sampled_from(["binary", "multiclass", "regression"]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, blocks = draw(st.integers(8, 60)), draw(st.integers(2, 6))
    block = np.sort(np.concatenate([np.arange(blocks), random.integers(0, blocks, rows - blocks)]))
    if kind == "regression":
        return kind, random.normal(size=rows), random.normal(size=rows), None, block, blocks
    labels = 2 if kind == "binary" else 4
    truth = np.concatenate([np.arange(labels), random.integers(0, labels, rows - labels)])
    raw = random.integers(1, 6, (rows, labels)).astype(np.float64)
    named = random.integers(0, labels, rows)
    return kind, random.permutation(truth), raw / raw.sum(axis=1, keepdims=True), named, block, blocks


@given(samples(), st.data())
@settings(max_examples=60, deadline=None)  # the first example imports scikit-learn
def test_a_metric_of_blocks_is_that_of_the_rows_as_often_as_their_block_is_drawn(sample, data):
    kind, truth, raw, named, block, blocks = sample
    drawn = data.draw(st.lists(st.integers(0, 3), min_size=blocks, max_size=blocks).filter(any))
    repeated = np.repeat(np.arange(len(block)), np.array(drawn)[block])
    if len(np.unique(truth[repeated])) < 2:
        return  # scikit-learn gives no AUC of one class
    labels = None if named is None else named[repeated]
    expected = point_metrics(kind, truth[repeated], raw[repeated], labels)
    for name in METRICS.keys() & expected.keys():
        found = metric_of(name, truth, raw, named, block, blocks)(np.array([drawn]))
        assert found[0] == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name


def rivals(random, *, days, gain=0.0, rows=120, memory=0.0):
    """Binary truth by day, and two models that see it equally well, or the second better by ``gain``.

    Each model has good and bad days of its own: rows of a day are alike, and days with ``memory``, too.
    """
    block = np.repeat(np.arange(days), rows)
    signal = random.normal(size=days * rows)
    truth = (signal + random.logistic(size=len(signal)) > random.normal(0, 0.5, days)[block]).astype(np.int64)
    raws = []

    def by_day(spread):
        drawn = random.normal(size=days)
        drawn[1:] *= np.sqrt(1 - memory**2)
        return spread * lfilter([1.0], [1.0, -memory], drawn)[block]

    for better in (0.0, gain):
        seen = (0.6 + better + by_day(0.3)) * signal
        score = 1 / (1 + np.exp(-(seen + by_day(0.6) + random.normal(size=len(signal)))))
        raws.append(np.column_stack([1 - score, score]))
    return truth, raws[0], raws[1], block


def ruled(truth, champion, challenger, block, metric="auc"):
    """What the rule says of two models' predictions."""
    resampled = Resampled(int(block.max()) + 1)
    sign = 1 if METRICS[metric].higher_is_better else -1
    old, new = (
        metric_of(metric, truth, raw, None, block, resampled.blocks) for raw in (champion, challenger)
    )

    def gain(counts):
        return sign * (new(counts) - old(counts))

    value, low, high = resampled.interval(gain)
    worth = {"blocks": resampled.blocks, "effective": resampled.effective_blocks(gain)}
    report = report_of(
        metric=metric,
        main={"gain": value, "low": low, "high": high},
        bootstrap={**STORED["bootstrap"], **worth},
    )
    return decide(report).passes


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "days"), [("auc", 15), ("brier", MIN_BLOCKS)])
def test_of_equal_challengers_hardly_one_in_forty_is_promoted_by_rule(metric, days):
    """Two-sided 95 %: the lower bound is above 0 in 2.5 % of such pairs; half of them look better."""
    random = np.random.default_rng(7)
    pairs = [rivals(random, days=days) for _ in range(200)]
    looks_better = sum(
        point_metrics("binary", truth, new)[metric] > point_metrics("binary", truth, old)[metric]
        for truth, old, new, _ in pairs
    )
    assert 70 < looks_better < 130
    # Of 200 at a rate of 2.5 %, eleven or fewer in 99 % of such trials.
    assert sum(ruled(*pair, metric=metric) for pair in pairs) <= 11


@pytest.mark.slow
def test_days_that_resemble_the_days_before_promote_no_more_equal_challengers():
    """Of days taken as independent, one in seven equal challengers was promoted at a memory of .8."""
    random = np.random.default_rng(7)
    promoted = sum(ruled(*rivals(random, days=30, memory=0.8), metric="brier") for _ in range(200))
    # Of 200 at a rate of 2.5 %, eleven or fewer in 99 % of such trials.
    assert promoted <= 11


def gains_by_day(random, days, memory, noise):
    """Gains that wander from day to day, and what chance adds to each day alone."""
    drawn = random.normal(size=days)
    drawn[1:] *= np.sqrt(1 - memory**2)
    return lfilter([1.0], [1.0, -memory], drawn) + noise * random.normal(size=days)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.7, 1.5])
def test_memory_that_noise_hides_is_found(noise):
    """One autocorrelation alone, of days so noisy, promoted 5 to 6 in 100 of equal challengers."""
    random = np.random.default_rng(7)
    promoted = 0
    for _ in range(200):
        days = gains_by_day(random, 60, 0.8, noise)
        resampled = Resampled(60)

        def mean(counts, days=days):
            return counts @ days / counts.sum(axis=1)

        promoted += (resampled.interval(mean)[1] or 0.0) > 0
    # Of 200 at a rate of 3 %, twelve or fewer in 99 % of such trials.
    assert promoted <= 12


@pytest.mark.parametrize(("memory", "least", "most"), [(0.0, 10, 30), (0.5, 3, 12), (0.8, 2, 6)])
def test_memory_makes_days_worth_fewer(memory, least, most):
    random = np.random.default_rng(3)
    worth = []
    for _ in range(40):
        drawn = random.normal(size=30)
        drawn[1:] *= np.sqrt(1 - memory**2)
        days = lfilter([1.0], [1.0, -memory], drawn)

        def mean(counts, days=days):
            return counts @ days / counts.sum(axis=1)

        worth.append(Resampled(30).effective_blocks(mean))
    assert least <= np.median(worth) <= most


def test_days_worth_too_few_decide_nothing_and_it_is_said():
    rule = decide(report_of(bootstrap={**STORED["bootstrap"], "blocks": 20, "effective": 3.2}))
    assert not rule.passes
    assert "20 days may be worth as few as 3.2 independent ones" in rule.reasons[0]


def test_a_truly_better_challenger_is_promoted():
    random = np.random.default_rng(8)
    assert sum(ruled(*rivals(random, days=30, gain=1.5)) for _ in range(20)) >= 18


def test_too_few_days_decide_nothing():
    random = np.random.default_rng(9)
    assert not ruled(*rivals(random, days=MIN_BLOCKS - 1, gain=3.0))
    truth, old, new, _ = rivals(random, days=1, gain=3.0)
    assert Resampled(1).interval(metric_of("brier", truth, new, None, np.zeros(len(old), int), 1))[1] is None
