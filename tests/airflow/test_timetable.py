"""The intervals of the scheduler are those of the library, and none lie outside the schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.timetables.base import DagRunInfo, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rescore.interval import Interval, Schedule
from rescore_airflow.timetable import ModelTimetable

FLIGHTS = Schedule(
    "0 4 * * *",
    "America/New_York",
    datetime(2013, 1, 1, tzinfo=ZoneInfo("America/New_York")),
    datetime(2014, 1, 1, tzinfo=ZoneInfo("America/New_York")),
)


def runs(timetable: CronDataIntervalTimetable, first: datetime, last: datetime) -> list[Interval]:
    """What a backfill between two logical dates would run."""
    restriction = TimeRestriction(pendulum.instance(first), pendulum.instance(last), True)
    found: list[Interval] = []
    info: DagRunInfo | None = None
    while True:
        info = timetable.next_dagrun_info_v2(last_dagrun_info=info, restriction=restriction)
        if info is None:
            return found
        assert info.data_interval is not None
        found.append(Interval.parse("/".join(moment.isoformat() for moment in info.data_interval)))


@pytest.mark.slow
def test_a_backfill_of_everything_is_exactly_the_schedule() -> None:
    all_of_it = runs(
        ModelTimetable.of(FLIGHTS), datetime(2012, 1, 1, tzinfo=UTC), datetime(2015, 1, 1, tzinfo=UTC)
    )
    expected = list(FLIGHTS.intervals(datetime(2012, 1, 1, tzinfo=UTC), datetime(2015, 1, 1, tzinfo=UTC)))
    assert all_of_it == expected
    assert len(all_of_it) == 365
    hours = {interval.duration // timedelta(hours=1) for interval in all_of_it}
    assert hours == {23, 24, 25}


def test_a_schedule_of_the_past_gives_no_run_today() -> None:
    restriction = TimeRestriction(pendulum.datetime(2012, 12, 31), None, False)
    assert (
        ModelTimetable.of(FLIGHTS).next_dagrun_info_v2(last_dagrun_info=None, restriction=restriction) is None
    )


def test_a_live_schedule_goes_on() -> None:
    live = ModelTimetable.of(Schedule("0 4 * * *", "UTC", datetime(2024, 1, 1, tzinfo=UTC)))
    restriction = TimeRestriction(pendulum.datetime(2023, 12, 31, 4), None, False)
    info = live.next_dagrun_info_v2(last_dagrun_info=None, restriction=restriction)
    assert info is not None and info.data_interval is not None
    assert timedelta(0) <= datetime.now(UTC) - info.data_interval.end < timedelta(days=1)


def test_a_logical_date_means_the_same_interval_by_hand_and_by_schedule() -> None:
    timetable = ModelTimetable.of(FLIGHTS)
    start = pendulum.datetime(2013, 3, 31, 8)
    assert timetable.infer_manual_data_interval(run_after=start).start == start
    between = timetable.infer_manual_data_interval(run_after=start.add(hours=5))
    assert between.end == start, "between two boundaries it is the last complete interval"


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    cron=st.sampled_from(["0 4 * * *", "30 2 * * *", "0 * * * *", "15 */6 * * 1-5", "0 0 1 * *"]),
    zone=st.sampled_from(["UTC", "America/New_York", "Europe/Zurich", "Australia/Lord_Howe"]),
    start=st.integers(0, 400 * 24 * 60),
)
def test_the_scheduler_cuts_time_as_the_library_does(cron: str, zone: str, start: int) -> None:
    # Hours where clocks change by half of one: Airflow's own boundaries contradict each other.
    assume(not (cron == "0 * * * *" and zone == "Australia/Lord_Howe"))
    first = datetime(2012, 12, 1, tzinfo=UTC) + timedelta(minutes=start)
    last = first + timedelta(days=12)
    schedule = Schedule(cron, zone)
    ours = [i for i in schedule.intervals(first, last + timedelta(days=40)) if i.start <= last]
    assert runs(ModelTimetable.of(schedule), first, last) == ours
    assert runs(CronDataIntervalTimetable(cron, zone), first, last) == ours


def test_the_timetable_survives_storage() -> None:
    timetable = ModelTimetable.of(FLIGHTS)
    again = ModelTimetable.deserialize(timetable.serialize())
    assert again.serialize() == timetable.serialize()
    assert again == timetable
