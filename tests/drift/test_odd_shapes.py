"""Data of other shapes: wide, of many levels, long ago, few rows, all NULL; and training itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from rescore.drift import build_reference, compare
from rescore.spec import DriftSpec, ModelSpec

Spec = Callable[..., ModelSpec]
Snapshot = Callable[[list[pa.Table]], pa.Table]


@pytest.mark.slow
def test_fifteen_hundred_columns_of_fifty_rows(make_spec: Spec, make_snapshot: Snapshot, seed: int) -> None:
    kinds = {f"x{i}": "boolean" if i % 10 == 0 else "numeric" for i in range(1_500)}
    generator = np.random.default_rng(seed)

    def wide() -> pa.Table:
        values = generator.normal(size=(1_500, 50))
        columns = [values[i] > 0 if kind == "boolean" else values[i] for i, kind in enumerate(kinds.values())]
        return pa.table(dict(zip(kinds, columns, strict=True)))

    profile = build_reference(make_snapshot([wide() for _ in range(20)]), make_spec(**kinds), None, {})
    report = compare(profile, wide(), None, DriftSpec())
    assert len(report.features) == 1_500
    assert not report.outages
    assert len(report.histograms) == 60
    live = wide()
    moved = live.set_column(7, "x7", pa.array(live["x7"].to_numpy() + 3.0))
    found = compare(profile, moved, None, DriftSpec())
    assert [one.name for one in found.features if one.flagged] == ["x7"]


@pytest.mark.parametrize("kind", ["categorical", "text"])
def test_fifty_thousand_levels(make_spec: Spec, make_snapshot: Snapshot, seed: int, kind: str) -> None:
    generator = np.random.default_rng(seed)

    def day(first: int = 0) -> pa.Table:
        levels = (
            np.floor(50_000 ** generator.random(2_000)).astype(int) + first
        )  # few are most, most are rare
        return pa.table({"c": [f"level {n:09}" for n in levels]})

    profile = build_reference(make_snapshot([day() for _ in range(40)]), make_spec(c=kind), None, {})
    assert len(profile) < 200_000
    assert compare(profile, day(), None, DriftSpec()).verdict == "ok"
    # Other names of the same length: all is unknown where names are levels, and as ever where they are text.
    other = compare(profile, day(10**8), None, DriftSpec())
    assert other.verdict == ("ok" if kind == "text" else "outage")


def test_dates_long_before_1970(make_spec: Spec, make_snapshot: Snapshot, seed: int) -> None:
    generator = np.random.default_rng(seed)
    event = datetime(1871, 3, 1, tzinfo=UTC)

    def day(older: int = 0) -> pa.Table:
        ages = generator.integers(100, 30_000, 300) + older
        return pa.table(
            {
                "event_time": pa.array([event] * 300, pa.timestamp("us", tz="UTC")),
                "born": pa.array([(event - timedelta(days=int(age))).date() for age in ages], pa.date32()),
            }
        )

    profile = build_reference(make_snapshot([day() for _ in range(40)]), make_spec(born="datetime"), None, {})
    assert compare(profile, day(), None, DriftSpec()).verdict == "ok"
    report = compare(profile, day(older=9_000), None, DriftSpec())
    assert report.verdict == "drifted"
    assert report.features[0].distance == pytest.approx(9_000, rel=0.15)
    assert report.features[0].unit == "days"


@pytest.mark.slow
def test_fifty_rows_a_window(make_spec: Spec, make_snapshot: Snapshot, seed: int) -> None:
    generator = np.random.default_rng(seed)
    kinds = {"x": "numeric", "w": "numeric", "c": "categorical", "b": "boolean"}

    def day() -> pa.Table:
        return pa.table(
            {
                "x": generator.normal(size=50),
                "w": generator.exponential(size=50),
                "c": generator.choice(["a", "b", "c"], 50),
                "b": generator.random(50) < 0.2,
            }
        )

    profile = build_reference(make_snapshot([day() for _ in range(60)]), make_spec(**kinds), None, {})
    reports = [compare(profile, day(), None, DriftSpec()) for _ in range(60)]
    assert sum(report.verdict != "ok" for report in reports) <= 12
    assert not any(report.outages for report in reports)
    live = day()
    far = live.set_column(0, "x", pa.array(live["x"].to_numpy() + 1.5))
    assert compare(profile, far, None, DriftSpec()).verdict == "drifted"


@pytest.mark.slow
def test_training_itself_never_alarms_and_a_resample_of_it_seldom(
    make_spec: Spec, make_snapshot: Snapshot, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    days = [
        pa.table({"x": generator.normal(size=200), "c": generator.choice(["a", "b"], 200)}) for _ in range(40)
    ]
    snapshot = make_snapshot(days)
    profile = build_reference(snapshot, make_spec(x="numeric", c="categorical"), None, {})
    again = [compare(profile, day, None, DriftSpec()) for day in days]
    assert {(report.verdict, report.p_value) for report in again} == {("ok", 1.0)}
    assert "distributed as in training's window of 2024-01-01" in again[0].notes[-1]
    assert compare(profile, snapshot, None, DriftSpec()).verdict == "ok"
    same = pa.table({"x": np.tile(np.arange(50.0), 4), "c": ["a", "b"] * 100})
    alike = build_reference(make_snapshot([same] * 40), make_spec(x="numeric", c="categorical"), None, {})
    report = compare(alike, same, None, DriftSpec())
    assert (report.verdict, report.p_value) == ("ok", 1.0)
    resampled = [
        compare(profile, snapshot.take(generator.integers(0, snapshot.num_rows, 200)), None, DriftSpec())
        for _ in range(60)
    ]
    assert sum(one.verdict != "ok" for one in resampled) <= 12


def test_booleans_that_are_all_null(make_spec: Spec, make_snapshot: Snapshot, seed: int) -> None:
    generator = np.random.default_rng(seed)

    def day(known: bool) -> pa.Table:
        flags = pa.array(generator.random(100) < 0.4) if known else pa.nulls(100, pa.bool_())
        return pa.table({"b": flags, "never": pa.nulls(100, pa.bool_())})

    spec = make_spec(b="boolean", never="boolean")
    profile = build_reference(make_snapshot([day(True) for _ in range(30)]), spec, None, {})
    # Always NULL is nothing new; NULL where there were values is an outage.
    assert compare(profile, day(True), None, DriftSpec()).verdict == "ok"
    report = compare(profile, day(False), None, DriftSpec())
    assert (report.verdict, report.outages) == ("outage", ("b",))
    assert report.sentence == "b is missing in 100 % of rows; in training never"


def test_a_day_of_training_without_history_does_not_hide_a_season(
    make_spec: Spec, make_snapshot: Snapshot, seed: int
) -> None:
    """A table's first day has no history: it is unlike all others, and no measure of how days differ."""
    generator = np.random.default_rng(seed)

    def day(history: bool = True, warmer: float = 0.0) -> pa.Table:
        past = pa.array(generator.normal(size=200)) if history else pa.nulls(200, pa.float64())
        return pa.table({"past": past, "temp": generator.normal(size=200) + warmer})

    spec = make_spec(past="numeric", temp="numeric")
    days = [day(history=False), *(day() for _ in range(20))]
    profile = build_reference(make_snapshot(days), spec, None, {"temp": 1.0})
    report = compare(profile, day(warmer=1.0), None, DriftSpec(false_alarm_rate=0.05))
    assert report.p_value == pytest.approx(1 / 21)
    assert report.reference_windows == 20
    assert [one.name for one in report.features if one.flagged] == ["temp"]
    assert any(
        "2024-01-01" in note and "past is missing there as in no other" in note for note in report.notes
    )
    # The day that was set aside excuses none like it.
    gone = compare(profile, day(history=False), None, DriftSpec(false_alarm_rate=0.05))
    assert (gone.verdict, gone.outages) == ("outage", ("past",))
    # Two such days are how days are here: both are compared with.
    usual = build_reference(make_snapshot([day(history=False), *days]), spec, None, {"temp": 1.0})
    assert compare(usual, day(), None, DriftSpec(false_alarm_rate=0.05)).reference_windows == 22
