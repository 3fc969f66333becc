"""Estimates that come true too seldom are said not to be trusted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rescore.report import PerformancePoint, agreement

FIRST = datetime(2026, 9, 1, tzinfo=UTC)


def days(held: int, missed: int, outside: int = 0) -> list[PerformancePoint]:
    """Measured days: the band held, missed, and missed where the estimate was called outside."""
    kinds = [(True, False)] * held + [(False, False)] * missed + [(False, True)] * outside
    return [
        PerformancePoint(
            FIRST + timedelta(days=number),
            FIRST + timedelta(days=number + 1),
            rows=40,
            labelled=40,
            coverage=1.0,
            value=30.0,
            low=25.0,
            high=35.0,
            estimated=18.0,
            estimated_low=14.0,
            estimated_high=22.0,
            within=within,
            outside=off,
        )
        for number, (within, off) in enumerate(kinds)
    ]


@pytest.mark.parametrize(
    ("points", "told"),
    [
        pytest.param(days(16, 28), True, id="a season that training had not seen"),
        pytest.param(days(0, 3), True, id="three of three"),
        pytest.param(days(58, 4), False, id="what chance gives"),
        pytest.param(days(0, 2), False, id="two of two"),
        pytest.param(days(30, 1, outside=40), False, id="what was called outside does not count"),
    ],
)
def test_estimates_that_come_true_too_seldom_are_not_to_be_trusted(
    points: list[PerformancePoint], told: bool
) -> None:
    found = agreement(points)
    assert found is not None and found["measured"] == sum(not point.outside for point in points)
    assert ("Don't trust the estimate" in (found["warning"] or "")) is told
