"""Ranks are honest: as many false alarms as declared, and shifts are found.

Windows are drawn as counts, which is what the statistic sees; the same through tables and
``compare`` is in test_comparison and, at length, in bench/drift_calibration.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import lfilter

from rescore.drift import calibration, distances
from rescore.drift.binning import OrderedCells
from rescore.drift.standardise import shape_standing, shift_standing, unusualness
from rescore.errors import DriftError
from rescore.evidence import effective_windows, without_memory

WINDOWS, FEATURES = 60, 20
DRAWS = 80
#: Cut at a normal's quantiles, as training data are.
CELLS = OrderedCells.fit(stats.norm.ppf((np.arange(60_000) + 0.5) / 60_000), min_rows=10)

Levels = Callable[[np.random.Generator], np.ndarray]


def calm(generator: np.random.Generator) -> np.ndarray:
    return np.zeros((WINDOWS + 1, FEATURES))


def wandering(generator: np.random.Generator) -> np.ndarray:
    return 0.1 * generator.standard_normal((WINDOWS + 1, FEATURES))


def few_that_wander(generator: np.random.Generator) -> np.ndarray:
    return wandering(generator)[:, :5]


def wild_tails(generator: np.random.Generator) -> np.ndarray:
    levels = np.zeros((WINDOWS + 1, FEATURES))
    levels[:, 10:14] = 0.3 * generator.standard_normal((WINDOWS + 1, 4))
    levels[:, 14:17] = 0.3 * generator.standard_t(2, (WINDOWS + 1, 3))
    levels[:, 17] = generator.standard_t(1.5, WINDOWS + 1)
    levels[:, 18] = 2.0 * (generator.random(WINDOWS + 1) < 0.05)
    return levels


def with_memory(memory: float, features: int = FEATURES, windows: int = WINDOWS) -> Levels:
    """Windows that resemble the one before; the live one comes twenty windows after the last."""

    def levels(generator: np.random.Generator) -> np.ndarray:
        level = generator.standard_normal((windows + 20, features))
        level[1:] *= math.sqrt(1 - memory**2)
        wandered = lfilter([1.0], [1.0, -memory], level, axis=0)
        return 0.1 * np.vstack([wandered[:windows], wandered[-1:]])

    return levels


def p_value(
    generator: np.random.Generator, levels: np.ndarray, rows: int, live_rows: int | None = None
) -> float:
    """p-value of the last window; ``levels`` are the features' means in each."""
    sizes = np.full(len(levels), rows)
    sizes[-1] = live_rows or rows
    cumulative = stats.norm.cdf(CELLS.edges - levels[..., None])
    shares = np.diff(cumulative, axis=-1, prepend=0, append=1)
    firsts = np.flatnonzero(np.diff(CELLS.groups, prepend=-1))
    standing = []
    for feature in range(levels.shape[1]):
        windows = generator.multinomial(sizes, shares[:, feature])
        windows = calibration.same_size(windows, np.random.default_rng(8))
        others = calibration.others_of(windows)
        shift = distances.shift(windows, others, CELLS.places)[:, None]
        standing.append(shift_standing(shift, distances.shift_noise(windows, others, CELLS.places)[:, None]))
        grouped, rest = (np.add.reduceat(counts, firsts, axis=1) for counts in (windows, others))
        measures = (distances.psi, distances.psi_noise, distances.psi_freedom)
        standing.append(shape_standing(*(measure(grouped, rest)[:, None] for measure in measures)))
    two_sided = np.tile([True, False], levels.shape[1])
    every = without_memory(np.hstack(standing), two_sided)
    greatest = unusualness(every, two_sided).max(axis=1)
    enough = len(levels) > calibration.MIN_RANKED
    p_of = calibration.conformal_p if enough else calibration.extrapolated_p
    return float(p_of(greatest[:-1], greatest[-1]))


