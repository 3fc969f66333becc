"""Content digests: one name for the same data, however it is held. No files but one hash, no database.

The canonical form of a table, format 1 (:data:`FORMAT`)
--------------------------------------------------------
Rows are cut into leaves of :data:`LEAF_ROWS` rows, in order; the last may be shorter. All numbers
are little-endian. A leaf's bytes are ``rescore.leaf`` and a zero byte, the row count (u64) and then,
column by column:

1. validity, one bit per row, first row in the lowest bit, 1 = not NULL, padded with 0 to a byte;
2. values, with those of NULLs zero (or empty):

   ========================  ==================================================================
   ``bool``                  one bit per row, packed as validity is
   ``int16/32/64``           two's complement
   ``float64``               IEEE 754; every NaN is 0x7ff8000000000000; -0.0 and 0.0 differ
   ``timestamp[us, UTC]``    i64, microseconds since 1970 in UTC
   ``date32``                i32, days since 1970
   ``string``                lengths in bytes (u32) of all rows, then the UTF-8 of all rows
   ========================  ==================================================================

A leaf's digest is sha256 of that. The root is sha256 over ``rescore.table`` and a zero byte, the
format (u32), the number of columns (u32), each column's name and canonical type (each: length u32,
UTF-8), the leaf size (u64), the row count (u64) and the raw digests of all leaves.

So it depends on the data alone: not on chunks, dictionary encoding, offset width, Parquet or Arrow
versions, nullability flags or metadata. Categories digest as their values. Any other type, and a
timestamp or date outside the years 1 to 9999 (Postgres' ``infinity``), is refused, and so is text that
is not UTF-8.

**Bump rule.** Any change that could alter the root of any table makes a new format number; digests
that carry the old number stay verifiable by the old code path.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.errors import UndigestibleError
from rescore.sha256 import Sha256

__all__ = [
    "FORMAT",
    "LEAF_ROWS",
    "TableDigest",
    "TableHasher",
    "canonical_leaf",
    "canonical_type",
    "table_digest",
]

#: The canonical form described above. See the bump rule there.
FORMAT = 1

#: Rows per leaf.
LEAF_ROWS = 65_536

_CANONICAL_NAN = 0x7FF8_0000_0000_0000
_TIMESTAMP = "timestamp[us, UTC]"
_PLAIN = {
    "bool": pa.bool_(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "date32": pa.date32(),
}
_HELD = {**_PLAIN, _TIMESTAMP: pa.timestamp("us", tz="UTC"), "string": pa.large_string()}
_LAYOUT = {
    "int16": ("<i2", pa.int16()),
    "int32": ("<i4", pa.int32()),
    "int64": ("<i8", pa.int64()),
    "float64": ("<f8", pa.float64()),
    "date32": ("<i4", pa.int32()),
    _TIMESTAMP: ("<i8", pa.int64()),
}
# What a Python datetime or date can hold; Postgres' infinities lie outside.
_RANGE = {
    "date32": tuple(int(np.datetime64(day, "D").astype(np.int64)) for day in ("0001-01-01", "9999-12-31")),
    _TIMESTAMP: tuple(
        int(np.datetime64(moment, "us").astype(np.int64))
        for moment in ("0001-01-01", "9999-12-31T23:59:59.999999")
    ),
}


@dataclass(frozen=True)
class TableDigest:
    """What a table is, as a value.

    Attributes
    ----------
    root : Sha256
        Names the content.
    rows : int
        Row count.
    leaves : tuple of Sha256
        One digest per leaf of ``LEAF_ROWS`` rows; tells where two tables differ.
    columns : tuple of (str, str)
        Name and canonical type of each column, in order.
    """

    root: Sha256
    rows: int
    leaves: tuple[Sha256, ...]
    columns: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return self.root

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable values; :meth:`from_dict` reads them back."""
        return {
            "format": FORMAT,
            "root": self.root,
            "rows": self.rows,
            "columns": [list(column) for column in self.columns],
            "leaves": list(self.leaves),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> TableDigest:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        UndigestibleError
            Written in a format this code does not know.
        """
        if value["format"] != FORMAT:
            raise UndigestibleError(
                f"the digest has format {value['format']}",
                expected=f"format {FORMAT}",
                fix="use a release of rescore that knows this format",
            )
        return cls(
            Sha256(value["root"]),
            int(value["rows"]),
            tuple(Sha256(leaf) for leaf in value["leaves"]),
            tuple((str(name), str(kind)) for name, kind in value["columns"]),
        )

    @classmethod
    def joined(cls, parts: Sequence[TableDigest]) -> TableDigest:
        """The digest of a table from those of its parts, without its rows.

        Parameters
        ----------
        parts : sequence of TableDigest
            In order; at least one. All but the last that has rows are of whole leaves.

        Raises
        ------
        UndigestibleError
            Parts of other columns, or one that ends within a leaf.
        """
        columns = parts[0].columns
        rows, leaves = 0, list[Sha256]()
        for number, part in enumerate(parts):
            if part.columns != columns:
                raise UndigestibleError(
                    f"part {number} has other columns than the first",
                    expected=str(columns),
                    examples=[str(part.columns)],
                )
            if part.rows and rows % LEAF_ROWS:
                raise UndigestibleError(
                    f"part {number} begins within a leaf, at row {rows:,}",
                    expected=f"parts that begin at multiples of {LEAF_ROWS:,} rows",
                )
            rows += part.rows
            leaves += part.leaves
        return cls(_root(columns, rows, leaves), rows, tuple(leaves), columns)

    @property
    def is_consistent(self) -> bool:
        """Whether the root follows from columns, row count and leaves, as many as the rows need."""
        enough = len(self.leaves) == -(-self.rows // LEAF_ROWS)
        return enough and self.root == _root(self.columns, self.rows, self.leaves)

    def differences(self, got: TableDigest) -> list[str]:
        """Say in words where ``got`` differs from this, the expected digest; empty if it does not."""
        found = []
        expected_names = [name for name, _ in self.columns]
        got_names = [name for name, _ in got.columns]
        found += [f"column {name!r} is missing" for name in expected_names if name not in got_names]
        found += [f"column {name!r} is not expected" for name in got_names if name not in expected_names]
        if not found and expected_names != got_names:
            found.append(f"columns: expected order {expected_names}, got {got_names}")
        types = dict(got.columns)
        found += [
            f"column {name!r}: expected {kind}, got {types[name]}"
            for name, kind in self.columns
            if name in types and types[name] != kind
        ]
        if self.rows != got.rows:
            found.append(f"rows: expected {self.rows:,}, got {got.rows:,}")
        for index, (expected, actual) in enumerate(zip_longest(self.leaves, got.leaves)):
            if expected != actual:
                first = index * LEAF_ROWS
                last = min(first + LEAF_ROWS, max(self.rows, got.rows)) - 1
                found.append(f"rows {first:,} to {last:,}: expected {expected}, got {actual}")
        if not found and self.root != got.root:
            found.append(f"root: expected {self.root}, got {got.root}")
        return found


class TableHasher:
    """Digest a table that comes in batches, in one pass.

    Parameters
    ----------
    schema : pyarrow.Schema
        Columns in order. Batches may hold them dictionary-encoded or with other offset widths.

    Raises
    ------
    UndigestibleError
        A column of a type that has no canonical form, or two columns of one name.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._columns = tuple((field.name, canonical_type(field.name, field.type)) for field in schema)
        if len(set(schema.names)) != len(schema.names):
            raise UndigestibleError(
                "two columns have the same name", examples=schema.names, expected="distinct names"
            )
        self._leaves: list[bytes] = []
        self._pending: list[list[pa.Array]] = []
        self._pending_rows = 0
        self._rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the next rows.

        Raises
        ------
        UndigestibleError
            Other columns than those of the schema, or a value that has no canonical form.
        """
        columns = tuple((field.name, canonical_type(field.name, field.type)) for field in batch.schema)
        if columns != self._columns:
            raise UndigestibleError(
                "a batch has other columns than the table",
                expected=str(self._columns),
                examples=[str(columns)],
            )
        arrays = [
            _held(array, name, kind) for array, (name, kind) in zip(batch.columns, columns, strict=True)
        ]
        self._rows += batch.num_rows
        start = 0
        while start < batch.num_rows:
            rows = min(LEAF_ROWS - self._pending_rows, batch.num_rows - start)
            self._pending.append([array.slice(start, rows) for array in arrays])
            self._pending_rows += rows
            start += rows
            if self._pending_rows == LEAF_ROWS:
                self._leaves.append(self._leaf())
                self._pending, self._pending_rows = [], 0

    def root(self) -> TableDigest:
        """The digest of the rows so far; more may follow."""
        pending = [self._leaf()] if self._pending_rows else []
        leaves = tuple(Sha256(leaf.hex()) for leaf in (*self._leaves, *pending))
        return TableDigest(_root(self._columns, self._rows, leaves), self._rows, leaves, self._columns)

    def _leaf(self) -> bytes:
        digest = hashlib.sha256()
        kinds = [kind for _, kind in self._columns]
        for buffer in _leaf_buffers(self._pending_rows, kinds, zip(*self._pending, strict=True)):
            digest.update(buffer)
        return digest.digest()


def _root(columns: Sequence[tuple[str, str]], rows: int, leaves: Iterable[Sha256]) -> Sha256:
    digest = hashlib.sha256(b"rescore.table\0")
    digest.update(struct.pack("<II", FORMAT, len(columns)))
    for text in (text for column in columns for text in column):
        encoded = text.encode()
        digest.update(struct.pack("<I", len(encoded)) + encoded)
    digest.update(struct.pack("<QQ", LEAF_ROWS, rows))
    for leaf in leaves:
        digest.update(bytes.fromhex(leaf.hex))
    return Sha256(digest.hexdigest())


def table_digest(table: pa.Table) -> TableDigest:
    """Digest a table in memory.

    Raises
    ------
    UndigestibleError
        A column or a value that has no canonical form.
    """
    hasher = TableHasher(table.schema)
    for batch in table.to_batches():
        hasher.update(batch)
    return hasher.root()


def canonical_leaf(rows: pa.Table) -> bytes:
    """The bytes that the digest of a leaf is of: of at most ``LEAF_ROWS`` rows.

    Raises
    ------
    UndigestibleError
        A column or a value that has no canonical form, or more rows.
    """
    if rows.num_rows > LEAF_ROWS:
        raise UndigestibleError(f"{rows.num_rows:,} rows are no leaf", expected=f"at most {LEAF_ROWS:,}")
    kinds = [canonical_type(field.name, field.type) for field in rows.schema]
    columns = [
        [_held(chunk, name, kind) for chunk in rows[name].chunks if len(chunk)]
        for name, kind in zip(rows.column_names, kinds, strict=True)
    ]
    buffers = _leaf_buffers(rows.num_rows, kinds, columns if rows.num_rows else [])
    return b"".join(bytes(memoryview(buffer)) for buffer in buffers)


def canonical_type(name: str, kind: pa.DataType) -> str:
    """The canonical name of a column's type.

    Raises
    ------
    UndigestibleError
        It has no canonical form.
    """
    if pa.types.is_dictionary(kind):
        return canonical_type(name, kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return _TIMESTAMP
    for canonical, plain in _PLAIN.items():
        if kind == plain:
            return canonical
    raise UndigestibleError(
        f"column {name!r} has type {kind}, which has no canonical form",
        where=f"column {name!r}",
        expected=f"one of {', '.join(_HELD)}",
        fix="cast it to one of these first",
    )


def _held(array: pa.Array, name: str, kind: str) -> pa.Array:
    """Decode dictionaries, and bring units and offset widths to one type per canonical type."""
    held = _HELD[kind]
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.type != held:
        try:
            array = array.cast(held)
        except pa.ArrowInvalid as error:
            raise UndigestibleError(
                f"column {name!r} does not fit {kind}: {error}",
                where=f"column {name!r}",
                expected="whole microseconds",
                fix="round it first",
            ) from None
    if kind in _RANGE:
        _refuse_infinite(array, name, kind)
    elif kind == "string":
        _require_utf8(array, name)
    return array


def _require_utf8(array: pa.Array, name: str) -> None:
    """Arrow holds any bytes as text until it is asked; two programs read such text as two things."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        raise UndigestibleError(
            f"column {name!r} holds text that is not UTF-8",
            where=f"column {name!r}",
            expected="UTF-8",
            fix="decode its bytes as what they are",
        ) from None


