"""The number of rows is ranked like a feature, and half a table loaded is an outage in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from rescore.drift import DriftReport, WindowRows, build_reference, compare
from rescore.drift.volume import Volume, compare_volume
from rescore.pipeline.scoring.rows_before import windows_before
from rescore.spec import DriftSpec, ModelSpec
from tests.drift.conftest import START

DAYS = 60
EVERY = np.arange(DAYS)


def numbers(
    random: np.random.Generator,
    days: int,
    *,
    spread: float = 0.05,
    weekend: float = 1.0,
    growth: float = 0.0,
    level: float = 1_000.0,
) -> np.ndarray:
    """Rows by day: alike but for chance; weekends and a year's growth as they are given."""
    day = np.arange(days)
    logs = np.log(level) + spread * random.standard_normal(days) + growth * day / 365
    logs += np.where(day % 7 >= 5, np.log(weekend), 0.0)
    return np.rint(np.exp(logs)).astype(np.int64)


def windows(rows: np.ndarray, first: int = 0) -> list[WindowRows]:
    return [WindowRows(START + timedelta(days=first + day), int(n)) for day, n in enumerate(rows)]


def judged(rows: np.ndarray, live: int, chosen: np.ndarray = EVERY) -> Volume:
    """The last window, of another number of rows, by training's first 60 and those since."""
    every = windows(rows)
    last = WindowRows(every[-1].start, live)
    found = compare_volume(every[:DAYS], chosen, every[DAYS:-1], last, "UTC")
    assert found is not None
    return found


def p_value(one: Volume) -> float:
    standing = np.abs(one.standing[:, 0])
    return float((1 + (standing[:-1] >= standing[-1]).sum()) / standing.size)


