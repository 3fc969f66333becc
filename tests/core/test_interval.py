"""Intervals are half-open and in UTC; their bounds are Airflow's."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rescore.errors import IntervalError
from rescore.interval import Interval, Schedule, parse_moment

# Importing Airflow writes a configuration file into its home.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ.setdefault("AIRFLOW_HOME", _HOME.name)

law = settings(deadline=None, max_examples=80)

NEW_YORK = ZoneInfo("America/New_York")
moments = st.integers(631_152_000, 2_114_380_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
# Days around the changes of the clock, where everything that can go wrong does.
near_changes = st.builds(
    lambda day, seconds: day + timedelta(seconds=seconds),
    st.sampled_from(
        [
            datetime(2013, 3, 10, 7, tzinfo=UTC),
            datetime(2013, 11, 3, 6, tzinfo=UTC),
            datetime(2024, 3, 31, 1, tzinfo=UTC),
            datetime(2024, 10, 27, 1, tzinfo=UTC),
            datetime(2024, 4, 6, 15, tzinfo=UTC),
            datetime(2018, 11, 4, 3, tzinfo=UTC),
        ]
    ),
    st.integers(-2 * 86_400, 2 * 86_400),
)
zones = st.sampled_from(["UTC", "America/New_York", "Europe/Paris", "America/Sao_Paulo", "Asia/Kolkata"])
# Lord Howe changes its clock by half an hour. There Airflow's hourly steps are not reversible: which
# bounds follow depends on where one starts, so only each single step can be compared.
all_zones = zones | st.just("Australia/Lord_Howe")
crons = st.one_of(
    st.builds("{} {} * * *".format, st.integers(0, 59), st.integers(0, 23)),
    st.builds("{} {} * * {}".format, st.integers(0, 59), st.integers(0, 4), st.integers(0, 6)),
    st.builds("{} {} {} * *".format, st.integers(0, 59), st.integers(0, 23), st.integers(1, 28)),
    st.builds("{} * * * *".format, st.integers(0, 59)),
    st.builds("*/{} * * * *".format, st.sampled_from([5, 10, 15, 30])),
    st.builds("0 */{} * * *".format, st.sampled_from([2, 3, 4, 6, 12])),
)


@settings(law, max_examples=300)
@given(crons, all_zones, moments | near_changes)
def test_boundaries_are_those_of_airflow(cron: str, zone: str, moment: datetime) -> None:
    """Where Airflow contradicts itself (a next bound that is not later), ours is still in order."""
    import pendulum
    from airflow.timetables.interval import CronDataIntervalTimetable

    theirs = CronDataIntervalTimetable(cron, zone)
    ours = Schedule(cron, zone)
    following = theirs._get_next(pendulum.instance(moment))
    previous = theirs._get_prev(pendulum.instance(moment))
    assert ours.next_boundary(moment) > moment > ours.previous_boundary(moment)
    if following > moment:
        assert ours.next_boundary(moment) == following
    if previous < moment:
        assert ours.previous_boundary(moment) == previous


@law
@given(crons, zones, moments | near_changes)
def test_intervals_tile_the_time(cron: str, zone: str, moment: datetime) -> None:
    schedule = Schedule(cron, zone)
    until = moment
    for _ in range(3):
        until = schedule.next_boundary(until)
    found = list(schedule.intervals(moment, until))
    assert all(left.end == right.start for left, right in pairwise(found))
    assert found[-1].end == until
    assert found[0].start >= moment
    for interval in found:
        assert schedule.floor(interval.start) == interval.start
        schedule.check(interval, now=interval.end)


@law
@given(crons, zones, moments | near_changes, st.integers(1, 4))
def test_the_last_intervals_are_the_last_of_all(cron: str, zone: str, moment: datetime, count: int) -> None:
    schedule = Schedule(cron, zone)
    last = schedule.last_intervals(moment, count)
    assert len(last) == count
    assert last == list(schedule.intervals(last[0].start, moment))[-count:]
    assert last[-1].end <= moment < schedule.next_boundary(last[-1].end)


@law
@given(moments, st.timedeltas(timedelta(microseconds=1), timedelta(days=400)), st.integers(-14, 14))
def test_an_interval_is_a_value(start: datetime, length: timedelta, offset: int) -> None:
    interval = Interval(start, start + length)
    assert Interval.parse(str(interval)) == interval
    elsewhere = timezone(timedelta(hours=offset))
    assert Interval(start.astimezone(elsewhere), (start + length).astimezone(elsewhere)) == interval
    assert start in interval
    assert start + length not in interval
    assert start + length - timedelta(microseconds=1) in interval
    assert interval.duration == length


def test_days_of_23_and_25_hours() -> None:
    schedule = Schedule("0 4 * * *", "America/New_York")
    lengths = {
        str(interval): interval.duration // timedelta(hours=1)
        for interval in schedule.intervals(
            datetime(2013, 3, 9, 4, tzinfo=NEW_YORK), datetime(2013, 3, 12, 4, tzinfo=NEW_YORK)
        )
    }
    assert list(lengths.values()) == [23, 24, 24]
    assert next(iter(lengths)) == "2013-03-09T09:00:00Z/2013-03-10T08:00:00Z"
    autumn = schedule.interval_ending(datetime(2013, 11, 3, 4, tzinfo=NEW_YORK))
    assert str(autumn) == "2013-11-02T08:00:00Z/2013-11-03T09:00:00Z"


def test_the_schedule_of_the_flights() -> None:
    start, end = datetime(2013, 1, 1, tzinfo=NEW_YORK), datetime(2014, 1, 1, tzinfo=NEW_YORK)
    schedule = Schedule("0 4 * * *", "America/New_York", start, end)
    all_of_it = list(schedule.intervals(datetime(2012, 1, 1, tzinfo=UTC), datetime(2015, 1, 1, tzinfo=UTC)))
    assert len(all_of_it) == 365
    assert all_of_it[0] == schedule.first_interval()
    assert all_of_it[-1] == schedule.last_interval()
    assert str(all_of_it[0]) == "2012-12-31T09:00:00Z/2013-01-01T09:00:00Z"
    assert schedule.last_intervals(datetime(2013, 1, 3, 12, tzinfo=UTC), 90) == all_of_it[:3]


HOURLY = Schedule("0 * * * *", start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 2, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "now", "problem", "fix"),
    [
        (
            "2024-01-05T08:30:00Z/2024-01-05T09:30:00Z",
            "2025-01-01T00:00:00Z",
            "not one of",
            "both its bounds",
        ),
        ("2024-01-05T08:00:00Z/2024-01-05T10:00:00Z", "2025-01-01T00:00:00Z", "not one of", "several runs"),
        ("2023-12-31T22:00:00Z/2023-12-31T23:00:00Z", "2025-01-01T00:00:00Z", "outside", "schedule.start"),
        ("2024-01-31T23:00:00Z/2024-02-01T00:00:00Z", "2025-01-01T00:00:00Z", "outside", "schedule.end"),
        (
            "2024-01-05T08:00:00Z/2024-01-05T09:00:00Z",
            "2024-01-05T08:59:59Z",
            "not ended",
            "2024-01-05T09:00",
        ),
    ],
)
def test_other_intervals_are_refused(text: str, now: str, problem: str, fix: str) -> None:
    with pytest.raises(IntervalError, match=problem) as caught:
        HOURLY.check(Interval.parse(text), now=parse_moment(now))
    assert fix in (caught.value.fix or "")
    assert "0 * * * *" in (caught.value.where or "")


def test_a_run_is_due_at_the_very_start_and_at_the_end_of_its_interval() -> None:
    HOURLY.check(
        Interval.parse("2023-12-31T23:00:00Z/2024-01-01T00:00:00Z"), now=datetime(2024, 1, 1, tzinfo=UTC)
    )


@pytest.mark.parametrize("text", ["yesterday", "2024-01-01T00:00:00", "2024-13-01T00:00:00Z"])
def test_only_moments_with_a_zone(text: str) -> None:
    with pytest.raises(IntervalError, match="as_of"):
        parse_moment(text, name="as_of")


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01T00:00:00Z",
        "2024-01-01T00:00:00Z/2024-01-01T00:00:00Z",
        "2024-01-02T00:00:00Z/2024-01-01T00:00:00Z",
        "2024-01-01T00:00:00/2024-01-02T00:00:00Z",
    ],
)
def test_only_whole_intervals(text: str) -> None:
    with pytest.raises(IntervalError):
        Interval.parse(text)