def _leaf_buffers(rows: int, kinds: list[str], columns: Iterable[Sequence[pa.Array]]) -> Iterator[Any]:
    """What the digest of a leaf is of, piece by piece; ``columns`` in pieces, none for no rows."""
    yield b"rescore.leaf\0"
    yield struct.pack("<Q", rows)
    for kind, pieces in zip(kinds, columns, strict=bool(rows)):
        yield from _encode(pieces[0] if len(pieces) == 1 else pa.concat_arrays(list(pieces)), kind)


def _encode(array: pa.Array, kind: str) -> list[Any]:
    """Return the buffers of one column of one leaf: validity, then values."""
    rows = len(array)
    validity = _bits(array.is_valid()) if array.null_count else _all_valid(rows)
    if kind == "bool":
        return [validity, _bits(array.fill_null(False) if array.null_count else array)]
    if kind == "string":
        return [validity, *_encode_strings(array)]
    layout, viewed = _LAYOUT[kind]
    if array.type != viewed:
        array = array.view(viewed)
    if array.null_count:
        array = array.fill_null(0)
    width = np.dtype(layout).itemsize
    values = np.frombuffer(array.buffers()[1], layout, count=rows, offset=array.offset * width)
    if kind == "float64":
        values = _one_nan(values)
    return [validity, values]


