"""What stands for erased rows: which of which leaf, and digests by which the rest still proves itself.

A table's root is over the digests of its leaves. A leaf without an erased row keeps its digest, and its rows
give it. Of a leaf that lost rows the tombstone says which, and the digest of what remains of it; the root
that was published follows from the leaves as they were, which the tombstone keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field
from sqlalchemy import Connection, select

from rescore.digest import TableDigest, table_digest
from rescore.document import Document
from rescore.leaf_bytes import canonical_leaf
from rescore.leaf_rows import LEAF_ROWS
from rescore.sha256 import Sha256, bytes_sha256
from rescore.store.schema.removal_tables import tombstone as tombstone_table

__all__ = ["Tombstone", "last_tombstones", "leaves_without"]


class Tombstone(Document):
    """Rows that are gone from a table of known digest.

    Attributes
    ----------
    original : mapping
        The table's digest as it was published, with all leaves (``TableDigest.to_dict``).
    erased : list of int
        Positions of the rows that are gone, in the table as it was; ascending, over all erasures.
    touched : mapping of str to Sha256
        For each leaf that lost rows, by its number, the digest of what remains of it.
    remaining : Sha256 or None
        The content digest of what remains, as the archive files it; None of scores.
    without_score : list of int
        Of scores: positions in the frozen rows of erased rows that had none.
    """

    FORMAT: ClassVar[int] = 1
    original: dict[str, Any]
    erased: list[int]
    touched: dict[str, Sha256]
    remaining: Sha256 | None = None
    without_score: list[int] = Field(default_factory=list)

    @classmethod
    def of(
        cls,
        original: TableDigest,
        rest: pa.Table,
        erased: Sequence[int],
        *,
        remaining: Sha256 | None = None,
        without_score: Sequence[int] = (),
    ) -> Tombstone:
        """Make the tombstone of the rows at ``erased``, where ``rest`` are all others in their order."""
        gone = sorted({int(position) for position in erased})
        return cls(
            original=original.to_dict(),
            erased=gone,
            touched={
                str(number): digest
                for number, digest in _leaves(rest, gone, original.rows).items()
                if any(position // LEAF_ROWS == number for position in gone)
            },
            remaining=remaining,
            without_score=sorted({int(position) for position in without_score}),
        )

    @property
    def table(self) -> TableDigest:
        """The digest of the table as it was published."""
        return TableDigest.from_dict(self.original)

    def kept(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """For each remaining row, in order, its position in the table as it was."""
        everything = np.arange(self.table.rows, dtype=np.int64)
        return np.delete(everything, self.erased)

    def differences(self, rest: pa.Table, published: str) -> list[str]:
        """Where the remaining rows are not those that were left; empty if all of them are.

        Parameters
        ----------
        rest : pyarrow.Table
            The rows that are there.
        published : str
            The root that was published: it has to follow from the leaves, as the tombstone has them.
        """
        apart = self._refuted(published)
        if apart:
            return [apart]
        columns = table_digest(rest.slice(0, 0)).columns
        if columns != self.table.columns:
            return [f"columns: expected {dict(self.table.columns)}, got {dict(columns)}"]
        expected = self.table.rows - len(self.erased)
        if rest.num_rows != expected:
            return [f"rows: expected {expected:,}, got {rest.num_rows:,}"]
        leaves = dict(enumerate(self.table.leaves)) | {
            int(number): digest for number, digest in self.touched.items()
        }
        got = _leaves(rest, self.erased, self.table.rows)
        return [
            f"leaf {number}: expected {digest}, got {got.get(number)}"
            for number, digest in leaves.items()
            if got.get(number) != digest
        ]

    def _refuted(self, published: str) -> str:
        """Why this can't be a tombstone of the table that was published; empty if it can."""
        table = self.table
        if table.root != published:
            return f"the tombstone is of {table.root}, what was published is {published}"
        if not table.is_consistent:
            return f"the published root {published} does not follow from the tombstone's leaves"
        if self.erased != sorted(set(self.erased)) or not all(0 <= one < table.rows for one in self.erased):
            return f"the tombstone's positions are no rows of a table of {table.rows:,}"
        if {int(number) for number in self.touched} != {one // LEAF_ROWS for one in self.erased}:
            return "the tombstone names leaves as touched that lost no row, or leaves out some that did"
        return ""


def leaves_without(
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    original: TableDigest,
    before: Sequence[int],
    gone: Callable[[pa.Table], np.ndarray[Any, np.dtype[np.bool_]]],
) -> tuple[list[int], dict[str, Sha256]]:
    """Which rows of a table go, and what remains of the leaves that lost rows; one leaf is held at a time.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the table.
    batches : iterable of pyarrow.RecordBatch
        What is there of it, in its order.
    original : TableDigest
        Of the table as it was published.
    before : sequence of int
        Positions in that table of rows that went earlier.
    gone : callable
        Says of each row of a piece of the table whether it goes.

    Returns
    -------
    tuple
        Positions in the table as it was of the rows that go; and by leaf, for each that has lost a row, the
        digest of what remains.
    """
    places: list[int] = []
    touched: dict[str, Sha256] = {}
    lost = np.asarray(sorted(before), dtype=np.int64)
    held = pa.Table.from_batches([], schema=schema)
    unread = iter(batches)
    for start in range(0, original.rows, LEAF_ROWS):
        every = np.arange(start, min(start + LEAF_ROWS, original.rows))
        there = np.setdiff1d(every, lost)
        while held.num_rows < len(there) and (batch := next(unread, None)) is not None:
            held = pa.concat_tables([held, pa.Table.from_batches([batch])])
        rows, held = held.slice(0, len(there)), held.slice(len(there))
        goes = gone(rows)
        places += there[: rows.num_rows][goes].tolist()
        if goes.any() or len(there) < len(every):
            touched[str(start // LEAF_ROWS)] = bytes_sha256(canonical_leaf(rows.filter(pa.array(~goes))))
    return places, touched


def last_tombstones(connection: Connection, what: str, subject: str | None = None) -> dict[str, Tombstone]:
    """The last tombstone of each frozen table (``frozen``) or run (``scores``); only of one."""
    query = select(tombstone_table.c.subject, tombstone_table.c.document)
    query = query.where(tombstone_table.c.what == what).order_by(tombstone_table.c.tombstone_id)
    if subject is not None:
        query = query.where(tombstone_table.c.subject == subject)
    return {row.subject: Tombstone.from_dict(row.document) for row in connection.execute(query)}


def _leaves(rest: pa.Table, erased: Sequence[int], rows: int) -> Mapping[int, Sha256]:
    """The digest of what is there of each leaf of the table as it was."""
    found, start = {}, 0
    gone = np.bincount(np.asarray(erased, dtype=np.int64) // LEAF_ROWS, minlength=-(-rows // LEAF_ROWS))
    for number, lost in enumerate(gone.tolist()):
        length = min(LEAF_ROWS, rows - number * LEAF_ROWS) - lost
        found[number] = bytes_sha256(canonical_leaf(rest.slice(start, length)))
        start += length
    return found
