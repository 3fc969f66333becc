"""What a model declares about drift is kept, or refused when the package is trained."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from rescore.drift import build_reference, compare
from rescore.errors import DriftError
from rescore.spec import DriftSpec, ModelSpec

Spec = Callable[..., ModelSpec]
Snapshot = Callable[[list[pa.Table]], pa.Table]


def windows(count: int, rows: int = 60) -> list[pa.Table]:
    generator = np.random.default_rng(7)
    first = datetime(2024, 1, 1, 12, tzinfo=UTC)
    return [
        pa.table(
            {
                "event_time": pa.array([first + timedelta(days=day)] * rows, pa.timestamp("us", tz="UTC")),
                "x": generator.normal(size=rows),
            }
        )
        for day in range(count)
    ]


def test_alarms_a_year_become_a_rate_by_the_rhythm_of_the_windows(
    make_spec: Spec, make_snapshot: Snapshot
) -> None:
    declared = {"alarms_per_year": 18.262125}
    profile = build_reference(make_snapshot(windows(60)), make_spec(x="numeric", drift=declared), None, {})
    report = compare(profile, windows(1)[0], None, DriftSpec(**declared))
    assert report.rate == pytest.approx(0.05)  # one window a day
    with pytest.raises(DriftError, match=r"(?s)can't resolve a false-alarm rate of 0\.0027.*365 intervals"):
        build_reference(
            make_snapshot(windows(60)), make_spec(x="numeric", drift={"alarms_per_year": 1}), None, {}
        )
    with pytest.raises(DriftError, match=r"400 alarms a year can't come of 365\.2 windows"):
        compare(profile, windows(1)[0], None, DriftSpec(alarms_per_year=400))


def test_a_rate_that_one_stratum_cannot_resolve_is_refused_at_training(
    make_spec: Spec, make_snapshot: Snapshot
) -> None:
    # 90 days are enough for 2 % of all days; their 26 days of weekends are not.
    snapshot = make_snapshot(windows(90))
    build_reference(snapshot, make_spec(x="numeric", drift={"false_alarm_rate": 0.02}), None, {})
    declared = {"false_alarm_rate": 0.02, "strata": "weekday"}
    with pytest.raises(DriftError, match="reference windows can't resolve"):
        build_reference(snapshot, make_spec(x="numeric", drift=declared), None, {})


def test_stations_that_happen_to_agree_are_no_outage_but_a_stuck_sensor_is(
    make_spec: Spec, make_snapshot: Snapshot
) -> None:
    generator = np.random.default_rng(3)

    def day(alike: bool = False) -> pa.Table:
        readings = generator.normal(40, 10) + generator.normal(0, 2, 3)
        if alike:
            readings[:] = readings[0]
        elif generator.random() < 0.2:
            readings[1] = readings[0]
        return pa.table({"temp": np.repeat(readings, [310, 370, 300]), "speed": generator.gamma(2, 5, 980)})

    profile = build_reference(
        make_snapshot([day() for _ in range(60)]), make_spec(temp="numeric", speed="numeric"), None, {}
    )
    assert compare(profile, day(alike=True), None, DriftSpec()).verdict != "outage"
    stuck = day().set_column(1, "speed", pa.array(np.full(980, 7.0)))
    report = compare(profile, stuck, None, DriftSpec())
    assert report.outages == ("speed",)


def test_much_missing_is_named_even_where_it_was_seen_before(
    make_spec: Spec, make_snapshot: Snapshot
) -> None:
    generator = np.random.default_rng(3)

    def day(missing: float) -> pa.Table:
        return pa.table(
            {"pressure": pa.array(generator.normal(size=300), mask=np.arange(300) < 300 * missing)}
        )

    days = [day(0.7 if one % 10 == 0 else 0.02) for one in range(60)]
    profile = build_reference(make_snapshot(days), make_spec(pressure="numeric"), None, {})
    report = compare(profile, day(0.32), None, DriftSpec())
    assert "pressure is missing in 32 % of rows; in training typically 2 %, at most 70 %" in report.sentence
    assert "(as much in 6 of 60 windows)" in report.sentence
    assert "missing" not in compare(profile, day(0.02), None, DriftSpec()).sentence
