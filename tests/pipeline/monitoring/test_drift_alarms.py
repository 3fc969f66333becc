"""Evidence over runs: an alarm stands beside the scores, acts as declared, and joins its like."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from rescore import pipeline
from rescore.drift import DriftReport
from rescore.errors import OutageError
from rescore.evidence import Alarm
from rescore.pipeline.monitoring.standing_alarms import StandingAlarm, incidents_of


def alarm(*features: str, evidence: float = 900.0) -> Alarm:
    return Alarm(
        raised=True, new=False, evidence=evidence, limit=365.0, since="2024-01-01", windows=9, fastest=4,
        features=features,
    )  # fmt: skip


def test_alarms_that_share_a_table_or_a_column_are_one_incident() -> None:
    alarms = [
        StandingAlarm("a", "1 January", alarm("x"), frozenset({"shop.orders"})),
        StandingAlarm("b", "1 January", alarm("y"), frozenset({"shop.orders", "shop.people"})),
        StandingAlarm("c", "1 January", alarm("y"), frozenset({"fleet.cars"})),
        StandingAlarm("d", "1 January", alarm("z", evidence=9_000.0), frozenset({"fleet.trips"})),
    ]
    first, second = incidents_of(alarms)
    assert [one.model for one in first.alarms] == ["d"]
    assert [one.model for one in second.alarms] == ["a", "b", "c"]
    assert second.shared == ("column y", "shop.orders")
    assert incidents_of(reversed(alarms))[1].shared == second.shared


@pytest.mark.slow
def test_days_that_are_off_raise_an_alarm_that_is_said_and_stands(harbour) -> None:
    """From the fifth day on the wind comes from the north, mostly; on the ninth nobody writes it down."""
    harbour.execute(
        "UPDATE harbour.readings SET wind = 'north' WHERE measured_at >= '2024-02-05' AND mod(reading, 4) > 0"
    )
    ctx = replace(harbour.ctx, settings=replace(harbour.ctx.settings, false_alarms_per_year=48))
    reports = []
    harbour.execute("UPDATE harbour.readings SET wind = NULL WHERE measured_at >= '2024-02-09'")
    for day in range(31, 40):
        run = pipeline.begin_extract(ctx, "tides", harbour.day(day))
        for stage in (pipeline.validate_run, pipeline.score_run):
            run = stage(ctx, run)
        with suppress(OutageError):
            pipeline.drift_run(ctx, run)
        reports.append(DriftReport.from_dict(ctx.store.reports.drift_of(run)))
    assert [one.alarm.windows for one in reports] == [*range(1, 9), 8]
    assert not any(one.alarm.raised for one in reports[:4])
    *_, before, last = reports
    assert before.alarm.raised
    assert last.verdict == "outage"
    assert last.alarm == before.alarm.model_copy(update={"new": False})
    assert "wind" in last.alarm.features
    assert "Alarm since 2024-02-0" in last.sentence
    [incident] = pipeline.standing_alarms(ctx)
    assert [one.model for one in incident.alarms] == ["tides"]
    assert "harbour.harbour.readings" in incident.alarms[0].tables
