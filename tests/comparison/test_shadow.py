"""Live days decide about a challenger: the same however they are looked at, hardly ever by luck."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rescore.comparison import (
    ERROR_A_YEAR,
    ComparisonReport,
    ShadowTerms,
    decide,
    error_of,
    evidence_by_day,
    in_shadow,
    said_of_shadow,
    shadow_after,
)
from rescore.comparison.shadow import FEWEST_DAYS
from rescore.performance import ShadowRun
from rescore.spec import PromotionSpec
from tests.comparison.builders import STORED, report_of

FIRST = datetime(2024, 3, 1, tzinfo=UTC)


def terms(holdout: list[float], place: int = 1) -> ShadowTerms:
    return ShadowTerms(
        loss="brier",
        error=error_of(place, shadow=True),
        since="2024-03-01T06:00:00+00:00",
        until="2024-05-30T06:00:00+00:00",
        begins=FIRST.isoformat(),
        holdout=tuple(holdout),
    )


def run(day: int, gain: float, *, part: int = 0, parts: int = 1, rows: int = 10) -> ShadowRun:
    """A part of a day whose rows lose ``gain`` less with the challenger, each."""
    return ShadowRun(
        champion="a" * 64,
        challenger="b" * 64,
        loss="brier",
        starts=FIRST + timedelta(days=day, hours=24 * part / parts),
        day=(FIRST + timedelta(days=day)).date().isoformat(),
        closes=part == parts - 1,
        rows=rows,
        champion_loss=rows * 0.2,
        challenger_loss=rows * (0.2 - gain),
    )


GAINS = st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=30)


@settings(max_examples=25, deadline=None)
@given(GAINS, GAINS, st.randoms(use_true_random=False), st.integers(1, 3))
def test_evidence_does_not_depend_on_how_often_or_in_which_order_it_is_looked_at(
    holdout, gains, random, parts
):
    runs = [run(day, gain, part=part, parts=parts) for day, gain in enumerate(gains) for part in range(parts)]
    at_once = shadow_after(terms(holdout), runs)
    shuffled = random.sample(runs, len(runs))
    assert shadow_after(terms(holdout), shuffled) == at_once
    # Each look says what a look at all the days would say of that day: none is bet on twice, none forgotten.
    every, always = evidence_by_day(np.asarray([*holdout, *gains]), len(holdout), 1.0)
    for day in range(1, len(gains) + 1):
        look = shadow_after(terms(holdout), runs[: day * parts])
        assert look.days == day
        assert look.evidence == pytest.approx(every[day - 1], rel=1e-3)
        assert look.bounded == pytest.approx(always[day - 1], rel=1e-3)
    decided = [shadow_after(terms(holdout), runs[: day * parts]).decided for day in range(1, len(gains) + 1)]
    assert all(later == earlier for earlier, later in pairwise(decided) if earlier is not None)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-0.3, 0.3), min_size=25, max_size=40), st.floats(0, 0.5))
def test_a_bet_is_fixed_before_the_day_and_fair(gains, gain):
    """After a day of 0 nothing is expected: what comes may be for or against, and on average wins nothing."""
    before, known = [*gains, 0.0], 5
    for which in (0, 1):
        stood = evidence_by_day(np.asarray(before), known, 1.0)[which]
        won, lost = (evidence_by_day(np.asarray([*before, one]), known, 1.0)[which] for one in (gain, -gain))
        assert np.array_equal(won[:-1], stood)
        # Less than nothing where the gain is beyond what counts: a loss counts whole.
        assert (won[-1] + lost[-1]) / 2 <= stood[-1] * (1 + 1e-9)
        spread = np.std([*before, 1.0])
        if gain < spread / 10:
            assert (won[-1] + lost[-1]) / 2 == pytest.approx(stood[-1], rel=1e-9)


def test_a_day_counts_when_it_is_over():
    runs = [run(0, 0.1), run(1, 0.1, part=0, parts=2)]
    assert shadow_after(terms([]), runs).days == 1
    assert shadow_after(terms([]), [*runs, run(1, 0.1, part=1, parts=2)]).days == 2
    assert shadow_after(terms([]), [*runs, run(2, 0.1)]).days == 3  # the second half never came


def test_nothing_is_bet_before_memory_and_spread_are_known():
    days = np.random.default_rng(3).normal(1, 1, 60)
    evidence, _ = evidence_by_day(days, 5)
    assert (evidence[: FEWEST_DAYS - 5] == 1).all()
    assert evidence[FEWEST_DAYS - 5] != 1
    assert (evidence_by_day(np.full(60, 0.1), 5, 1.0)[0] == 1).all()  # days without a spread tell nothing


def test_of_equal_challengers_hardly_any_passes_and_of_better_ones_nearly_all():
    """The table in the guide has other memories; here days have one of .5, and 400 pairs are enough."""
    random, limit = np.random.default_rng(11), 1 / error_of(1, shadow=True)
    news = random.normal(size=(400, 160)) * np.sqrt(0.75)
    days = np.zeros_like(news)
    for day in range(1, 160):
        days[:, day] = 0.5 * days[:, day - 1] + news[:, day]
    days = days[:, 40:]
    equal = (evidence_by_day(days, 30)[0] >= limit).any(axis=1)
    better = (evidence_by_day(days + 1.5, 30)[0] >= limit).any(axis=1)
    assert equal.mean() <= 0.0125 + 2 * np.sqrt(0.0125 / 400)
    assert better.mean() >= 0.9
    assert not (evidence_by_day(days - 0.5, 30)[0] >= limit).any()


@pytest.mark.parametrize("one_in", [100, 50, 20])
def test_a_challenger_with_rare_very_bad_days_is_not_pinned_by_the_rule(one_in: int) -> None:
    """A little better on nearly all days, and on the others as bad as can be: on average no better."""
    random, limit = np.random.default_rng(one_in), 1 / error_of(1, shadow=True)
    usual = (1 + random.normal(size=(400, 315)) / 2) / (one_in - 1)
    days = np.where(random.random(usual.shape) < 1 / one_in, -1.0, usual)
    as_before, always = evidence_by_day(days, 15, 1.0)
    assert (always >= limit).any(axis=1).mean() <= 0.0125
    assert (always > 0).all(), "what a day can lose is never all there is"
    assert (as_before >= limit).any(axis=1).mean() > 0.05, "which is why a person is asked"
    assert (as_before[:, 0] == 1).all()


def test_a_very_bad_day_takes_all_that_was_won_on_days_without_one():
    days = np.random.default_rng(5).normal(0.05, 0.02, 60)
    evidence, _ = evidence_by_day(days, 15)
    assert evidence[-1] > 80
    assert evidence_by_day(np.append(days, -1.0), 15)[0][-1] == 0


@pytest.mark.parametrize("loss", ["rmse", "mae", "log_loss"])
def test_of_a_loss_without_a_bound_a_person_decides(loss: str) -> None:
    days = np.random.default_rng(4).normal(0.3, 0.03, 100)
    runs = [run(day, gain) for day, gain in enumerate(days[8:])]
    bounded = terms([*days[:8]])
    unbounded = bounded.model_copy(update={"loss": loss})
    assert shadow_after(bounded, runs).proved is not None
    found = shadow_after(unbounded, runs)
    assert (found.decided, found.bounded, found.proved) == (shadow_after(bounded, runs).decided, None, None)
    rule = decide(uncertain(shadow=found.to_dict(), terms=unbounded.to_dict()))
    assert not rule.passes
    assert "so a person decides: in the shadow since" in rule.reasons[0]


def test_hold_out_and_live_days_share_what_a_comparison_may_err_in():
    assert 2 * error_of(3, shadow=True) == error_of(3)
    assert sum(2 * error_of(number, shadow=True) for number in range(1, 400)) <= ERROR_A_YEAR


CHANCE = {"champion": 0.7, "challenger": 0.8, "gain": 0.1, "low": -0.05, "high": 0.2}


def uncertain(**changed) -> ComparisonReport:
    return report_of(**{"main": CHANCE, "terms": terms([0.01] * 8).to_dict()} | changed)


def test_only_a_challenger_that_chance_alone_speaks_against_is_in_the_shadow():
    assert in_shadow(uncertain())
    assert not in_shadow(report_of(main=CHANCE))  # not declared
    assert not in_shadow(report_of(terms=terms([]).to_dict()))  # it passes as it is
    dirty = {**STORED["challenger"], "code_revision": "0a1b2c+dirty"}
    assert not in_shadow(uncertain(challenger=dirty))
    assert not in_shadow(uncertain(promotion={"smallest_gain": 0.2, "largest_segment_loss": 0.05}))
    loses = {"gauge": [{**STORED["segments"]["gauge"][0], "gain": -0.1}]}
    assert not in_shadow(uncertain(segments=loses))


def test_live_days_take_the_place_of_chance_and_of_nothing_else():
    days = np.random.default_rng(4).normal(0.2, 0.03, 60)
    shown = shadow_after(terms([*days[:8]]), [run(day, gain) for day, gain in enumerate(days[8:])])
    assert shown.decided is not None and shown.proved is not None
    assert shown.proved > shown.decided
    found = uncertain(shadow=shown.to_dict())
    assert "may be chance" in decide(uncertain()).reasons[0]
    rule = decide(found)
    assert rule.passes
    assert (
        f"in the shadow since 2024-03-01: 52 days, evidence {shown.evidence:.3g}, decides from 80"
        in (rule.reasons[-1])
    )
    assert rule.reasons[-1].endswith(f"beyond it on {shown.decided}, and whatever days are on {shown.proved}")
    likely = decide(uncertain(shadow=shown.model_copy(update={"proved": None}).to_dict()))
    assert not likely.passes
    assert likely.reasons[0].startswith("live days show it if they stay as they are, so a person decides")
    assert not in_shadow(found)  # it is decided
    loses = {"gauge": [{**STORED["segments"]["gauge"][0], "gain": -0.1}]}
    assert not decide(uncertain(shadow=shown.to_dict(), segments=loses)).passes
    short = shadow_after(terms([*days[:8]]), [run(day, gain) for day, gain in enumerate(days[8:14])])
    assert not decide(uncertain(shadow=short.to_dict())).passes


def test_one_line_says_where_it_stands_and_when_it_may_decide():
    days = np.random.default_rng(4).normal(0.02, 0.03, 60)
    runs = [run(day, gain) for day, gain in enumerate(days[8:])]
    report = uncertain()
    assert said_of_shadow(report, shadow_after(terms([*days[:8]]), runs[:3])) == (
        "in the shadow since 2024-03-01: 3 days, evidence 1, decides from 80, "
        "ends undecided on 2024-05-30 as it stands"
    )
    middle = next(
        one
        for one in (shadow_after(terms([*days[:8]]), runs[:count]) for count in range(15, 52))
        if one.more is not None and one.evidence > 10
    )
    assert "expected to decide about 2024-0" in said_of_shadow(report, middle)


def test_a_shadow_too_short_for_any_evidence_is_refused():
    assert not PromotionSpec().shadow
    assert PromotionSpec(shadow="14d").shadow == timedelta(days=14)
    with pytest.raises(ValidationError, match="expected 14d or more, for evidence to come together, or 0d"):
        PromotionSpec(shadow="13d")
