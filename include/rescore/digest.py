"""Content digests: one name for the same data, however it is held. No files but one hash, no database.

Rows are cut into leaves of :data:`LEAF_ROWS` rows, in order; the last may be shorter. A leaf's digest is
sha256 of its canonical bytes (:mod:`rescore.leaf_bytes`). The root, the digest of the table, is sha256
over ``rescore.table`` and a zero byte, the format (u32), the number of columns (u32), each column's name
and canonical type (each: length u32, UTF-8), the leaf size (u64), the row count (u64) and the raw digests
of all leaves; numbers are little-endian.

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

import pyarrow as pa

from rescore.errors import UndigestibleError
from rescore.leaf_bytes import canonical_array, canonical_type, leaf_buffers
from rescore.leaf_rows import LEAF_ROWS
from rescore.sha256 import Sha256

__all__ = [
    "DIGEST_METADATA",
    "FORMAT",
    "TableDigest",
    "TableHasher",
    "in_leaves",
    "table_digest",
]

#: The form of a table and of its leaves. See the bump rule above.
FORMAT = 1

#: Where a frozen Parquet file keeps the digest of its rows.
DIGEST_METADATA = b"rescore.digest"

#: Rows are held back until a leaf is full, but never more than this many bytes of them.
_MAX_HELD_BYTES = 256 * 1024**2


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
            Written in a format this code does not know, or changed since.
        """
        try:
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
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UndigestibleError(
                f"a stored digest can't be read: {type(error).__name__}: {error}",
                expected="root, rows, leaves and columns, as rescore writes them",
                fix="it was changed by hand: restore what holds it from a backup",
            ) from None

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
            canonical_array(array, name, kind)
            for array, (name, kind) in zip(batch.columns, columns, strict=True)
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
        for buffer in leaf_buffers(self._pending_rows, kinds, zip(*self._pending, strict=True)):
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


def in_leaves(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cut a stream into batches of one digest leaf each; the last may be shorter.

    The driver's batches hold whatever fits in its buffer; row groups of whole leaves make the frozen
    file depend on its content alone. Rows of more than 4 KiB come in shorter batches.
    """
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            piece = batch.slice(start, LEAF_ROWS - rows)
            held.append(piece)
            rows += piece.num_rows
            size += piece.nbytes
            start += piece.num_rows
            if rows == LEAF_ROWS or size > _MAX_HELD_BYTES:
                yield held[0] if len(held) == 1 else pa.concat_batches(held)
                held, rows, size = [], 0, 0
    if held:
        yield held[0] if len(held) == 1 else pa.concat_batches(held)
