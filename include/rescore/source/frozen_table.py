"""Frozen rows, read back only if unchanged: as a table, a leaf or a column at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rescore.digest import DIGEST_METADATA, TableDigest, TableHasher
from rescore.errors import DigestMismatchError, UndigestibleError
from rescore.leaf_rows import LEAF_ROWS
from rescore.shown_text import number_of

__all__ = ["FrozenTable", "KeptColumns", "frozen_columns", "frozen_leaves", "read_frozen"]


def read_frozen(path: Path, expected: str | None) -> pa.Table:
    """Read frozen rows and make sure that they are what was frozen.

    Parameters
    ----------
    path : Path
        A file that :class:`Freezer` wrote.
    expected : str or None
        The digest's root as recorded elsewhere. None: only the file's own record is compared.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    DigestMismatchError
        Missing, unreadable, or of other content; with the rows that differ.
    """
    table = FrozenTable(path, expected)
    return pa.Table.from_batches(table.to_batches(), schema=table.schema)


@dataclass
class _Looks:
    """What was read of a frozen table."""

    proved: bool = False
    again: bool = False


class FrozenTable:
    """Frozen rows as a table that is in its file: read a leaf, a column or some rows at a time.

    The part of :class:`pyarrow.Table` that who judges rows needs. Nothing is given of it, but leaves on the
    way, before all rows were read once and are what was frozen.

    Parameters
    ----------
    path : Path
        A file that :class:`Freezer` wrote.
    expected : str or None
        As for :func:`read_frozen`.

    Attributes
    ----------
    path : Path
        The file.
    schema : pyarrow.Schema
        Columns in the file's order, or those that were selected.
    num_rows : int
        Row count.

    Raises
    ------
    DigestMismatchError
        As of :func:`read_frozen`; of rows that differ, when they are read.
    """

    def __init__(self, path: Path, expected: str | None) -> None:
        self.path = path
        self._expected = expected
        self._looks = _Looks()
        with _readable(path, expected), _opened(path) as file:
            self._recorded = _recorded(file)
            self.schema = self._all = file.schema_arrow.remove_metadata()
            self.num_rows: int = file.metadata.num_rows

    @property
    def column_names(self) -> list[str]:
        """In order."""
        names: list[str] = self.schema.names
        return names

    @property
    def read_again(self) -> bool:
        """Whether anything was read after the rows were proved, which holds if the file stayed the same.

        ``Archive.verify_again`` says whether it did.
        """
        return self._looks.again

    def select(self, names: Sequence[str]) -> FrozenTable:
        """The same rows with some columns only; nothing is read."""
        narrower = copy(self)
        narrower.schema = pa.schema([self.schema.field(name) for name in names])
        return narrower

    def to_batches(self, max_chunksize: int = LEAF_ROWS) -> Iterator[pa.RecordBatch]:
        """All rows, each row group by itself; who gets the last batch knows that they are what was frozen.

        Raises
        ------
        DigestMismatchError
            A page is damaged, or, after the last batch, the rows are others.
        """
        if self._looks.proved:
            self._looks.again = True
            yield from self._batches(max_chunksize, self.column_names)
            return
        hasher: TableHasher | None = None
        with _readable(self.path, self._expected):
            for batch in self._batches(max_chunksize, None):
                hasher = hasher or TableHasher(batch.schema)
                hasher.update(batch)
                yield batch.select(self.column_names)
            got = (hasher or TableHasher(self._all)).root()
        self._compare(got)
        self._looks.proved = True

    def _batches(self, rows: int, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        with _readable(self.path, self._expected), _opened(self.path) as file:
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(rows, row_groups=[group], columns=columns):
                    ordered = batch if columns is None else batch.select(columns)
                    yield ordered.replace_schema_metadata(None)

    def column(self, name: str) -> pa.ChunkedArray:
        """One whole column."""
        self.prove()
        leaves = self.select([name]).to_batches()
        return pa.chunked_array([leaf.column(0) for leaf in leaves], self.schema.field(name).type)

    def take(self, positions: pa.Array) -> pa.Table:
        """Some rows by their ascending positions; row groups that hold none of them are not read."""
        self.prove()
        wanted = np.asarray(positions, dtype=np.int64)
        found, first = [], 0
        with _readable(self.path), _opened(self.path) as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                start, stop = np.searchsorted(wanted, [first, first + rows])
                if start < stop:
                    self._looks.again = True
                    leaf = file.read_row_group(group, columns=self.column_names)
                    found.append(leaf.select(self.column_names).take(pa.array(wanted[start:stop] - first)))
                first += rows
        return pa.concat_tables([self.schema.empty_table(), *found])

    def prove(self) -> None:
        """Check the digest, by reading all rows unless they were read to the end already.

        Raises
        ------
        DigestMismatchError
            As of :meth:`to_batches`.
        """
        if not self._looks.proved:
            for _ in self.to_batches():
                pass

    def _compare(self, got: TableDigest) -> None:
        recorded = self._recorded
        wanted = self._expected or (recorded.root if recorded else None)
        if wanted is None:
            raise _mismatch(self.path, "the file has no digest", "a file frozen by rescore", [])
        if got.root == wanted and got.rows == self.num_rows:
            return
        if recorded is not None and recorded.root == wanted:
            raise _mismatch(self.path, "its rows were changed", wanted, recorded.differences(got))
        raise _mismatch(
            self.path, "it holds other rows", wanted, [f"got {got.root}, {number_of(got.rows, 'row')}"]
        )


def frozen_leaves(
    path: Path,
    columns: Sequence[str],
    without: Sequence[int] = (),
    leaves: tuple[int, int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Some columns of frozen rows, a leaf at a time, without the rows at some positions.

    What the rows are is not looked at: the file's bytes are to be proved first.

    Parameters
    ----------
    path : Path
        A file that :class:`Freezer` wrote.
    columns : sequence of str
        Which, in this order.
    without : sequence of int
        Ascending positions in the file, from 0.
    leaves : (int, int), optional
        Only from this leaf of the file to before that; default: all.

    Raises
    ------
    DigestMismatchError
        A page of the file was damaged since.
    """
    left_out = np.asarray(without, dtype=np.int64)
    with _readable(path), _opened(path) as file:
        start, stop = (0, file.metadata.num_rows) if leaves is None else (n * LEAF_ROWS for n in leaves)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        edges = np.cumsum([0, *sizes]).tolist()
        groups = [g for g in range(len(sizes)) if edges[g + 1] > start and edges[g] < stop]
        position = edges[groups[0]] if groups else 0
        for batch in file.iter_batches(LEAF_ROWS, row_groups=groups, columns=list(columns)):
            kept = np.ones(batch.num_rows, dtype=bool)
            first, last = np.searchsorted(left_out, [position, position + batch.num_rows])
            kept[left_out[first:last] - position] = False
            kept[: max(start - position, 0)] = False  # where a row group is no leaf
            kept[max(stop - position, 0) :] = False
            position += batch.num_rows
            rows = batch.select(list(columns)).replace_schema_metadata(None)
            yield rows if kept.all() else rows.filter(pa.array(kept))


