"""Class labels as text: the one form in which training, comparing and measuring look at them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["label_texts", "positive_text"]


def label_texts(column: pa.ChunkedArray) -> pa.Array | None:
    """Each row's class as text, whole floats as integers; None if the type is none of a class.

    Booleans are ``true`` and ``false``, 1 and 1.0 are ``1``; text stays as it is, blanks and case too.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type) and pc.all(_is_whole(column)).as_py() is not False:
        column = column.cast(pa.int64())
    kind = column.type
    known = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_string, pa.types.is_large_string)
    if not any(is_kind(kind) for is_kind in known):
        return None
    return column.combine_chunks().cast(pa.string())


def _is_whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Where a float is a whole number that an integer of 64 bits holds."""
    return pc.and_kleene(pc.equal(pc.round(column), column), pc.less(pc.abs(column), 2.0**63))


def positive_text(positive: Any, kind: pa.DataType) -> str:
    """The declared positive value as a column's text: ``true`` for a boolean, ``1`` for an integer."""
    if pa.types.is_boolean(kind) and isinstance(positive, bool | int):
        return "true" if positive else "false"
    if isinstance(positive, bool):
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        return str(int(positive)) if number else str(positive).lower()
    if isinstance(positive, float) and positive.is_integer():
        return str(int(positive))
    return str(positive)
