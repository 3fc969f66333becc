"""How pages write what reports and errors say."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from rescore.report import Day, days_said
from rescore_airflow.page.rendering import with_moments


def test_moments_are_on_the_models_clock_with_utc_on_hover() -> None:
    said = with_moments("late since 2024-02-03 04:05:06+00 <b>", "Europe/Berlin")
    assert 'title="2024-02-03 04:05 UTC">3 Feb 2024 05:05</time> &lt;b&gt;' in said


@pytest.mark.parametrize(
    ("said", "timezone"),
    [
        ("out of range: 2024-02-30 10:00:00+00", "UTC"),
        ("9999-12-31 23:59 UTC", "Europe/Berlin"),
        ("0001-01-01 00:00 UTC", "America/New_York"),
    ],
)
def test_what_is_no_moment_on_that_clock_stays_as_it_was_said(said: str, timezone: str) -> None:
    assert with_moments(said, timezone) == said


def test_days_are_counted_in_the_number_that_they_have() -> None:
    first = date(2024, 3, 1)
    days = [Day(first + timedelta(days=n), "gap", None, runs=0, due=1, superseded=0) for n in range(5)]
    assert days_said(days) == "5 gaps"
    assert days_said(days[:1]) == "1 gap (1 Mar)"
