"""Alarms keep their budget on stable windows, and come soon after a change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from rescore.evidence import Alarm, Evidence, Look, accumulate, limit_of
from rescore.evidence.window_memory import memory_of

WINDOWS = 60


def looks(generator: np.random.Generator, days: int, shift: float = 0.0, first: int = 0) -> list[Look]:
    """``days`` windows after 60 of reference; from ``first`` on they are off by ``shift`` deviations."""
    drawn = generator.standard_normal(WINDOWS + days)
    drawn[WINDOWS + first :] += shift
    reference = drawn[:WINDOWS].tolist()
    return [
        Look(f"day {day}", float(one), reference, ("wind",) if day >= first and shift else ())
        for day, one in enumerate(drawn[WINDOWS:])
    ]


def remembering(
    generator: np.random.Generator, days: int, memory: float, shift: float = 0.0, first: int = 0
) -> list[Look]:
    """The same with each window like the one before by ``memory``."""
    drawn = generator.standard_normal(WINDOWS + days)
    drawn[1:] *= np.sqrt(1 - memory**2)
    series = lfilter([1.0], [1.0, -memory], drawn)
    series[WINDOWS + first :] += shift
    return [
        Look(f"day {day}", float(one), series[:WINDOWS].tolist()) for day, one in enumerate(series[WINDOWS:])
    ]


def delay(given: list[Look], limit: float, first: int) -> int:
    """Windows from the change to the alarm."""
    state = Evidence()
    for count, look in enumerate(given, 1):
        state.see(look, limit)
        if count > first and state.raised:
            return count - first
    return 999


@pytest.mark.slow
def test_stable_models_keep_the_budget_of_an_installation(seed: int) -> None:
    """Forty models at forty false alarms a year: one for each, of which half and less are seen."""
    generator = np.random.default_rng(seed)
    limit = limit_of(365, 40, 40)
    assert limit == 365
    raised = [accumulate(looks(generator, 365), limit).raised for _ in range(40)]
    ever = sum(accumulate(looks(generator, 120), limit).raised for _ in range(40))
    assert sum(raised) <= 5
    assert ever <= 8


@pytest.mark.parametrize(("shift", "most"), [(4.0, 6), (2.0, 11)])
def test_a_change_is_told_within_days(seed: int, shift: float, most: int) -> None:
    generator = np.random.default_rng(seed)
    waited = [delay(looks(generator, 50, shift, 10), 365, 10) for _ in range(15)]
    assert np.median(waited) <= most


def test_an_alarm_says_since_when_and_what(seed: int) -> None:
    given = looks(np.random.default_rng(seed), 40, 4.0, 20)
    alarm = accumulate(given, 365)
    assert alarm.raised
    assert alarm.since is not None and int(alarm.since.removeprefix("day ")) in range(15, 23)
    assert alarm.features == ("wind",)
    assert str(alarm).startswith(f"Alarm since {alarm.since} (evidence ")
    assert f"; even the strongest change takes {alarm.fastest} windows to show): " in str(alarm)
    assert 2 <= alarm.fastest <= 6
    assert Alarm.from_dict(alarm.to_dict()) == alarm


def test_an_alarm_is_new_once_stands_and_ends_with_ten_usual_windows() -> None:
    reference = list(np.linspace(0, 1, WINDOWS))
    strange, usual = Look("s", 9.0, reference), Look("u", 0.3, reference)
    given, new = [], []
    for _ in range(8):
        given.append(strange)
        new.append(accumulate(given, 50).new)
    assert sum(new) == 1
    assert accumulate([*given, *[usual] * 9], 50).raised
    assert not accumulate([*given, *[usual] * 10], 50).raised
    # The windows of the alarm are no part of the reference: the same change is told again.
    assert accumulate([*given, *[usual] * 10, *[strange] * 6], 50).raised


def test_an_alarm_is_new_once_in_whatever_order_its_windows_come() -> None:
    """Each window is looked at with those that had come by then, and what was told is kept with it."""
    reference = list(np.linspace(0, 1, WINDOWS))
    random = np.random.default_rng(7)
    for _ in range(30):
        kept: dict[int, Look] = {}
        new = 0
        for place in np.argsort(np.arange(12) + random.uniform(0, 3, 12)):
            look = Look("s", 9.0, reference)
            alarm = accumulate([*(kept[one] for one in sorted(kept) if one < place), look], 50)
            kept[int(place)] = replace(look, told=alarm.raised)
            new += alarm.new
        assert new >= 1
        assert new <= 2  # by the one that crosses, and by one before it that came late


def test_a_limit_that_moves_ends_no_alarm() -> None:
    """An alarm stands by the limit that it crossed, whatever other models have come since."""
    reference = list(np.linspace(0, 1, WINDOWS))
    looks = [Look("s", 9.0, reference, limit=50.0, told=place > 3) for place in range(6)]
    alarm = accumulate([*looks, Look("s", 0.6, reference)], 1e9)
    assert (alarm.raised, alarm.new) == (True, False)


def test_the_limit_shares_the_budget_among_models() -> None:
    assert limit_of(365, 40, 4) == 3_650
    assert limit_of(52, 1, 4) == 13
    assert limit_of(12, 1, 400) == 2


@pytest.mark.parametrize("memory", [0.5, 0.8])
def test_windows_that_resemble_the_ones_before_keep_the_budget(seed: int, memory: float) -> None:
    """One false alarm a year is declared; taken as independent, such windows raise two to four."""
    generator = np.random.default_rng(seed)
    raised = []
    for _ in range(12):
        state = Evidence()
        new = 0
        for look in remembering(generator, 365, memory):
            state.see(look, 365)
            new += state.new
        raised.append(new)
    assert np.mean(raised) <= 1


def test_memory_that_training_did_not_show_is_taken_from_stable_windows(seed: int) -> None:
    """Sixty windows often look as if they had none: those after them must not raise alarms for a year."""
    generator = np.random.default_rng(seed)
    raised = 0
    for _ in range(8):
        reference = generator.standard_normal(WINDOWS).tolist()
        state = Evidence()
        for look in remembering(generator, 365, 0.8):
            state.see(replace(look, reference=reference), 365)
            raised += state.new
    assert raised <= 10


def test_a_change_that_lasts_is_not_taken_for_memory(seed: int) -> None:
    """What evidence comes from tells nothing of memory: else a change of level would explain itself."""
    generator = np.random.default_rng(seed)
    waited = [delay(looks(generator, 90, 1.5, 10), 3_650, 10) for _ in range(15)]
    assert np.median(waited) <= 37


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.9), st.floats(0.01, 100), st.floats(-100, 100))
def test_evidence_has_no_unit(seed: int, memory: float, scale: float, offset: float) -> None:
    """A statistic in another unit and from another zero is as unusual as it was."""
    before, after = Evidence(), Evidence()
    for look in remembering(np.random.default_rng(seed), 40, memory, 2.0, 25):
        turned = [scale * one + offset for one in look.reference]
        before.see(look, 365)
        after.see(replace(look, statistic=scale * look.statistic + offset, reference=turned), 365)
        assert after.evidence == pytest.approx(before.evidence, rel=1e-6)
    assert (after.raised, after.since) == (before.raised, before.since)


def test_a_strong_change_of_windows_with_memory_is_told_within_days(seed: int) -> None:
    generator = np.random.default_rng(seed)
    waited = [delay(remembering(generator, 40, 0.5, 6.0, 10), 365, 10) for _ in range(9)]
    assert np.median(waited) <= 8


def test_an_alarm_stands_as_long_as_the_change_does(seed: int) -> None:
    """That a change lasts is no news where windows resemble each other; the alarm has not ended for that."""
    given = remembering(np.random.default_rng(seed), 60, 0.8, 12.0, 10)
    assert accumulate(given[:30], 365).raised
    assert accumulate(given, 365).raised


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_memory_is_not_underestimated(seed: int, memory: float) -> None:
    generator = np.random.default_rng(seed)
    found = [memory_of(remembering(generator, 1, memory)[0].reference) for _ in range(50)]
    assert memory <= np.mean(found) <= memory + 0.25
    assert max(found) < 1


def test_of_few_or_equal_windows_no_memory_is_told() -> None:
    assert memory_of([1.0, 2.0, 3.0]) == 0
    assert memory_of([2.0] * 30) == 0
