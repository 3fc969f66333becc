"""What a comparison needs of a live window: columns leaf by leaf, so that no table has to be in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Window"]


class Window(Protocol):
    """The part of :class:`pyarrow.Table` that is used of a window; ``source.KeptColumns`` is one, too."""

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in the order of the file."""

    @property
    def num_rows(self) -> int:
        """How many rows it has."""

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """A whole column."""

    def select(self, names: Sequence[str]) -> Window:
        """The same rows with these columns only."""

    def to_batches(self) -> Iterable[pa.RecordBatch]:
        """All rows, in order."""

    def take(self, positions: pa.Array) -> pa.Table:
        """Some rows of it, all columns, by position."""