def alarms(
    seed: int, levels: Levels, rows: int, draws: int, shift: float = 0.0, live: int | None = None
) -> int:
    generator = np.random.default_rng([seed, rows])
    count = 0
    for _ in range(draws):
        means = levels(generator)
        means[-1, :3] += shift
        count += p_value(generator, means, rows, live) <= 0.05
    return count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("levels", "rows", "live"),
    [
        pytest.param(calm, 200, None, id="few rows"),
        pytest.param(calm, 100_000, None, id="many rows"),
        pytest.param(wandering, 10_000, None, id="windows wander"),
        pytest.param(wild_tails, 1_000, None, id="tails of all kinds"),
        pytest.param(few_that_wander, 1_000, 150, id="much smaller than training's windows"),
        pytest.param(few_that_wander, 1_000, 20_000, id="much larger than training's windows"),
        pytest.param(with_memory(0.5), 10_000, None, id="memory .5"),
        pytest.param(with_memory(0.8), 10_000, None, id="memory .8"),
        pytest.param(with_memory(0.8, features=3), 10_000, None, id="memory .8, few features"),
        pytest.param(with_memory(0.0, windows=12), 1_000, None, id="a year of months"),
        pytest.param(with_memory(0.0, windows=17), 1_000, None, id="17 weekends"),
    ],
)
def test_false_alarms_are_as_many_as_declared(seed: int, levels: Levels, rows: int, live: int | None) -> None:
    found = alarms(seed, levels, rows, DRAWS, live=live)
    # 3 of 61 ranks alarm. One seed in 10,000 lies outside these bounds if that is what happens.
    low, high = stats.binom.ppf([5e-5, 1 - 5e-5], DRAWS, 0.05)
    assert low <= found <= high, f"{found} of {DRAWS} windows without drift alarmed"


@pytest.mark.parametrize(
    ("levels", "rows", "least"),
    [
        pytest.param(calm, 200, 0.40, id="200 rows"),
        pytest.param(calm, 1_000, 0.95, id="1,000 rows"),
        pytest.param(wild_tails, 1_000, 0.95, id="beside wildly variable features"),
    ],
)
def test_a_quarter_sd_shift_of_three_features_is_found(
    seed: int, levels: Levels, rows: int, least: float
) -> None:
    draws = 40
    found = alarms(seed, levels, rows, draws, shift=0.25)
    assert found >= stats.binom.ppf(5e-5, draws, least), f"only {found} of {draws} shifted windows alarmed"


@pytest.mark.slow
def test_a_shift_beyond_training_is_found_where_every_window_is_of_few_readings(seed: int) -> None:
    """Daily weather of few readings: no bounded distance tells summer from winter's warmest day."""

    def weather(generator: np.random.Generator) -> np.ndarray:
        levels = np.zeros((WINDOWS + 1, FEATURES))
        levels[:, 8:] = generator.standard_normal((WINDOWS + 1, FEATURES - 8))
        levels[-1, 10] += 4.5
        return levels

    found = alarms(seed, weather, 1_000, 30)
    assert found >= stats.binom.ppf(5e-5, 30, 0.6), f"only {found} of 30 summer days alarmed"


@pytest.mark.parametrize(("memory", "least", "most"), [(0.0, 50, 60), (0.5, 12, 30), (0.8, 3, 12)])
def test_memory_makes_windows_worth_fewer(seed: int, memory: float, least: float, most: float) -> None:
    """An AR(1) is worth (1 - memory) / (1 + memory) of its windows: 20 and 6.7 of 60."""
    generator = np.random.default_rng(seed)
    worth = np.mean([effective_windows(with_memory(memory)(generator)[:-1]).mean() for _ in range(20)])
    assert least <= worth <= most


def test_one_feature_with_memory_is_told_from_those_without(seed: int) -> None:
    generator = np.random.default_rng(seed)
    series = generator.standard_normal((120, 10))
    series[:, 3] = lfilter([1.0], [1.0, -0.9], series[:, 3])
    worth = effective_windows(series)
    assert worth[3] < 60
    assert np.delete(worth, 3).mean() > 90


