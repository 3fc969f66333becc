"""What --day, --start, --end and --key name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rescore.cli.selection import intervals_named, keys_named
from rescore.errors import ParameterError
from rescore.interval import Interval
from rescore.spec import ModelSpec

law = settings(deadline=None, max_examples=150)


def declared(
    cron: str = "0 0 * * *", timezone: str = "UTC", *, key: Sequence[str] = ("order_id",)
) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": "orders",
            "version": "1.0",
            "owner": "shop",
            "source": {"connection": "shop", "key": list(key), "known_by": {"column": "seen_at"}},
            "features": [{"name": "amount", "kind": "numeric"}],
            "target": {"name": "returned", "kind": "binary"},
            "output": {"unit": "probability", "meaning": "chance of a return"},
            "schedule": {"cron": cron, "timezone": timezone, "start": "2020-01-01"},
            "training": {"intervals": 5, "seed": 1},
        }
    )


def due(day: str, cron: str, timezone: str = "UTC") -> list[str]:
    return [str(interval) for interval in intervals_named(declared(cron, timezone), None, None, day)]


@pytest.mark.parametrize(
    ("cron", "day", "start", "end"),
    [
        ("0 0 1 * *", "2024-06-01", "2024-05-01", "2024-06-01"),
        ("0 0 * * 1", "2024-06-03", "2024-05-27", "2024-06-03"),
        ("0 0 1 1 *", "2024-01-01", "2023-01-01", "2024-01-01"),
        ("0 0 * * *", "2024-06-01", "2024-05-31", "2024-06-01"),
    ],
)
def test_a_day_names_the_run_that_is_due_on_it(cron: str, day: str, start: str, end: str) -> None:
    assert due(day, cron) == [f"{start}T00:00:00Z/{end}T00:00:00Z"]


@pytest.mark.parametrize(("cron", "day"), [("0 0 1 * *", "2024-05-31"), ("0 0 * * 1", "2024-06-02")])
def test_a_day_on_which_no_run_is_due_is_refused(cron: str, day: str) -> None:
    with pytest.raises(ParameterError, match=f"no run of orders is due within --day {day}") as caught:
        due(day, cron)
    assert cron in str(caught.value)


@pytest.mark.parametrize("day", ["1 June", "2024-6-1", "2024-02-30"])
def test_what_is_no_day_is_refused(day: str) -> None:
    with pytest.raises(ParameterError, match="is not a day"):
        due(day, "0 0 * * *")


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_days_at_the_ends_of_the_calendar_are_refused(day: str) -> None:
    with pytest.raises(ParameterError, match="no run of orders is due"):
        due(day, "0 0 * * *")


def test_an_hourly_model_has_the_days_23_24_or_25_runs() -> None:
    paris = "Europe/Paris"
    assert len(due("2024-06-01", "0 * * * *", paris)) == 24
    assert len(due("2024-03-31", "0 * * * *", paris)) == 23
    assert len(due("2024-10-27", "0 * * * *", paris)) == 25
    first, *_, last = due("2024-06-01", "0 * * * *", "UTC")
    assert first == "2024-05-31T23:00:00Z/2024-06-01T00:00:00Z", "the run that is due at midnight"
    assert last == "2024-06-01T22:00:00Z/2024-06-01T23:00:00Z"


crons = st.one_of(
    st.builds("{} {} * * *".format, st.integers(0, 59), st.integers(0, 23)),
    st.builds("0 0 {} * *".format, st.integers(1, 28)),
    st.builds("0 {} * * {}".format, st.integers(0, 23), st.integers(0, 6)),
    st.builds("30 * * * *".format),
    st.builds("0 */{} * * *".format, st.sampled_from([2, 3, 6, 8])),
)
zones = st.sampled_from(
    ["UTC", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Auckland"]
)
#: Weeks around changes of the clock, some of them at midnight.
days = st.sampled_from([date(2024, 3, 8), date(2024, 3, 29), date(2024, 10, 25), date(2024, 11, 1)])


@pytest.mark.slow
@law
@given(crons, zones, days)
def test_days_share_out_the_intervals_by_their_ends(cron: str, zone: str, first: date) -> None:
    """Every interval is named by exactly one day: the one on which it ends in the schedule's zone."""
    schedule = declared(cron, zone).schedule.schedule()
    week = [first + timedelta(days=number) for number in range(7)]
    by_day = {day: schedule.due_on(day) for day in week}
    for day, intervals in by_day.items():
        assert all(interval.end.astimezone(ZoneInfo(zone)).date() == day for interval in intervals)
    start = datetime.combine(first, datetime.min.time(), UTC) - timedelta(days=40)
    every = list(schedule.intervals(start, start + timedelta(days=60)))
    expected = [one for one in every if one.end.astimezone(ZoneInfo(zone)).date() in set(week)]
    assert [interval for day in week for interval in by_day[day]] == expected


def test_bounds_name_the_intervals_between_them() -> None:
    named = intervals_named(declared(), "2024-06-01T00:00:00Z", "2024-06-03T00:00:00Z", None)
    assert named[0] == Interval.parse("2024-06-01T00:00:00Z/2024-06-02T00:00:00Z")
    assert len(named) == 2
    with pytest.raises(ParameterError, match="no interval is named"):
        intervals_named(declared(), "2024-06-01T00:00:00Z", None, None)


SMITH = {"customer": "Smith, John", "order_id": "7"}


@pytest.mark.parametrize(
    ("texts", "keys"),
    [
        (["customer=Smith, John,order_id=7"], [SMITH]),
        (["customer=Smith, John", "order_id=7"], [SMITH]),
        (['{"customer": "Smith, John", "order_id": 7}'], [SMITH]),
        (["customer=x, y=z"], [{"customer": "x, y=z"}]),
        (["customer=100 %,order_id=7"], [{"customer": "100 %", "order_id": "7"}]),
        (["customer=a=b"], [{"customer": "a=b"}]),
        (["customer='quoted'"], [{"customer": "'quoted'"}]),
        (['{"customer": "x,order_id=9"}'], [{"customer": "x,order_id=9"}]),
        (
            ["customer=a,order_id=1", "customer=b,order_id=2"],
            [{"customer": "a", "order_id": "1"}, {"customer": "b", "order_id": "2"}],
        ),
        (
            ["order_id=7,event_time=2024-06-01T00:00:00Z"],
            [{"order_id": "7", "event_time": "2024-06-01T00:00:00Z"}],
        ),
    ],
)
def test_a_key_names_any_value(texts: list[str], keys: list[dict[str, str]]) -> None:
    assert keys_named(declared(key=["customer", "order_id"]), texts) == keys


@pytest.mark.parametrize("text", ["7", "order=7", "x,order_id=7", "{}", '{"order": 7}', "[1]", "{", ""])
def test_what_names_no_key_is_refused_with_the_columns_there_are(text: str) -> None:
    with pytest.raises(ParameterError, match="names no key") as caught:
        keys_named(declared(), [text])
    assert "order_id, event_time" in str(caught.value)


@law
@given(st.text(max_size=20))
def test_every_value_can_be_named(value: str) -> None:
    import json

    spec = declared(key=["customer", "order_id"])
    text = json.dumps({"customer": value, "order_id": "7"})
    assert keys_named(spec, [text]) == [{"customer": value, "order_id": "7"}]
