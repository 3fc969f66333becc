"""The canonical bytes of a leaf: what the digest of some rows of a table is of.

The canonical form, format 1 (:data:`rescore.digest.FORMAT`)
------------------------------------------------------------
Rows are cut into leaves of :data:`~rescore.leaf_rows.LEAF_ROWS` rows, in order; the last may be shorter.
All numbers are little-endian. A leaf's bytes are ``rescore.leaf`` and a zero byte, the row count (u64)
and then, column by column:

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

So the bytes depend on the data alone: not on chunks, dictionary encoding, offset width, Parquet or Arrow
versions, nullability flags or metadata. Categories are written as their values. Any other type, and a
timestamp or date outside the years 1 to 9999 (Postgres' ``infinity``), is refused, and so is text that
is not UTF-8. How leaves make up the digest of a table: :mod:`rescore.digest`.

**Bump rule.** Any change that could alter a byte of any leaf makes a new format number; digests
that carry the old number stay verifiable by the old code path.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.errors import UndigestibleError
from rescore.leaf_rows import LEAF_ROWS
from rescore.shown_text import number_of

__all__ = ["canonical_array", "canonical_leaf", "canonical_type", "leaf_buffers"]

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


def canonical_leaf(rows: pa.Table) -> bytes:
    """The bytes that the digest of a leaf is of: of at most ``LEAF_ROWS`` rows.

    Raises
    ------
    UndigestibleError
        A column or a value that has no canonical form, or more rows.
    """
    if rows.num_rows > LEAF_ROWS:
        raise UndigestibleError(
            f"{number_of(rows.num_rows, 'row is', 'rows are')} no leaf", expected=f"at most {LEAF_ROWS:,}"
        )
    kinds = [canonical_type(field.name, field.type) for field in rows.schema]
    columns = [
        [canonical_array(chunk, name, kind) for chunk in rows[name].chunks if len(chunk)]
        for name, kind in zip(rows.column_names, kinds, strict=True)
    ]
    buffers = leaf_buffers(rows.num_rows, kinds, columns if rows.num_rows else [])
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


def canonical_array(array: pa.Array, name: str, kind: str) -> pa.Array:
    """A column decoded, in the one unit and offset width that its canonical type ``kind`` is held in.

    Raises
    ------
    UndigestibleError
        A value that has no canonical form.
    """
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


def leaf_buffers(rows: int, kinds: list[str], columns: Iterable[Sequence[pa.Array]]) -> Iterator[Any]:
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
            fix=f"write CASE WHEN {name} BETWEEN '0001-01-01' AND '9999-12-31' THEN {name} END in the query, "
            "or leave such rows out where it is a key or the event time",
        )


def _bits(flags: pa.Array) -> np.ndarray[Any, Any]:
    return np.packbits(flags.to_numpy(zero_copy_only=False), bitorder="little")


def _all_valid(rows: int) -> bytes:
    whole, rest = divmod(rows, 8)
    return b"\xff" * whole + (bytes([(1 << rest) - 1]) if rest else b"")
