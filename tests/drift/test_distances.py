"""Distances equal what independent implementations and published definitions give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rescore.drift import distances
from rescore.drift.binning import OrderedCells

counts = st.lists(st.integers(0, 500), min_size=5, max_size=5).filter(lambda row: sum(row) > 0)


def row(*values: int) -> np.ndarray:
    return np.array([values])


def test_psi_is_the_sum_of_both_relative_entropies() -> None:
    window, others = row(120, 80, 60, 40), row(900, 1100, 800, 200)
    p, q = window[0] / 300, others[0] / 3000
    assert distances.psi(window, others)[0] == pytest.approx(
        stats.entropy(p, q) + stats.entropy(q, p), rel=1e-12
    )


def test_psi_of_a_shifted_normal_is_the_squared_shift() -> None:
    # Jeffreys' divergence of N(0, 1) and N(d, 1) is d squared.
    edges = np.linspace(-8, 8, 2001)
    here, there = (np.diff(stats.norm.cdf(edges, loc=mean)) * 1e9 for mean in (0.25, 0.0))
    assert distances.psi(here[None], there[None])[0] == pytest.approx(0.0625, rel=1e-4)


def test_a_cell_that_is_empty_on_one_side_counts_as_half_a_row() -> None:
    p, q = np.array([0.9, 0.1]), np.array([1.0, 0.5 / 1000])
    expected = ((p - q) * np.log(p / q)).sum()
    assert distances.psi(row(90, 10), row(1000, 0))[0] == pytest.approx(expected, rel=1e-12)
    assert distances.psi(row(90, 10, 0), row(1000, 0, 0))[0] == pytest.approx(expected, rel=1e-12)


@given(counts, st.integers(1, 7))
def test_equal_shares_have_no_distance(shares: list[int], times: int) -> None:
    window, others = np.array([shares]), np.array([shares]) * times
    assert distances.shift(window, others, np.arange(5.0))[0] == pytest.approx(0.0, abs=1e-12)
    for distance in (distances.psi, distances.total_variation):
        assert distance(window, others)[0] == pytest.approx(0.0, abs=1e-12)


@given(counts, counts)
def test_total_variation_is_the_largest_difference_of_any_event(first: list[int], second: list[int]) -> None:
    p, q = np.array(first) / sum(first), np.array(second) / sum(second)
    largest = max((p - q)[p > q].sum(), 0.0)
    assert distances.total_variation(row(*first), row(*second))[0] == pytest.approx(largest, abs=1e-12)


def test_psi_noise_is_its_average_without_drift(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shares = np.array([0.1, 0.2, 0.3, 0.25, 0.15])
    window, others = generator.multinomial(500, shares, 4000), generator.multinomial(20_000, shares, 4000)
    assert distances.psi(window, others).mean() == pytest.approx(
        distances.psi_noise(window, others)[0], rel=0.05
    )
    assert distances.psi_freedom(window, others).tolist() == [4] * 4000
    places = np.array([-2.0, -1.0, 0.0, 1.0, 3.0])
    assert distances.shift(window, others, places).var() == pytest.approx(
        distances.shift_noise(window, others, places).mean(), rel=0.1
    )


def test_shift_is_the_difference_of_mean_normal_scores(seed: int) -> None:
    """With ranks cut fine, it is scipy's normal scores of the pooled training, averaged."""
    generator = np.random.default_rng(seed)
    training, live = generator.gamma(2.0, 3.0, 50_000), generator.gamma(2.3, 3.0, 4_000)
    cells = OrderedCells.fit(training, min_rows=10)
    found = distances.shift(
        cells.tally([live]).counts[None, :-1], cells.tally([training]).counts[None, :-1], cells.places
    )[0]
    ranks = (np.searchsorted(np.sort(training), live) + 0.5) / (training.size + 1)
    assert found == pytest.approx(stats.norm.ppf(ranks).mean(), abs=0.02)


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda g, n: g.normal(0.3, 1.2, n), id="shifted and wider"),
        pytest.param(lambda g, n: g.normal(9.0, 1.0, n), id="beyond all of training"),
        pytest.param(lambda g, n: np.where(g.random(n) < 0.5, 0.0, g.normal(0, 1, n)), id="half of it stuck"),
        pytest.param(lambda g, n: g.exponential(3.0, n), id="another shape"),
    ],
)
def test_wasserstein_agrees_with_scipy_on_the_raw_values(draw, seed: int) -> None:
    generator = np.random.default_rng(seed)
    training, live = generator.normal(0, 1, 100_000), draw(generator, 40_000)
    cells = OrderedCells.fit(training, min_rows=10)
    tally, before = cells.tally([live]), cells.tally([training])
    firsts = np.r_[0, np.arange(cells.inner.start + 1, cells.inner.stop + 1)]
    found = distances.wasserstein(
        np.add.reduceat(tally.counts[:-1], firsts),
        np.add.reduceat(before.counts[:-1], firsts),
        cells.edges[cells.inner],
        low_means=(tally.low_mean, before.low_mean),
        high_means=(tally.high_mean, before.high_mean),
    )
    assert cells.tails == pytest.approx((before.low_mean, before.high_mean))
    assert found == pytest.approx(stats.wasserstein_distance(live, training), rel=0.05)
