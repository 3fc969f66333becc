"""The profile in a package: deterministic, complete, and without a person in it."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from rescore.drift import build_reference
from rescore.drift.reference import Reference
from rescore.errors import DriftError
from rescore.spec import ModelSpec

Spec = Callable[..., ModelSpec]
Snapshot = Callable[[list[pa.Table]], pa.Table]


def window(generator: np.random.Generator, rows: int = 60) -> pa.Table:
    return pa.table(
        {
            "x": generator.normal(size=rows),
            "c": generator.choice(["a", "b"], rows),
            "b": generator.random(rows) < 0.3,
            "t": [f"words of row {i}" for i in generator.integers(0, 10**6, rows)],
        }
    )


KINDS = {"x": "numeric", "c": "categorical", "b": "boolean", "t": "text"}


def test_equal_inputs_give_equal_bytes_and_reading_loses_nothing(
    make_spec: Spec, make_snapshot: Snapshot, seed: int
) -> None:
    spec = make_spec(**KINDS)
    snapshot = make_snapshot([window(np.random.default_rng([seed, day])) for day in range(25)])
    scores = np.random.default_rng(seed).random(snapshot.num_rows)
    scores[::10] = np.nan
    built = build_reference(snapshot, spec, scores, {"x": 0.2, "c": 0.1})
    assert build_reference(snapshot, spec, scores, {"c": 0.1, "x": 0.2}) == built
    rechunked = pa.Table.from_batches(snapshot.to_batches(max_chunksize=37))
    assert build_reference(rechunked, spec, scores, {"x": 0.2, "c": 0.1}) == built
    assert Reference.from_bytes(built).to_bytes() == built


def test_windows_come_in_order_of_time_whatever_the_order_of_rows(
    make_spec: Spec, make_snapshot: Snapshot, seed: int
) -> None:
    spec = make_spec(**KINDS)
    snapshot = make_snapshot([window(np.random.default_rng([seed, day]), 50 + day) for day in range(21)])
    scores = np.arange(snapshot.num_rows, dtype=np.float64)
    order = np.argsort(np.arange(snapshot.num_rows) % 7, kind="stable")
    shuffled = build_reference(snapshot.take(pa.array(order)), spec, scores[order], {})
    stored, expected = json.loads(shuffled), json.loads(build_reference(snapshot, spec, scores, {}))
    assert [one["rows"] for one in stored["windows"]] == [50 + day for day in range(21)]
    for feature, wanted in zip(stored["features"][:3], expected["features"][:3], strict=True):
        assert feature["counts"] == wanted["counts"]


def test_no_value_of_one_row_is_in_it(make_spec: Spec, make_snapshot: Snapshot, seed: int) -> None:
    tables = [window(np.random.default_rng([seed, day])) for day in range(20)]
    odd = {"x": [123456.789], "c": ["only-me"], "b": [True], "t": ["my secret text"]}
    tables[3] = pa.concat_tables([tables[3], pa.table(odd)])
    built = build_reference(make_snapshot(tables), make_spec(**KINDS), None, {}).decode()
    for trace in ("123456", "only-me", "secret", "words of"):
        assert trace not in built


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda s: s.drop_columns(["x"]), "lacks columns", id="a feature missing"),
        pytest.param(lambda s: s.slice(0, 0), "no rows", id="no rows"),
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused(
    make_spec: Spec, make_snapshot: Snapshot, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    snapshot = make_snapshot([window(np.random.default_rng(day)) for day in range(3)])
    with pytest.raises(DriftError, match=message):
        build_reference(change(snapshot), make_spec(**KINDS), None, {})


def test_scores_of_other_rows_are_refused(make_spec: Spec, make_snapshot: Snapshot) -> None:
    snapshot = make_snapshot([window(np.random.default_rng(day)) for day in range(3)])
    with pytest.raises(DriftError, match="179 scores for 180 rows"):
        build_reference(snapshot, make_spec(**KINDS), np.zeros(179), {})


def test_training_stops_early_when_the_declared_rate_cannot_be_kept(
    make_spec: Spec, make_snapshot: Snapshot
) -> None:
    spec = make_spec(drift={"false_alarm_rate": 0.01}, **KINDS)
    snapshot = make_snapshot([window(np.random.default_rng(day)) for day in range(30)])
    with pytest.raises(DriftError, match="30 reference windows can't resolve a false-alarm rate"):
        build_reference(snapshot, spec, None, {})


@pytest.mark.parametrize("given", [b"", b"{}", b"not json", b'{"format": 99}'])
def test_bytes_that_are_no_profile_are_refused(given: bytes) -> None:
    with pytest.raises(DriftError, match="reference profile"):
        Reference.from_bytes(given)