def test_a_shift_is_found_by_twelve_windows_too(seed: int) -> None:
    def moved(generator: np.random.Generator) -> np.ndarray:
        levels = with_memory(0.0, windows=12)(generator)
        levels[-1, :3] += 0.8
        return levels

    found = alarms(seed, moved, 1_000, 30)
    assert found >= stats.binom.ppf(5e-5, 30, 0.8), f"only {found} of 30 shifted months alarmed"


def test_windows_that_are_all_the_same_never_alarm() -> None:
    windows = np.tile([[10, 20, 30, 5]], (WINDOWS + 1, 1))
    others = calibration.others_of(windows)
    measures = (distances.psi, distances.psi_noise, distances.psi_freedom)
    standing = shape_standing(*(measure(windows, others)[:, None] for measure in measures))
    unusual = unusualness(standing, np.array([False])).max(axis=1)
    assert calibration.conformal_p(unusual[:-1], unusual[-1]) == 1.0


@given(st.integers(1, 200), st.floats(1, 200))
def test_as_many_windows_as_are_said_to_be_needed_tell_drift_and_fewer_do_not(
    windows: int, worth: float
) -> None:
    each = min(worth / windows, 1.0)
    needed = calibration.windows_needed(windows, worth)
    assert calibration.method_of(needed, each * needed * (1 + 1e-12)) != "none"
    assert all(calibration.method_of(fewer, each * fewer) == "none" for fewer in range(needed))


def test_a_p_value_is_a_rank_among_the_windows() -> None:
    reference = np.arange(19.0)
    assert calibration.conformal_p(reference, np.array([100.0, 18.0, 17.5, -1.0])).tolist() == [
        0.05,
        0.1,
        0.1,
        1,
    ]


def test_others_leave_out_the_window_and_its_neighbours() -> None:
    windows = np.eye(31, dtype=np.int64)
    others = calibration.others_of(windows)
    assert calibration.neighbourhood(30) == 2
    assert np.flatnonzero(others[10] == 0).tolist() == [8, 9, 10, 11, 12]
    assert np.flatnonzero(others[0] == 0).tolist() == [0, 1, 2]
    assert np.flatnonzero(others[30] == 0).tolist() == [30]


def test_thinning_gives_every_window_the_live_size_and_no_row_from_nowhere() -> None:
    windows = np.array([[500, 300, 200], [900, 0, 100], [70, 20, 10]])
    thinned = calibration.same_size(windows, np.random.default_rng(8))
    assert thinned.sum(axis=1).tolist() == [100, 100, 100]
    assert (thinned <= windows).all()
    assert (thinned[-1] == windows[-1]).all()
    assert (calibration.same_size(windows, np.random.default_rng(8)) == thinned).all()
    alike = windows[[1, 2, 0]]
    assert calibration.same_size(alike, np.random.default_rng(8)) is alike


def test_a_cell_of_more_rows_than_can_be_drawn_from_is_thinned_too() -> None:
    windows = np.array([[3_000_000_000, 1_500_000_000], [2_000, 1_000], [80, 40]])
    thinned = calibration.same_size(windows, np.random.default_rng(8))
    assert thinned.sum(axis=1).tolist() == [120, 120, 120]
    assert abs(thinned[0, 0] - 80) < 25
    grown = calibration.same_size(windows[[1, 1, 0]], np.random.default_rng(8))
    assert grown.sum(axis=1).tolist() == [3_000, 3_000, 3_000]
    assert abs(grown[2, 0] - 2_000) < 130


def test_a_rate_that_the_windows_cannot_resolve_is_refused() -> None:
    calibration.refuse_unresolvable(99, 0.01, where="here")
    with pytest.raises(DriftError, match="98 reference windows can't resolve") as caught:
        calibration.refuse_unresolvable(98, 0.01, where="model toy: drift")
    assert "train on 99 intervals" in str(caught.value)
    # Too few to rank: p-values are extrapolated, and resolve any rate.
    calibration.refuse_unresolvable(10, 0.01, where="here")
