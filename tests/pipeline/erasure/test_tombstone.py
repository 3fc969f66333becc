"""What an erasure left proves the digest that was published: a law over any table and any rows of it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rescore import digest
from rescore.digest import table_digest
from rescore.store import Tombstone
from rescore.store.erasure import tombstone as module
from rescore.store.erasure.key_rows import rows_of
from rescore.store.erasure.tombstone import leaves_without


@pytest.fixture(autouse=True)
def small_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (digest, module):
        monkeypatch.setattr(one, "LEAF_ROWS", 8)


def table(rows: int, seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table({"loan": pa.array(range(rows), pa.int64()), "score": pa.array(rng.random(rows))})


def without(rows: pa.Table, erased: set[int]) -> pa.Table:
    return rows.take(pa.array([place for place in range(rows.num_rows) if place not in erased], pa.int64()))


sizes = st.integers(1, 40)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes, st.data())
def test_the_rest_proves_itself_and_any_other_rest_does_not(rows: int, data: st.DataObject) -> None:
    whole = table(rows)
    erased = data.draw(st.sets(st.integers(0, rows - 1), min_size=1))
    rest = without(whole, erased)
    made = Tombstone.from_dict(Tombstone.of(table_digest(whole), rest, sorted(erased)).to_dict())
    root = table_digest(whole).root
    assert made.differences(rest, root) == []
    assert made.table == table_digest(whole)
    assert {int(leaf) for leaf in made.touched} == {place // 8 for place in erased}
    assert made.kept().tolist() == [place for place in range(rows) if place not in erased]
    if rest.num_rows:
        place = data.draw(st.integers(0, rest.num_rows - 1))
        scores = rest["score"].to_pylist()
        scores[place] += 1.0
        changed = rest.set_column(1, "score", pa.array(scores))
        leaf = int(made.kept()[place]) // 8
        [apart] = made.differences(changed, root)
        assert apart.startswith(f"leaf {leaf}:")
        assert made.differences(without(rest, {place}), root)[0].startswith("rows:")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes, st.data())
def test_a_tombstone_of_other_leaves_than_were_published_proves_nothing(
    rows: int, data: st.DataObject
) -> None:
    """Leaves of invented rows under the published root, another root, column or touched leaf."""
    whole, invented = table(rows), table(rows, seed=2)
    root = table_digest(whole).root
    erased = data.draw(st.sets(st.integers(0, rows - 1), min_size=1))
    rest = without(invented, erased)
    forged = Tombstone.of(table_digest(invented), rest, sorted(erased))
    own = table_digest(invented).root
    assert forged.differences(rest, own) == []
    assert forged.differences(rest, root)
    under = forged.model_copy(update={"original": forged.original | {"root": root}})
    assert "does not follow" in under.differences(rest, root)[0]
    renamed = rest.rename_columns(["loan", "other"])
    assert forged.differences(renamed, own)[0].startswith("columns:")
    more = forged.touched | {str(rows // 8 + 1): own}
    assert "touched" in forged.model_copy(update={"touched": more}).differences(rest, own)[0]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes, st.data())
def test_two_erasures_are_as_one(rows: int, data: st.DataObject) -> None:
    whole = table(rows)
    first = data.draw(st.sets(st.integers(0, rows - 1), min_size=1))
    second = data.draw(st.sets(st.integers(0, rows - 1), min_size=1))
    rest = without(whole, first | second)
    once = Tombstone.of(table_digest(whole), rest, sorted(first | second))
    before = Tombstone.of(table_digest(whole), without(whole, first), sorted(first))
    twice = Tombstone.of(before.table, rest, [*before.erased, *second])
    assert twice == once


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes, st.data())
def test_leaves_read_one_at_a_time_are_those_of_the_whole_rest(rows: int, data: st.DataObject) -> None:
    """Whatever went before, however the rows come."""
    whole = table(rows)
    before = data.draw(st.sets(st.integers(0, rows - 1)))
    goes = data.draw(st.sets(st.integers(0, rows - 1)))
    there = without(whole, before)
    batches = there.combine_chunks().to_batches(max_chunksize=data.draw(st.integers(1, 50)))
    keys = whole.take(pa.array(sorted(goes), pa.int64()))
    places, touched = leaves_without(
        whole.schema, batches, table_digest(whole), sorted(before), rows_of(keys, ["loan", "score"])
    )
    assert places == sorted(goes - before)
    expected = Tombstone.of(table_digest(whole), without(whole, before | goes), sorted(before | goes))
    assert touched == expected.touched
