"""Whatever is stored as JSON is written in one way, and is what JSON has."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rescore.json_values import json_value
from rescore.sha256 import Sha256

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.dates()
    | st.datetimes()
    | st.floats(width=32).map(np.float32)
    | st.frozensets(st.integers() | st.text()),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@given(values)
def test_what_is_written_is_json_and_stays_as_it_is(value: object) -> None:
    written = json_value(value)
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert json_value(written) == written
    assert "\\u0000" not in json.dumps(written)


@given(st.floats())
def test_numbers_that_are_not_finite_are_read_back_or_left_out(number: float) -> None:
    again = float(json_value(number))
    assert again == number or (math.isnan(again) and math.isnan(number))
    if not math.isfinite(number):
        assert json_value([number], not_finite=lambda _: None) == [None]


def test_each_kind_of_value() -> None:
    digest = Sha256("a" * 64)
    assert type(json_value(digest)) is str
    assert json_value({1: np.arange(2), "b": {3, 20}}) == {"1": [0, 1], "b": [20, 3]}
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    assert json_value((moment, date(2024, 1, 1))) == ["2024-01-01T00:00:00+00:00", "2024-01-01"]
    assert json_value(ValueError("no")) == "no"
