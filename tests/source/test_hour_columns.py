"""A clock that is hours off is known by an hour that stands beside it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from rescore.source import hours_apart
from rescore.spec import ModelSpec
from tests.source.conftest import SPEC

NOON = datetime(2024, 3, 20, 12, tzinfo=UTC)  # the clocks of the two halves change at other times
HOUR = pa.int32()


def rows(moments, hours, kind=HOUR):
    return pa.table(
        {"sent_at": pa.array(moments, pa.timestamp("us", "UTC")), "sent_hour": pa.array(hours, kind)}
    )


def spec_of(zone):
    features = [*SPEC["features"], {"name": "sent_hour", "kind": "numeric"}]
    return ModelSpec.model_validate(
        {**SPEC, "features": features, "schedule": {**SPEC["schedule"], "timezone": zone}}
    )


def test_a_wall_clock_stored_as_utc_is_off_by_its_zone() -> None:
    for zone, hours in (("America/New_York", 4), ("Asia/Kolkata", -5), ("Pacific/Auckland", 11)):
        local = [(NOON + timedelta(minutes=37 * n)).astimezone(ZoneInfo(zone)) for n in range(60)]
        stored = [moment.replace(tzinfo=UTC) for moment in local]
        beside = [moment.hour for moment in local]
        spec = spec_of(zone)
        assert hours_apart(rows([moment.astimezone(UTC) for moment in local], beside), spec) == []
        [found] = hours_apart(rows(stored, beside), spec)
        assert abs(found.hours - hours) <= 1  # half an hour's zones lie between two
        assert found.feature == "sent_hour"


@settings(deadline=None)
@given(
    offset=st.integers(-11, 12),
    count=st.integers(200, 3_000),
    wrong=st.floats(0, 0.04),
    kind=st.sampled_from([pa.int16(), pa.float64(), pa.decimal128(24, 2)]),
)
def test_any_whole_distance_is_found_by_nearly_all_rows(offset, count, wrong, kind) -> None:
    moments = [NOON + timedelta(minutes=7 * n) for n in range(count)]
    hours = [(moment.hour + offset) % 24 for moment in moments]
    for index in range(int(len(hours) * wrong)):
        hours[index] = None
    found = hours_apart(rows(moments, pa.array(hours, pa.int64()).cast(kind), kind), spec_of("UTC"))
    assert [one.hours for one in found] == ([offset] if offset else [])


def test_an_hour_of_another_event_says_nothing() -> None:
    moments = [NOON + timedelta(minutes=37 * n) for n in range(600)]
    hours = [(moment.hour + n % 9) % 24 for n, moment in enumerate(moments)]
    spec = spec_of("UTC")
    assert hours_apart(rows(moments, hours), spec) == []
    assert hours_apart(rows(moments, [7] * 600), spec) == []
    assert hours_apart(rows(moments[:19], [0] * 18 + [1]), spec) == []
    assert hours_apart(rows([None] * 600, hours), spec) == []