class KeptColumns:
    """Frozen rows without those set aside, read a column or a leaf at a time: no more is in memory.

    What the rows are is not looked at: the file's bytes are to be proved first.

    Parameters
    ----------
    path : Path
        A file that :class:`Freezer` wrote.
    without : sequence of int
        Positions in the file, from 0, of the rows set aside.

    Attributes
    ----------
    path : Path
        The file.
    column_names : list of str
        In the file's order.
    num_rows : int
        How many rows are kept.
    """

    def __init__(self, path: Path, without: Sequence[int] = ()) -> None:
        self.path = path
        footer = pq.read_metadata(path)
        self._schema = footer.schema.to_arrow_schema()
        self.column_names: list[str] = self._schema.names
        self._without = sorted({*without})
        self.num_rows = footer.num_rows - len(self._without)

    def select(self, names: Sequence[str]) -> KeptColumns:
        """The same rows with some columns only; nothing is read."""
        narrower = copy(self)
        narrower.column_names = list(names)
        return narrower

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Read all rows that are kept, a leaf at a time.

        Raises
        ------
        DigestMismatchError
            A page of the file was damaged since.
        """
        return frozen_leaves(self.path, self.column_names, self._without)

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """Read a column; raises what :meth:`to_batches` does."""
        leaves = self.select([name]).to_batches()
        return pa.chunked_array([leaf.column(0) for leaf in leaves], self._schema.field(name).type)

    def take(self, positions: pa.Array) -> pa.Table:
        """Read some of the rows that are kept, all columns, by their positions among them."""
        return pa.table({name: self[name].take(positions) for name in self.column_names})


def frozen_columns(path: Path) -> list[str]:
    """The columns of a file that :class:`Freezer` wrote, in order."""
    names: list[str] = pq.read_schema(path).names
    return names


def _opened(path: Path) -> pq.ParquetFile:
    # Not buffered before: of all row groups that are asked for, it would hold the compressed bytes.
    return pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)


@contextmanager
def _readable(path: Path, expected: str | None = None) -> Iterator[None]:
    """Say of a file that can't be read that it is not what was frozen."""
    try:
        yield
    except FileNotFoundError:
        raise _mismatch(path, "the file is missing", expected, []) from None
    except (OSError, pa.ArrowException, UndigestibleError, ValueError) as error:
        raise _mismatch(path, f"the file can't be read: {_first_line(error)}", expected, []) from None


def _recorded(file: pq.ParquetFile) -> TableDigest | None:
    # Only tells where a difference is; what is true is the digest recorded in the store.
    metadata = file.metadata.metadata or {}
    content = metadata.get(DIGEST_METADATA)
    try:
        return TableDigest.from_dict(json.loads(content)) if content else None
    except (ValueError, KeyError, TypeError, UndigestibleError):
        return None


def _mismatch(path: Path, problem: str, expected: str | None, differences: list[str]) -> DigestMismatchError:
    return DigestMismatchError(
        f"frozen rows are not what was recorded: {problem}",
        where=os.fspath(path),
        expected=expected,
        examples=differences,
        fix="restore the file from the archive or a backup; nothing is scored from it",
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
