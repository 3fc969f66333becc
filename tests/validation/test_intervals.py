"""Intervals that are judged together are judged as each is alone; training stops where scoring would."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pyarrow as pa
import pytest

from rescore.errors import ValidationError
from rescore.interval import Interval
from rescore.validation import (
    Validation,
    gate_each,
    validate,
    validate_each,
)
from tests.validation.conftest import WIND, MakeModel, replaced, weather

SUITE_OF_EVERY_KIND = f"""
    {WIND.format("warning")},
    gxe.ExpectColumnValuesToBeBetween(column="wind_speed", max_value=14, mostly=0.5, severity="warning"),
    gxe.ExpectColumnValuesToBeUnique(column="observer", severity="warning"),
    gxe.ExpectColumnValuesToMatchRegex(column="gusts", regex="^[0-4]$", severity="critical"),
    gxe.ExpectColumnValuesToBeIncreasing(column="reading", severity="critical"),
    gxe.ExpectColumnValuesToNotBeNull(column="gusts", severity="info"),
    gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="pressure", column_B="wind_speed", severity="warning"),
    gxe.ExpectColumnMeanToBeBetween(column="wind_speed", max_value=14, severity="info"),
    gxe.ExpectTableRowCountToBeBetween(min_value=2, severity="critical"),
    gxe.ExpectTableColumnsToMatchSet(column_set=["station"], exact_match=False, severity="critical"),
    gxe.ExpectColumnValuesToBeBetween(column="sky", min_value=0, severity="warning"),
"""  # noqa: E501


def test_intervals_judged_together_are_judged_as_each_is_alone(make_model: MakeModel) -> None:
    folder = make_model(SUITE_OF_EVERY_KIND)
    tables = [
        weather(20),
        replaced(replaced(weather(30), "wind_speed", {4: -1.0, 5: None}), "gusts", {0: None}),
        weather(0),
        replaced(replaced(weather(10), "observer", {1: "person 7"}), "pressure", {2: None, 3: 0.0}),
        replaced(weather(10), "gusts", dict.fromkeys(range(10))),
        replaced(weather(10), "wind_speed", dict.fromkeys(range(6), 15.0)),
        weather(1, gusts=[7]),
    ]
    alone = [validate(table, folder) for table in tables]
    assert validate_each(tables, folder) == alone
    assert [sorted(one.quarantined) for one in alone] == [
        [],
        [4, 5],
        [],
        [1, 3, 7],
        [],
        [0, 1, 2, 3, 4, 5, 6],
        [],
    ]


def test_a_training_is_stopped_at_the_intervals_that_scoring_would_stop_at(make_model: MakeModel) -> None:
    folder = make_model(
        'gxe.ExpectColumnValuesToBeUnique(column="observer", severity="critical"),'
        'gxe.ExpectTableRowCountToBeBetween(min_value=50, max_value=60, severity="critical"),'
        f"{WIND.format('warning')}"
    )
    days = [datetime(2013, 4, day, 8, tzinfo=UTC) for day in (1, 2, 3, 4, 5)]
    intervals = [Interval(*bounds) for bounds in pairwise(days)]

    def judged(*tables: pa.Table) -> dict[Interval, Validation]:
        return dict(zip(intervals, validate_each(tables, folder), strict=False))

    low = {0: -1.0}
    fine = judged(replaced(weather(55), "wind_speed", low), replaced(weather(60), "wind_speed", low))
    gate_each(fine, folder.spec)  # the same observers on two days are no duplicates
    assert [sorted(one.quarantined) for one in fine.values()] == [[0], [0]]
    with pytest.raises(
        ValidationError, match="2 of 4 training intervals would not have been scored"
    ) as caught:
        gate_each(
            judged(
                weather(55),
                weather(61),
                weather(50),
                replaced(weather(50), "wind_speed", dict.fromkeys((1, 2, 3), -1.0)),
            ),
            folder.spec,
        )
    assert list(caught.value.examples) == [
        f"{intervals[1]}: number of rows is 61, expected within [50, 60]",
        f"{intervals[3]}: 3 of 50 rows (6.0 %) are set aside, at most 5.0 % may be "
        "(validation.max_quarantined_fraction): 3 rows: wind_speed outside [0, 150]",
    ]
    assert list(caught.value.data["intervals"]) == [str(intervals[1]), str(intervals[3])]
