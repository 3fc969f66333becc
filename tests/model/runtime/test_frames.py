"""The frame a pipeline gets has one dtype per kind, whatever the rows at hand hold."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from rescore.model.runtime.errors import InputError
from rescore.model.runtime.frames import DTYPES, Features

KINDS = {"n": "numeric", "b": "boolean", "c": "categorical", "d": "datetime", "t": "text"}
TABLE = pa.table(
    {
        "t": pa.array(["a note", None, "ünï", ""]),
        "c": pa.array(["z", "a", None, "a"]),
        "n": pa.array([1, None, 3, 4], pa.int32()),
        "b": pa.array([True, None, False, True]),
        "d": pa.array([datetime(2013, 1, 1, tzinfo=UTC), None, None, None], pa.timestamp("us", "UTC")),
    }
)
FEATURES = Features.learn(KINDS, TABLE)


def frame_of(table: pa.Table, rows: int | None = None) -> pd.DataFrame:
    return FEATURES.frame(FEATURES.conform(table), rows)


def test_each_kind_has_its_dtype_and_its_missing_value() -> None:
    frame = frame_of(TABLE)
    assert list(frame.columns) == list(KINDS)
    assert {name: str(frame[name].dtype) for name in KINDS} == {
        name: DTYPES[kind] for name, kind in KINDS.items()
    }
    assert frame["n"].tolist()[2:] == [3.0, 4.0]
    assert np.isnan(frame["n"][1])
    assert frame["b"].tolist()[0] == 1.0
    assert frame["t"][1] is None
    assert frame["t"][3] == ""
    assert frame["d"][0] == pd.Timestamp("2013-01-01", tz="UTC")
    assert pd.isna(frame["c"][2])


@pytest.mark.parametrize("rows", [TABLE.slice(0, 1), TABLE.slice(1, 1), TABLE.slice(2, 2)])
def test_a_chunk_keeps_the_dtypes_of_the_whole(rows: pa.Table) -> None:
    # An all-NULL column, or one where a level is absent, must not look otherwise to the pipeline.
    assert (frame_of(rows).dtypes == frame_of(TABLE).dtypes).all()


def test_levels_are_those_of_training_and_an_unseen_one_is_missing() -> None:
    frame = frame_of(TABLE.set_column(1, "c", pa.array(["a", "never seen", "z", None])))
    assert list(frame["c"].cat.categories) == ["a", "z"]
    assert frame["c"].cat.codes.tolist() == [0, -1, 1, -1]


def test_dictionaries_of_any_order_read_as_their_values() -> None:
    shuffled = pa.DictionaryArray.from_arrays(
        pa.array([1, 2, None, 2], pa.int32()), pa.array(["unused", "z", "a"])
    )
    other = pa.chunked_array([shuffled.slice(0, 2), pa.array(["a"]).dictionary_encode()])
    read = frame_of(TABLE.slice(0, 3).set_column(1, "c", other))["c"]
    assert read.tolist() == ["z", "a", "a"]


def test_padding_repeats_the_last_row() -> None:
    frame = frame_of(TABLE, rows=6)
    pd.testing.assert_frame_equal(frame.iloc[:4], frame_of(TABLE))
    pd.testing.assert_frame_equal(
        frame.iloc[4:].reset_index(drop=True), frame.iloc[[3, 3]].reset_index(drop=True)
    )


def test_padding_repeats_the_row_of_the_shortest_text() -> None:
    """A pipeline splits and counts each text: a long one 16,384 times took minutes."""
    rows = pa.concat_tables([TABLE, TABLE.slice(0, 1)])
    padded = frame_of(rows, rows=7)
    pd.testing.assert_frame_equal(padded.iloc[:5], frame_of(rows))
    pd.testing.assert_frame_equal(
        padded.iloc[5:].reset_index(drop=True), padded.iloc[[3, 3]].reset_index(drop=True)
    )


def test_a_persons_frame_reads_as_the_frozen_columns_do() -> None:
    people = TABLE.to_pandas()[["t", "n", "d", "c", "b"]].assign(extra=1)
    pd.testing.assert_frame_equal(FEATURES.frame(FEATURES.from_pandas(people)), frame_of(TABLE))


def test_a_decimal_is_the_float_that_postgres_makes_of_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    texts = [
        "72949.6560983998",
        *(f"{random.uniform(-1e5, 1e5):.{random.integers(0, 11)}f}" for _ in range(5_000)),
    ]
    numbers = [Decimal(text) for text in texts]
    features = Features({"n": "numeric"})
    read = features.from_pandas(pd.DataFrame({"n": numbers}))
    assert read.column("n").to_pylist() == [float(text) for text in texts]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("n", pa.array(["1", "2", "3", "4"]), "'n' can't be read as numeric: it is string"),
        ("n", pa.array([2**53 + 1] * 4), "2\\*\\*53"),
        ("c", pa.array([1, 2, 3, 4]), "'c' can't be read as categorical"),
        ("b", pa.array([0, 1, 1, 0]), "expected: booleans"),
        ("d", pa.array([0] * 4, pa.timestamp("us")), "with a time zone"),
    ],
)
def test_a_column_of_another_type_is_refused(name: str, values: pa.Array, message: str) -> None:
    position = TABLE.column_names.index(name)
    with pytest.raises(InputError, match=message):
        frame_of(TABLE.set_column(position, name, values))


def test_missing_features_are_all_named() -> None:
    with pytest.raises(InputError, match="n, d") as caught:
        frame_of(TABLE.drop_columns(["n", "d"]))
    assert caught.value.data["missing"] == ["n", "d"]
