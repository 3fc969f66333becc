"""Neighbours are compared across borders between batches, and leaves are cut from any batches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rescore.digest import in_leaves
from rescore.errors import SourceKeyError
from rescore.leaf_rows import LEAF_ROWS
from rescore.source.row_laws import RowLaws
from tests.source.conftest import DAY

law = settings(deadline=None, max_examples=100)


@law
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=20),
    st.lists(st.integers(0, 20), max_size=5),
)
def test_a_duplicate_is_found_however_the_rows_are_cut(rows: list[tuple[str, int]], cuts: list[int]) -> None:
    rows = sorted(rows)
    batch = pa.record_batch(
        {"x": pa.array([x for x, _ in rows], pa.string()), "y": pa.array([y for _, y in rows], pa.int32())}
    )
    laws = RowLaws(["x", "y"], DAY, where="x.sql")
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut <= len(rows))})
    found = False
    for start, end in pairwise(edges):
        try:
            laws.check(batch.slice(start, end - start))
        except SourceKeyError:
            found = True
            break
    assert found == (len(set(rows)) < len(rows))


@law
@given(st.lists(st.integers(0, 3 * LEAF_ROWS), max_size=5))
def test_leaves_are_whole_and_in_order(sizes: list[int]) -> None:
    values = pa.array(np.arange(sum(sizes)))
    edges = np.cumsum([0, *sizes])
    batches = [pa.record_batch({"v": values.slice(a, b - a)}) for a, b in pairwise(edges)]
    leaves = list(in_leaves(batches))
    assert [leaf.num_rows for leaf in leaves[:-1]] == [LEAF_ROWS] * (len(leaves) - 1)
    if leaves:
        assert 0 < leaves[-1].num_rows <= LEAF_ROWS
        assert pa.Table.from_batches(leaves).column("v").combine_chunks().equals(values)


def test_wide_rows_are_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rescore.digest._MAX_HELD_BYTES", 250_000)
    batch = pa.record_batch({"v": pa.array(["x" * 1000] * 100)})
    assert [leaf.num_rows for leaf in in_leaves([batch] * 5)] == [300, 200]


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows_have_no_neighbour(rows: int) -> None:
    laws = RowLaws(["v"], DAY, where="x.sql")
    for _ in range(2):
        laws.check(pa.record_batch({"v": pa.array([1] * rows, pa.int64())}).slice(0, 0))
    laws.check(pa.record_batch({"v": pa.array([1] * rows, pa.int64())}))