def _encode_strings(array: pa.Array) -> list[Any]:
    if array.null_count:
        array = array.fill_null("")  # a NULL slot may cover bytes
    _, offset_buffer, data = array.buffers()
    offsets = np.frombuffer(offset_buffer, "<i8", count=len(array) + 1, offset=array.offset * 8)
    lengths = np.diff(offsets).astype("<u4")
    content = memoryview(data)[offsets[0] : offsets[-1]] if data is not None else b""
    return [lengths, content]


def _one_nan(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    nan = np.isnan(values)
    if not nan.any():
        return values
    bits: np.ndarray[Any, Any] = values.view("<u8").copy()
    bits[nan] = _CANONICAL_NAN
    return bits


def _refuse_infinite(array: pa.Array, name: str, kind: str) -> None:
    earliest, latest = _RANGE[kind]
    bounds = pc.min_max(array.view(_LAYOUT[kind][1]))  # without NULLs; both NULL if there is no value
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    if low is not None and (low < earliest or high > latest):
        raise UndigestibleError(
            f"column {name!r} holds an infinite value, or one outside the years 1 to 9999",
            where=f"column {name!r}",
            expected="a finite moment, or NULL",
            fix="write NULLIF(column, 'infinity') in the query",
        )


def _bits(flags: pa.Array) -> np.ndarray[Any, Any]:
    return np.packbits(flags.to_numpy(zero_copy_only=False), bitorder="little")


def _all_valid(rows: int) -> bytes:
    whole, rest = divmod(rows, 8)
    return b"\xff" * whole + (bytes([(1 << rest) - 1]) if rest else b"")