def test_half_a_table_is_an_outage_and_a_quiet_day_is_none(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = numbers(random, 90)
    assert judged(rows, 480).outage
    assert not judged(rows, 800).outage
    usual = judged(rows, 1_050)
    assert (usual.outage, usual.standing[-1, 0]) == (False, 0.0)
    # Where windows differ much, half of the usual is nothing special.
    assert not judged(numbers(random, 90, spread=0.5), 500).outage


def test_weekdays_are_expected_to_be_like_weekdays(seed: int) -> None:
    """At weekends there are a third of the rows: that many on a Tuesday are an outage, on a Sunday none."""
    rows = numbers(np.random.default_rng(seed), 92, weekend=1 / 3)
    tuesday, sunday = rows[: 7 * 13 - 5], rows[: 7 * 13]
    assert judged(tuesday, 330).outage
    found = judged(sunday, 330)
    assert (found.outage, found.low <= 330 <= found.high) == (False, True)
    assert judged(sunday, 1_000).standing[-1, 0] > 4


def test_half_a_table_is_found_long_after_training_of_a_business_that_grows(seed: int) -> None:
    """It has as many rows as whole tables had in training."""
    rows = numbers(np.random.default_rng(seed), 420, growth=0.8)
    found = judged(rows, int(rows[-1] // 2))
    assert found.rows > rows[:DAYS].min()
    assert found.outage


@pytest.mark.parametrize("growth", [0.0, 0.7, -0.7])
def test_a_year_of_growth_raises_no_more_than_chance(seed: int, growth: float) -> None:
    random = np.random.default_rng(seed)
    p = []
    for _ in range(2):
        rows = numbers(random, 425, spread=0.15, weekend=0.4, growth=growth)
        p += [p_value(judged(rows[:days], int(rows[days - 1]))) for days in range(DAYS + 1, 425, 6)]
    assert np.mean(np.asarray(p) <= 0.05) <= 0.12


def test_other_rhythms_than_days_are_expected_by_their_own(seed: int) -> None:
    """Hours: by the time of the day where weeks are too few. Months: by the last ones."""
    random = np.random.default_rng(seed)
    hour = np.arange(24 * 6)
    rows = np.rint(
        np.exp(np.log(np.where(hour % 24 < 8, 100, 1_000)) + 0.05 * random.standard_normal(hour.size))
    )
    every = [WindowRows(START + timedelta(hours=int(one)), int(n)) for one, n in zip(hour, rows, strict=True)]
    chosen = np.arange(24 * 5)
    for last, outage in ((24 * 5 + 3, False), (24 * 5 + 10, True)):
        live = WindowRows(every[last].start, 100)
        found = compare_volume(every[: 24 * 5], chosen, every[24 * 5 : last], live, "UTC")
        assert found is not None and found.outage is outage
    months = [
        WindowRows(datetime(2023 + m // 12, m % 12 + 1, 1, tzinfo=START.tzinfo), 5_000 + m) for m in range(24)
    ]
    found = compare_volume(months[:20], np.arange(20), months[20:23], months[23], "UTC")
    assert found is not None and found.standing[-1, 0] == 0.0
    half = WindowRows(months[23].start, 2_500)
    found = compare_volume(months[:20], np.arange(20), months[20:23], half, "UTC")
    assert found is not None and found.outage


def test_windows_of_training_and_from_before_it_are_no_outage(seed: int) -> None:
    """Rows double in training: its own tenth day has half of the last ones, and so has what was before."""
    rows = numbers(np.random.default_rng(seed), 180, growth=365 / 180 * np.log(2))
    every = windows(rows)
    for one in every[::7]:
        found = compare_volume(every, np.arange(180), [], one, "UTC")
        assert found is not None and not found.outage
    earlier = windows(numbers(np.random.default_rng(seed), 30, level=500.0), first=-60)
    assert compare_volume(every, np.arange(180), [], earlier[0], "UTC") is None
    found = compare_volume(every, np.arange(180), earlier[:-1], earlier[-1], "UTC")
    assert found is not None and not found.outage and 400 < found.expected < 600


def test_hours_of_a_table_that_shrinks_slowly_are_no_outage() -> None:
    """Each hour of the week is expected to be as in the last four weeks, not as in training."""
    training, live = 24 * 56, 24 * (56 + 120)
    hour = np.arange(live + 168)
    rows = 1_000 * np.where(hour % 24 < 8, 0.1, 1.0) * np.where(hour // 24 % 7 >= 5, 0.3, 1.0)
    rows = np.rint(10 * rows * 0.997 ** (hour / 24)).astype(int)
    every = [WindowRows(START + timedelta(hours=int(one)), int(n)) for one, n in zip(hour, rows, strict=True)]
    read = windows_before(timedelta(hours=1))
    for place in range(live, live + 168, 11):
        before = every[place - read : place]
        found = compare_volume(every[:training], np.arange(training), before, every[place], "UTC")
        assert found is not None and not found.outage


def test_nothing_is_said_without_rows_or_with_few_windows() -> None:
    every = windows(np.full(DAYS, 100))
    live = WindowRows(START + timedelta(days=DAYS), 100)
    assert compare_volume(every[:7], np.arange(7), [], live, "UTC") is None
    assert compare_volume(every, EVERY, [], WindowRows(live.start, 0), "UTC") is None


def test_half_a_table_is_said_in_words_and_twice_as_many_rows_are_drift(
    seed: int, make_spec: Callable[..., ModelSpec], make_snapshot: Callable[[list[pa.Table]], pa.Table]
) -> None:
    random = np.random.default_rng(seed)

    def window(rows: int) -> pa.Table:
        return pa.table({"x": random.standard_normal(rows)})

    rows = numbers(random, DAYS)
    profile = build_reference(
        make_snapshot([window(int(n)) for n in rows]), make_spec(x="numeric"), None, {"x": 1.0}
    )

    def report(rows: int) -> DriftReport:
        return compare(profile, window(rows), None, DriftSpec(), start=START + timedelta(days=DAYS))

    half = report(480)
    assert half.verdict == "outage"
    assert half.sentence.startswith("Only 480 rows where ")
    assert half.sentence.endswith("% of them are missing")
    assert half.remedy == "load the rows that are missing and score again"
    assert DriftReport.from_dict(half.to_dict()) == half
    twice = report(2_000)
    assert twice.verdict == "drifted"
    assert "2,000 rows where " in twice.sentence
    assert twice.volume is not None and twice.volume.flagged
    usual = report(1_000)
    assert usual.volume is not None and not usual.volume.flagged
    assert compare(profile, window(480), None, DriftSpec()).volume is None  # nobody knows when it was
