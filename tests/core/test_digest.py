"""The digest's laws, and its bytes against a second, slow implementation of the written form."""

from __future__ import annotations

import hashlib
import io
import math
import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rescore import digest as digest_module
from rescore.digest import TableDigest, TableHasher, table_digest
from rescore.errors import UndigestibleError
from rescore.leaf_rows import LEAF_ROWS
from rescore.sha256 import bytes_sha256, file_sha256

UTC_US = pa.timestamp("us", tz="UTC")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUIET_NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000))[0]
NEGATIVE_NAN = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000123))[0]

# The first example compiles things; a deadline per example would only flake.
law = settings(deadline=None, max_examples=60)

KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "bool": (pa.bool_(), st.booleans()),
    "int16": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "int32": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float64": (
        pa.float64(),
        st.floats(allow_nan=True) | st.sampled_from([0.0, -0.0, QUIET_NAN, NEGATIVE_NAN]),
    ),
    "date32": (pa.date32(), st.dates()),
    "timestamp[us, UTC]": (UTC_US, st.datetimes(timezones=st.just(UTC))),
    "string": (pa.string(), st.text("abé€😀 \0", max_size=6)),
}


@st.composite
def tables(draw: st.DrawFn, max_rows: int = 40) -> pa.Table:
    rows = draw(st.integers(0, max_rows))
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    columns = {}
    for position, kind in enumerate(kinds):
        arrow, values = KINDS[kind]
        drawn = draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        columns[f"{kind} {position}"] = pa.array(drawn, arrow)
    return pa.table(columns)


def reference_root(table: pa.Table, leaf_rows: int) -> str:
    """The form that the module's docstring describes, one Python value at a time."""
    columns = [(name, name.rsplit(" ", 1)[0]) for name in table.column_names]
    rows = table.to_pylist()
    leaves = []
    for start in range(0, len(rows), leaf_rows):
        leaf = rows[start : start + leaf_rows]
        content = b"rescore.leaf\0" + struct.pack("<Q", len(leaf))
        for name, kind in columns:
            values = [row[name] for row in leaf]
            content += _bits([value is not None for value in values]) + _values(kind, values)
        leaves.append(hashlib.sha256(content).digest())
    content = b"rescore.table\0" + struct.pack("<II", 1, len(columns))
    for text in (text for column in columns for text in column):
        content += struct.pack("<I", len(text.encode())) + text.encode()
    content += struct.pack("<QQ", leaf_rows, len(rows)) + b"".join(leaves)
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _bits(flags: list[bool]) -> bytes:
    padded = flags + [False] * (-len(flags) % 8)
    return bytes(
        sum(flag << bit for bit, flag in enumerate(padded[byte : byte + 8]))
        for byte in range(0, len(padded), 8)
    )


def _values(kind: str, values: list[Any]) -> bytes:
    if kind == "bool":
        return _bits([bool(value) for value in values])
    if kind == "string":
        texts = [(value or "").encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) for text in texts) + b"".join(texts)
    code = {"int16": "h", "int32": "i", "int64": "q", "date32": "i", "float64": "d"}.get(kind, "q")
    return b"".join(struct.pack("<" + code, _number(kind, value)) for value in values)


def _number(kind: str, value: Any) -> Any:
    if value is None:
        return 0
    if kind == "float64":
        return QUIET_NAN if math.isnan(value) else value
    if kind == "date32":
        return (value - EPOCH.date()).days
    return (value - EPOCH) // timedelta(microseconds=1) if kind.startswith("timestamp") else value


@law
@given(tables(), st.sampled_from([1, 7, 8, 9, 16, 65_536]))
def test_bytes_are_those_of_the_written_form(table: pa.Table, leaf_rows: int) -> None:
    with patch.object(digest_module, "LEAF_ROWS", leaf_rows):
        assert table_digest(table).root == reference_root(table, leaf_rows)


