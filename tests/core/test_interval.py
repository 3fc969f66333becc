"""Intervals are half-open and in UTC; their bounds are Airflow's."""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_left
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

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
zones = st.sampled_from(sorted(available_timezones()))


def field(low: int, high: int, steps: list[int]) -> st.SearchStrategy[str]:
    """One field of a cron expression: any, one, a list, a range, a step, a range with a step."""
    one = st.integers(low, high)
    ranges = st.tuples(one, one).map(sorted).filter(lambda ends: ends[0] < ends[1])
    return st.one_of(
        st.just("*"),
        one.map(str),
        st.lists(one, min_size=2, max_size=4, unique=True).map(lambda many: ",".join(map(str, sorted(many)))),
        ranges.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.sampled_from(steps).map("*/{}".format),
        st.builds(lambda ends, step: f"{ends[0]}-{ends[1]}/{step}", ranges, st.sampled_from(steps)),
    )


# Not every minute: a day of them is 1,440 steps of Airflow's.
minutes = st.one_of(
    st.integers(0, 59).map(str), st.sampled_from(["*/15", "*/7", "0,30", "10,35", "5-50/15", "20-22"])
)
crons = st.builds(
    "{} {} {} {} {}".format,
    minutes,
    field(0, 23, [2, 3, 5, 6, 12]),
    st.just("*") | field(1, 28, [2, 7]),
    st.just("*") | field(1, 12, [2, 5]),
    st.just("*") | field(0, 6, [2, 3]),
)


@cache
def changes_of_the_clock(zone: str) -> list[datetime]:
    """The moments since 1970 at which a zone's offset from UTC changed."""

    def offset(seconds: int) -> timedelta | None:
        return datetime.fromtimestamp(seconds, ZoneInfo(zone)).utcoffset()

    found, week = [], 7 * 86_400
    for left in range(86_400, 2_114_380_800, week):
        if offset(left) != offset(left + week):
            first = bisect_left(
                range(left, left + week), True, key=lambda seconds: offset(seconds) != offset(left)
            )
            found.append(datetime.fromtimestamp(left + first, UTC))
    return found


def airflows_boundaries(cron: str, zone: str, first: datetime, until: datetime) -> list[datetime]:
    """The ends of the data intervals that Airflow's timetable gives from one boundary on.

    Its scheduler looks back before each step. Where that contradicts the step (half-hour changes under
    hourly crons: its intervals overlap, or stand still), only the steps count.
    """
    import pendulum
    from airflow.timetables.base import DataInterval, TimeRestriction
    from airflow.timetables.interval import CronDataIntervalTimetable

    timetable = CronDataIntervalTimetable(cron, zone)
    anytime = TimeRestriction(earliest=None, latest=None, catchup=True)
    found = [pendulum.instance(first)]
    while found[-1] < until:
        found.append(timetable._get_next(found[-1]))
        if timetable._align_to_prev(found[-2]) == found[-2]:
            last = DataInterval(found[-2].subtract(minutes=1), found[-2])
            info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=anytime)
            assert info is not None
            assert info.data_interval == DataInterval(found[-2], found[-1])
    return [datetime.fromisoformat(moment.isoformat()).astimezone(UTC) for moment in found]


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(crons, zones, st.data())
def test_intervals_around_every_change_of_the_clock_are_those_of_airflow(
    cron: str, zone: str, data: st.DataObject
) -> None:
    change = data.draw(st.sampled_from(changes_of_the_clock(zone) or [datetime(2024, 3, 31, 1, tzinfo=UTC)]))
    ours = Schedule(cron, zone)
    expected = airflows_boundaries(
        cron, zone, ours.floor(change - timedelta(hours=8)), change + timedelta(hours=8)
    )
    pairs = list(pairwise(expected))
    assert [(one.start, one.end) for one in ours.intervals(expected[0], expected[-1])] == pairs
    assert [(one.start, one.end) for one in ours.last_intervals(expected[-1], len(pairs))] == pairs
    for start, end in data.draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=8)):
        assert ours.next_boundary(start) == end
        assert ours.previous_boundary(end) == start
        assert ours.floor(start) == ours.floor(end - timedelta(microseconds=1)) == start
        ours.check(Interval(start, end), now=end)


@pytest.mark.parametrize(
    ("cron", "zone", "change", "hours"),
    [
        ("0 0-6 * * *", "Europe/Berlin", "2024-03-31T00:00:00Z", [0, 1, 2, 3]),
        ("0 0-6 * * *", "America/New_York", "2024-03-10T06:00:00Z", [0, 1, 2, 3]),
        ("30 1-3 * * *", "Europe/Berlin", "2024-03-31T00:30:00Z", [0, 1, 23]),
        ("0 0-6 * * *", "Europe/Berlin", "2024-10-26T23:00:00Z", [0, 2, 3, 4]),
        # Hours of Mondays alone: Airflow steps in elapsed time, so Monday begins at one o'clock.
        ("0 * * * 1", "Europe/Berlin", "2024-03-25T22:00:00Z", [0, 145, 146]),
    ],
)
def test_the_night_of_a_change(cron: str, zone: str, change: str, hours: list[int]) -> None:
    first = parse_moment(change)
    expected = [first + timedelta(hours=hour) for hour in hours]
    assert airflows_boundaries(cron, zone, first, expected[-1]) == expected
    schedule = Schedule(cron, zone)
    for start, end in pairwise(expected):
        schedule.check(Interval(start, end), now=end)
        assert schedule.interval_ending(end).start == start
    assert [interval.start for interval in schedule.last_intervals(expected[-1], len(hours) - 1)] == expected[
        :-1
    ]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("text", ["0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"])
def test_the_first_and_the_last_year(zone: str, text: str) -> None:
    schedule = Schedule("0 3 * * *", zone)
    moment = datetime.fromisoformat(text)
    for aware in (moment.replace(tzinfo=UTC), moment.replace(tzinfo=ZoneInfo(zone))):
        for ask in (schedule.previous_boundary, schedule.next_boundary):
            try:
                assert ask(aware) != aware
            except IntervalError as error:
                assert "years 1 to 9999" in (error.expected or "")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:00:00-05:00"])
def test_a_moment_before_the_first_year_of_utc(text: str) -> None:
    with pytest.raises(IntervalError, match="outside the years 1 to 9999"):
        parse_moment(text)


def test_a_cron_expression_that_never_comes_round() -> None:
    with pytest.raises(IntervalError, match="no boundary near"):
        Schedule("0 0 30 2 *").floor(datetime(2024, 1, 1, tzinfo=UTC))


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
