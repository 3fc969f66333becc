"""Evidence over runs: an alarm stands beside the scores, acts as declared, and joins its like."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

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


def test_alarms_that_share_a_table_are_one_incident() -> None:
    alarms = [
        StandingAlarm("a", "1 January", alarm("x"), frozenset({"shop.orders"})),
        StandingAlarm("b", "1 January", alarm("y"), frozenset({"shop.orders", "shop.people"})),
        StandingAlarm("c", "1 January", alarm("y"), frozenset({"shop.people"})),
        StandingAlarm("d", "1 January", alarm("z", evidence=9_000.0), frozenset({"fleet.trips"})),
    ]
    first, second = incidents_of(alarms)
    assert [one.model for one in first.alarms] == ["d"]
    assert [one.model for one in second.alarms] == ["a", "b", "c"]
    assert second.shared == ("column y", "shop.orders", "shop.people")
    assert incidents_of(reversed(alarms))[1].shared == second.shared


def test_scores_and_numbers_of_rows_and_namesakes_join_no_models() -> None:
    named = ("score", "number of rows", "age")
    apart = [
        StandingAlarm("a", "1 January", alarm(*named), frozenset({"shop.t1"})),
        StandingAlarm("b", "1 January", alarm(*named), frozenset({"fleet.t2"})),
    ]
    assert [one.shared for one in incidents_of(apart)] == [(), ()]
    together = [apart[0], StandingAlarm("c", "1 January", alarm(*named), frozenset({"shop.t1"}))]
    assert [one.shared for one in incidents_of(together)] == [("column age", "shop.t1")]


def test_an_alarm_that_ended_before_another_began_is_another_incident() -> None:
    """A model that scores no more keeps its alarm; what happens months later has another cause."""
    table = frozenset({"shop.orders"})
    january, november = (
        alarm("x").model_copy(update={"since": f"2024-{month}-03T00:00:00+00:00"}) for month in ("01", "11")
    )
    old = StandingAlarm("a", "", january, table, ended=datetime(2024, 1, 20, tzinfo=UTC))
    new = StandingAlarm("b", "", november, table, ended=datetime(2024, 11, 9, tzinfo=UTC))
    assert len(incidents_of([old, new])) == 2
    going_on = StandingAlarm("a", "", january, table, ended=datetime(2024, 11, 9, tzinfo=UTC))
    assert len(incidents_of([going_on, new])) == 1


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