def _in_batches(table: pa.Table, cuts: list[int]) -> TableDigest:
    hasher = TableHasher(table.schema)
    edges = sorted({0, table.num_rows, *(cut % (table.num_rows + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        piece = table.slice(start, end - start).combine_chunks()
        for batch in piece.to_batches():
            hasher.update(batch)
    return hasher.root()


def _with_strings_as(table: pa.Table, kind: pa.DataType) -> pa.Table:
    fields = [pa.field(f.name, kind if pa.types.is_string(f.type) else f.type) for f in table.schema]
    return table.cast(pa.schema(fields))


def _dictionary_encoded(table: pa.Table) -> pa.Table:
    return pa.table({name: table.column(name).dictionary_encode() for name in table.column_names})


def _with_garbage_under_nulls(table: pa.Table) -> pa.Table:
    """The same values, with other bytes in the slots of NULLs, and at an offset."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        array = column.combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
        filler = {"string": "garbage", "bool": True, "double": -0.5}.get(str(array.type), 1)
        if str(array.type).startswith(("timestamp", "date")):
            filler = pa.scalar(1, pa.int64() if array.type == UTC_US else pa.int32()).cast(array.type)
        full = array.fill_null(filler)
        buffers = full.buffers()
        buffers[0] = pa.py_buffer(np.packbits(array.is_valid().to_numpy(False), bitorder="little").tobytes())
        rebuilt = pa.Array.from_buffers(array.type, len(array), buffers)
        columns[name] = pa.concat_arrays([rebuilt.slice(0, min(3, len(array))), rebuilt]).slice(
            min(3, len(array))
        )
    return pa.table(columns)


def _through_parquet(table: pa.Table) -> pa.Table:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=5)
    return pq.read_table(io.BytesIO(buffer.getvalue()))


@law
@given(tables(), st.lists(st.integers(0, 1000), max_size=6), st.sampled_from([8, 65_536]))
def test_depends_on_the_data_alone(table: pa.Table, cuts: list[int], leaf_rows: int) -> None:
    with patch.object(digest_module, "LEAF_ROWS", leaf_rows):
        expected = table_digest(table)
        assert _in_batches(table, cuts) == expected
        assert table_digest(_dictionary_encoded(table)) == expected
        assert table_digest(_with_strings_as(table, pa.large_string())) == expected
        assert table_digest(_with_strings_as(table, pa.string_view())) == expected
        assert table_digest(_through_parquet(table)) == expected
        assert table_digest(table.replace_schema_metadata({"any": "thing"})) == expected
        assert table_digest(_with_garbage_under_nulls(table)) == expected


@law
@given(tables(max_rows=20), st.data())
def test_one_other_value_is_another_digest(table: pa.Table, data: st.DataObject) -> None:
    if table.num_rows == 0:
        return
    name = data.draw(st.sampled_from(table.column_names))
    row = data.draw(st.integers(0, table.num_rows - 1))
    arrow, values = KINDS[name.rsplit(" ", 1)[0]]
    column = table.column(name).to_pylist()
    before, after = column[row], data.draw(st.none() | values)
    column[row] = after
    changed = table.set_column(table.column_names.index(name), name, pa.array(column, arrow))
    same = before is after or (
        before is not None
        and after is not None
        and _values(name.rsplit(" ", 1)[0], [before]) == _values(name.rsplit(" ", 1)[0], [after])
    )
    assert (table_digest(changed).root == table_digest(table).root) == same


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([0.0], [-0.0]),
        ([None], [math.nan]),
        ([None], [0.0]),
        (["ab", "c"], ["a", "bc"]),
        ([None, "a"], ["", "a"]),
        ([1, 2], [2, 1]),
        ([True, None], [True, False]),
    ],
)
def test_near_misses_differ(left: list[Any], right: list[Any]) -> None:
    arrow = pa.array(left if left != [None] else right).type
    digests = [table_digest(pa.table({"x": pa.array(side, arrow)})).root for side in (left, right)]
    assert digests[0] != digests[1]


def test_names_order_and_types_count() -> None:
    one, two = pa.array([1, 2]), pa.array([3, 4])
    variants = [
        pa.table({"a": one, "b": two}),
        pa.table({"b": two, "a": one}),
        pa.table({"a": two, "b": one}),
        pa.table({"a": one.cast(pa.int32()), "b": two}),
        pa.table({"a": one}),
        pa.table({"a": one, "b": two}).slice(0, 1),
        pa.table({"a": one, "b": two}).slice(0, 0),
    ]
    assert len({table_digest(table).root for table in variants}) == len(variants)


def test_any_unit_and_zone_of_a_moment_is_the_same_moment() -> None:
    moment = datetime(2013, 4, 1, 8, tzinfo=UTC)
    digests = {
        table_digest(pa.table({"t": pa.array([moment, None], pa.timestamp(unit, tz=zone))})).root
        for unit in ("s", "ms", "us", "ns")
        for zone in ("UTC", "America/New_York", "+05:30")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1.5], pa.float32()),
        pa.array([Decimal("1.5")]),
        pa.array([datetime(2013, 4, 1)], pa.timestamp("us")),  # noqa: DTZ001 - a moment without a zone
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([timedelta(1)]),
        pa.array([b"x"]),
        pa.array([None]),
        pa.array([1], pa.uint64()),
    ],
    ids=lambda array: str(array.type),
)
def test_types_without_a_canonical_form_are_refused(array: pa.Array) -> None:
    with pytest.raises(UndigestibleError, match="'odd' has type") as caught:
        table_digest(pa.table({"fine": pa.array([1]), "odd": array}))
    assert caught.value.where == "column 'odd'"
    assert "float64" in (caught.value.expected or "")


@pytest.mark.parametrize(
    "array",
    [
        pa.array([0, 2**62], pa.int64()).cast(UTC_US),
        pa.array([-(2**63)], pa.int64()).view(UTC_US),
        pa.array([2**31 - 1], pa.int32()).view(pa.date32()),
        pa.array([1], pa.int64()).view(pa.timestamp("ns", tz="UTC")),
    ],
    ids=["infinity", "-infinity", "infinite date", "part of a microsecond"],
)
def test_values_without_a_canonical_form_are_refused(array: pa.Array) -> None:
    with pytest.raises(UndigestibleError, match="'odd'"):
        table_digest(pa.table({"odd": array}))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_bytes_that_are_no_text_are_refused(kind: pa.DataType) -> None:
    offsets, data = np.array([0, 2, 4], np.int32).tobytes(), b"ok\xff\xfe"
    text = pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    odd = pa.DictionaryArray.from_arrays([0, 1], text) if pa.types.is_dictionary(kind) else text.cast(kind)
    with pytest.raises(UndigestibleError, match="'odd' holds text that is not UTF-8"):
        table_digest(pa.table({"odd": odd}))


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(UndigestibleError, match="same name"):
        table_digest(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]))


def test_batches_must_have_the_schema() -> None:
    hasher = TableHasher(pa.schema([("a", pa.int64())]))
    with pytest.raises(UndigestibleError, match="other columns"):
        hasher.update(pa.record_batch({"a": pa.array([1], pa.int32())}))


def test_root_may_be_asked_in_the_middle() -> None:
    batch = pa.record_batch({"a": np.arange(10)})
    hasher = TableHasher(batch.schema)
    hasher.update(batch)
    assert hasher.root() == hasher.root() == table_digest(pa.Table.from_batches([batch]))
    hasher.update(batch)
    assert hasher.root() == table_digest(pa.Table.from_batches([batch, batch]))


def test_whole_leaves_and_the_rest() -> None:
    values = np.arange(2 * LEAF_ROWS + 1)
    whole = table_digest(pa.table({"a": values}))
    values[LEAF_ROWS] = -1
    changed = table_digest(pa.table({"a": values}))
    assert [a == b for a, b in zip(whole.leaves, changed.leaves, strict=True)] == [True, False, True]
    (difference,) = whole.differences(changed)
    assert difference.startswith(f"rows {LEAF_ROWS:,} to {2 * LEAF_ROWS - 1:,}: expected sha256:")


def test_a_digest_is_a_value(tmp_path: Path) -> None:
    digest = table_digest(pa.table({"a": [1], "b": ["x"]}))
    assert TableDigest.from_dict(digest.to_dict()) == digest
    assert digest.differences(digest) == []
    with pytest.raises(UndigestibleError, match="format 2"):
        TableDigest.from_dict({**digest.to_dict(), "format": 2})


def test_differences_name_columns_types_and_rows() -> None:
    expected = table_digest(pa.table({"a": [1], "b": [1], "c": ["x"]}))
    got = table_digest(pa.table({"a": pa.array([1], pa.int32()), "c": ["x"], "d": [1]}).slice(0, 0))
    assert expected.differences(got)[:4] == [
        "column 'b' is missing",
        "column 'd' is not expected",
        "column 'a': expected int64, got int32",
        "rows: expected 1, got 0",
    ]
    swapped = table_digest(pa.table({"b": [1], "a": [1], "c": ["x"]}))
    assert expected.differences(swapped)[0] == "columns: expected order ['a', 'b', 'c'], got ['b', 'a', 'c']"


def test_format_1_stays_what_it_is() -> None:
    """If this fails, the format changed: give it a new number (see the bump rule), keep the old one."""
    table = pa.table(
        {
            "depot": pa.array(["Lyon", None, "Zürich"]),
            "parcel": pa.array([1, 2, 3], pa.int32()),
            "at": pa.array([datetime(2013, 4, 1, 8, tzinfo=UTC)] * 3, UTC_US),
            "weight": pa.array([-0.0, math.nan, None]),
            "fragile": pa.array([True, None, False]),
            "promised": pa.array([date(1969, 12, 31), date(2013, 4, 5), None]),
        }
    )
    assert (
        table_digest(table).root == "sha256:789d8527ede2a070ec1005928c53613d651ef19e490c88927f7944f4f66e4f2f"
    )


def test_hashes_of_bytes_and_files(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert bytes_sha256(b"abc") == file_sha256(tmp_path / "x") == expected
