"""Rows and scores beside each other, however both are cut."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rescore.errors import RowAccountingError
from rescore.pipeline.scoring.keys_and_scores import beside

SIZES = st.lists(st.integers(0, 4), max_size=6)


def batches(name: str, sizes: list[int]) -> Iterator[pa.RecordBatch]:
    first = 0
    for size in sizes:
        yield pa.record_batch({name: pa.array(range(first, first + size), pa.int64())})
        first += size


@settings(deadline=None)
@given(SIZES, SIZES)
def test_each_row_gets_the_score_of_its_position(rows: list[int], scores: list[int]) -> None:
    missing = sum(rows) - sum(scores)
    scores = [*scores, max(missing, 0)]
    rows = [*rows, max(-missing, 0)]
    got = pa.Table.from_batches(beside(batches("key", rows), batches("score", scores)))
    assert got["key"].to_pylist() == got["score"].to_pylist() == list(range(sum(rows)))


@settings(deadline=None)
@given(SIZES, SIZES)
def test_other_counts_are_refused(rows: list[int], scores: list[int]) -> None:
    if sum(rows) == sum(scores):
        scores = [*scores, 1]
    with pytest.raises(RowAccountingError, match="not the same in number"):
        list(beside(batches("key", rows), batches("score", scores)))
