"""The rows that are judged: shown once, a leaf at a time, to all who judge, so that no table is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from rescore.digest import in_leaves
from rescore.leaf_rows import LEAF_ROWS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["EXACT", "Observer", "Rows", "show"]

#: Whole numbers beyond this are not exact as float64, which is what pandas makes of integers with NULLs.
EXACT = 2**53


class Rows(Protocol):
    """The part of :class:`pyarrow.Table` that is used of rows to be judged; ``source.FrozenTable`` has it."""

    schema: pa.Schema
    num_rows: int

    @property
    def column_names(self) -> list[str]:
        """In order."""

    def select(self, names: Sequence[str]) -> Rows:
        """The same rows with these columns only."""

    def column(self, name: str) -> pa.ChunkedArray:
        """One whole column: for what can't be judged leaf by leaf."""

    def take(self, positions: pa.Array) -> pa.Table:
        """Some rows by their ascending positions."""

    def to_batches(self, max_chunksize: int) -> Iterable[pa.RecordBatch]:
        """All rows, in order."""


class Observer(Protocol):
    """What looks at every row once."""

    @property
    def names(self) -> Sequence[str]:
        """The columns that it looks at."""

    def see(self, leaf: pa.RecordBatch, start: int) -> None:
        """Look at the next rows, the first of them at position ``start``."""


def show(rows: Rows, observers: Sequence[Observer]) -> None:
    """Show all rows to all observers: each leaf is made once."""
    names = dict.fromkeys(name for observer in observers for name in observer.names)
    start = 0
    for leaf in in_leaves(rows.select(list(names)).to_batches(max_chunksize=LEAF_ROWS)):
        for observer in observers:
            observer.see(leaf, start)
        start += leaf.num_rows
