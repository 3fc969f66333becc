"""Scores that come in batches: the digest of the whole, and no border hides a fault."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rescore.digest import table_digest
from rescore.errors import StoreError
from rescore.store import Store
from rescore.store.runs.score_stream import ScoreStream
from rescore.store.schema.score_table import ScoreLayout
from tests.store.builders import KEY_TYPES, Walk, day, make_scores, make_spec

LAYOUT = ScoreLayout.of(make_spec(), KEY_TYPES)
SCORES = make_scores(day(), 40)


def cut(table: pa.Table, borders: list[int]) -> list[pa.RecordBatch]:
    edges = [0, *sorted(borders), table.num_rows]
    pieces = [table.slice(a, b - a).combine_chunks() for a, b in pairwise(edges)]
    return [batch for piece in pieces for batch in piece.to_batches()]


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=5))
def test_any_cut_is_the_same_table(borders: list[int]) -> None:
    stream = ScoreStream(LAYOUT, day(), "here")
    passed = list(stream.checked(cut(SCORES, borders)))
    assert stream.digest() == table_digest(SCORES)
    assert pa.Table.from_batches(passed).equals(SCORES)


@settings(deadline=None)
@given(st.integers(1, 39), st.lists(st.integers(0, 40), max_size=5))
def test_a_twin_and_a_swap_are_found_across_any_border(row: int, borders: list[int]) -> None:
    order = [*range(row), row - 1, *range(row, 40)]
    with pytest.raises(StoreError, match="a key occurs twice") as caught:
        list(ScoreStream(LAYOUT, day(), "here").checked(cut(SCORES.take(order), borders)))
    assert caught.value.where == f"here, rows {row - 1:,} and {row:,}"
    order = [*range(row - 1), row, row - 1, *range(row + 1, 40)]
    with pytest.raises(StoreError, match="not ordered by key") as caught:
        list(ScoreStream(LAYOUT, day(), "here").checked(cut(SCORES.take(order), borders)))
    assert caught.value.where == f"here, rows {row - 1:,} and {row:,}"


def test_nothing_stays_of_a_stream_that_breaks_off(walk: Walk, store: Store) -> None:
    run = walk.claim(day())
    walk.extract(run, 40)

    def broken():
        yield from cut(SCORES, [20])[:1]
        raise ZeroDivisionError("the model has died")

    with pytest.raises(ZeroDivisionError, match="the model has died"):
        store.scores.stage(run, broken(), **walk.package)
    assert store.scores.of_run(run).num_rows == 0
    assert store.runs.get(run).score_digest is None
    store.scores.stage(run, iter(cut(SCORES, [7, 20])), **walk.package)
    assert store.scores.of_run(run).equals(SCORES)
