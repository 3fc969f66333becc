"""The shared transformer that draws shares of few events towards the overall share."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

sys.path.insert(0, str(Path(__file__).parents[2] / "include" / "features"))
from smoothed_share import SmoothedShare

sys.path.pop(0)

law = settings(deadline=None, max_examples=50)
SHARES = {"share": ("late", "arrivals")}
pairs = st.lists(
    st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=30
)


def frame(rows: list[tuple[float, float]]) -> pd.DataFrame:
    late, arrivals = zip(*rows, strict=True)
    return pd.DataFrame({"late": late, "other": range(len(rows)), "arrivals": arrivals}, dtype=float)


@law
@given(rows=pairs, weight=st.floats(0.1, 100))
def test_it_lies_between_the_row_s_own_share_and_the_overall_one(
    rows: list[tuple[int, int]], weight: float
) -> None:
    given_frame = frame(rows)
    made = SmoothedShare(SHARES, weight=weight).fit(given_frame)
    overall = made.overall_["share"]
    for (late, arrivals), share in zip(rows, made.transform(given_frame)["share"], strict=True):
        own = late / arrivals if arrivals else overall
        assert min(own, overall) - 1e-12 <= share <= max(own, overall) + 1e-12


@law
@given(rows=pairs)
def test_a_row_s_share_does_not_depend_on_the_other_rows(rows: list[tuple[int, int]]) -> None:
    made = SmoothedShare(SHARES).fit(frame(rows))
    whole = made.transform(frame(rows))["share"].to_numpy()
    alone = [made.transform(frame([row]))["share"].iloc[0] for row in rows]
    assert np.array_equal(whole, alone)


def test_the_counts_are_replaced_and_the_rest_is_kept_in_order() -> None:
    given_frame = frame([(1, 4), (3, 4)])
    before = given_frame.copy()
    made = SmoothedShare(SHARES, weight=4.0).fit_transform(given_frame)
    assert list(made.columns) == ["other", "share"]
    assert made["share"].tolist() == [(1 + 4 * 0.5) / 8, (3 + 4 * 0.5) / 8]
    pd.testing.assert_frame_equal(given_frame, before)


def test_no_events_give_the_overall_share_and_no_count_gives_none() -> None:
    made = SmoothedShare(SHARES).fit(frame([(1, 4), (0, 0)])).transform(frame([(0, 0), (np.nan, np.nan)]))
    assert made["share"].iloc[0] == pytest.approx(0.25)
    assert np.isnan(made["share"].iloc[1])
    assert SmoothedShare(SHARES).fit(frame([(0, 0)])).overall_ == {"share": 0.5}


def test_it_is_an_estimator() -> None:
    assert clone(SmoothedShare(SHARES, weight=3.0)).get_params() == {"shares": SHARES, "weight": 3.0}
    with pytest.raises(ValueError, match="weight is 0"):
        SmoothedShare(SHARES, weight=0).fit(frame([(1, 4)]))
