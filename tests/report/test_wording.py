"""Numbers, lengths and bounds as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rescore.interval import Interval
from rescore.report import age, duration, percent, plain, span, with_interval
from rescore.report.wording import evenly


@pytest.mark.parametrize(
    ("length", "written"),
    [
        (timedelta(days=3), "3 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(hours=36), "36 hours"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(seconds=90), "90 seconds"),
        (timedelta(seconds=1.5), "1.5 seconds"),
        (timedelta(0), "0 seconds"),
    ],
)
def test_a_length_of_time_has_one_unit(length: timedelta, written: str) -> None:
    assert duration(length) == written


def test_an_age_is_rounded_down() -> None:
    assert [age(timedelta(seconds=seconds)) for seconds in (59, 60, 7_199, 200_000)] == [
        "just now",
        "1 minute ago",
        "1 hour ago",
        "2 days ago",
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "-"),
        (True, "true"),
        (1234567, "1,234,567"),
        (0.5, "0.5000"),
        (datetime(2024, 6, 1, tzinfo=UTC), "2024-06-01T00:00:00Z"),
        (timedelta(days=4067, seconds=435, microseconds=499_533), "4,067 days"),
        (timedelta(days=1, hours=1, minutes=59), "1 day, 1 hour"),
        (timedelta(minutes=61, seconds=3), "1 hour, 1 minute"),
        (timedelta(0), "0 seconds"),
        (-timedelta(hours=2), "-2 hours"),
        ("100 %", "100 %"),
        (
            {"customer": 4711, "at": datetime(2024, 6, 1, tzinfo=UTC), "share": 0.123456789, "note": None},
            "customer=4711, at=2024-06-01T00:00:00Z, share=0.123456789, note=-",
        ),
        (
            [{"run_id": "a", "score": 0.25}, {"run_id": "b", "score": 1.5}],
            "run_id=a, score=0.25; run_id=b, score=1.5",
        ),
        ([], "-"),
    ],
)
def test_any_value_is_written_plainly(value: Any, written: str) -> None:
    assert plain(value) == written


def test_shares_intervals_and_bounds() -> None:
    assert (percent(0.1234), percent(0.1234, 1), percent(None)) == ("12 %", "12.3 %", "")
    assert with_interval(0.7, 0.65, 0.75) == "0.700 (0.650 – 0.750)"
    assert with_interval(1234.5, None, None) == "1,234"
    assert with_interval(None, None, None) == ""
    interval = Interval.parse("2024-06-01T00:00:00Z/2024-06-02T00:00:00Z")
    assert span(interval, "America/New_York") == "2024-05-31 20:00 to 2024-06-01 20:00"


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (-0.0004, 0.0004, ("-0.00040", "0.00000", "0.00040")),
        (0.0, 1.0, ("0.00", "0.50", "1.00")),
        (187_000.0, 843_500.0, ("187,000", "515,250", "843,500")),
        (0.5, 0.5, ("0.500", "0.500", "0.500")),
    ],
)
def test_an_axis_has_decimals_enough_to_tell_its_labels_apart(
    low: float, high: float, labels: tuple[str, ...]
) -> None:
    assert evenly(low, high, 3) == labels
