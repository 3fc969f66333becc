"""However many challengers a year has, they share one chance of being promoted by luck."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore.comparison import ERROR_A_YEAR, Asked, decide, error_of, place_in_year
from rescore.comparison.resampling import Resampled
from tests.comparison.builders import STORED, report_of

NOW = datetime(2024, 6, 1, tzinfo=UTC)
QUESTIONS = st.builds(Asked, *(st.sampled_from("ab") for _ in range(4)))


@given(st.lists(st.tuples(QUESTIONS, st.integers(0, 500)), max_size=30), QUESTIONS)
def test_all_of_a_year_never_take_more_than_their_budget(before, asked):
    stored = [(one, NOW - timedelta(days=days)) for one, days in before]
    place = place_in_year(asked, stored, NOW)
    lately = {one for one, at in stored if NOW - at < timedelta(days=365)}
    assert 1 <= place <= len(lately - {asked}) + 1
    # Made again, on the same rows, it has the place and the error that it had.
    again = place_in_year(asked, [*stored, (asked, NOW)], NOW + timedelta(seconds=1))
    assert again == place
    assert sum(error_of(number) for number in range(1, 400)) <= ERROR_A_YEAR
    assert error_of(1) == ERROR_A_YEAR / 2


def test_another_metric_is_another_question():
    """Who may choose the metric after the fact has a second chance, which the year pays for."""
    first, second = (Asked("a", "b", "rows", metric) for metric in ("auc", "brier"))
    assert place_in_year(second, [(first, NOW)], NOW) == 2
    assert place_in_year(first, [(first, NOW)], NOW) == 1


@pytest.mark.slow
def test_a_challenger_a_week_that_is_no_better_is_hardly_ever_promoted_in_a_year():
    """Each may err in 2.5 % by itself: of 20 in a row, two years in five would promote one."""
    random = np.random.default_rng(5)
    resampled = Resampled(30)
    by_budget = by_interval = 0
    for _ in range(60):
        for week in range(1, 21):
            days = random.normal(size=30)

            def gain(counts, days=days):
                return counts @ days / counts.sum(axis=1)

            low = resampled.interval(gain)[1]
            if low > 0:
                by_interval += 1
                by_budget += resampled.floor(gain, error_of(week)) > 0
    assert by_interval >= 5
    assert by_budget <= 6  # 3 of 60 years are expected at most


def test_the_floor_of_a_first_comparison_is_its_interval_and_what_is_detectable_is_found():
    random = np.random.default_rng(6)
    resampled = Resampled(30)
    found = 0
    for _ in range(60):
        days = random.normal(size=30)
        detectable = resampled.detectable(lambda counts, days=days: counts @ days / counts.sum(axis=1), 0.025)
        moved = random.normal(size=30) + detectable
        low = resampled.interval(lambda counts, moved=moved: counts @ moved / counts.sum(axis=1))[1]
        floor = resampled.floor(lambda counts, moved=moved: counts @ moved / counts.sum(axis=1), 0.025)
        assert floor == np.float64(low) or abs(floor - low) < 1e-12
        found += low > 0
    assert found >= 36


def test_the_luck_of_one_among_many_is_said():
    found = {**STORED["bootstrap"], "effective": 8.0, "place": 4, "error": error_of(4), "floor": -0.01}
    rule = decide(report_of(bootstrap=found))
    assert not rule.passes
    assert "comparison 4 of a year, to which 0.0025 of the year's error of 0.05 is left" in rule.reasons[0]
    assert decide(report_of()).passes  # of a report made before there was a budget
