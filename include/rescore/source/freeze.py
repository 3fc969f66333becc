"""Frozen rows: a Parquet file that appears whole or not at all, and is read back only if unchanged."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rescore.digest import DIGEST_METADATA, TableDigest, TableHasher, table_digest
from rescore.disk import disk_full, is_disk_full
from rescore.errors import (
    DigestMismatchError,
    RescoreError,
    SourceError,
    SourceSchemaError,
    UndigestibleError,
)
from rescore.leaf_rows import LEAF_ROWS

__all__ = ["Freezer", "KeptColumns", "frozen_columns", "frozen_leaves", "read_frozen"]


class Freezer:
    """Write batches to a Parquet file and digest them on the way.

    The file appears at ``destination`` when :meth:`keep` is called; whatever else ends the ``with``
    block leaves nothing behind. Its bytes depend on the rows (and pyarrow's version) alone.

    Parameters
    ----------
    destination : Path
        Where the file shall be; its folder is made.
    schema : pyarrow.Schema
        Columns in order.
    where : str
        The query's file, for errors.
    """

    def __init__(self, destination: Path, schema: pa.Schema, *, where: str) -> None:
        self._destination = destination
        self._where = where
        self._hasher = TableHasher(schema)
        self._schema = schema
        self._partial = destination.with_name(f".{destination.name}.{secrets.token_hex(8)}.partial")

    def __enter__(self) -> Freezer:
        strings = [field.name for field in self._schema if pa.types.is_string(field.type)]
        try:
            self._destination.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                self._partial,
                self._schema,
                compression="zstd",
                compression_level=1,
                # A dictionary of measurements costs time and saves nothing.
                use_dictionary=strings or False,
                write_page_checksum=True,
            )
        except OSError as error:
            raise self._disk(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk is reported where it was met
            self._writer.close()
        self._partial.unlink(missing_ok=True)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the next rows; each call makes one row group.

        Raises
        ------
        SourceSchemaError
            A value that has no canonical form: an infinite timestamp or date.
        DiskFullError
            The disk is full.
        """
        try:
            self._hasher.update(batch)
            self._writer.write_batch(batch)
        except UndigestibleError as error:
            raise SourceSchemaError(
                error.what, where=f"{self._where}: {error.where}", expected=error.expected, fix=error.fix
            ) from None
        except OSError as error:
            raise self._disk(error) from error

    def keep(self) -> TableDigest:
        """Put the file in its place and return the digest of its rows."""
        digest = self._hasher.root()
        try:
            self._writer.add_key_value_metadata({DIGEST_METADATA: json.dumps(digest.to_dict()).encode()})
            self._writer.close()
            self._partial.replace(self._destination)
        except OSError as error:
            raise self._disk(error) from error
        return digest

    def _disk(self, error: OSError) -> RescoreError:
        if is_disk_full(error):
            return disk_full(error, self._destination.parent)
        return SourceError(
            f"the rows can't be written: {error.strerror or error}",
            where=str(self._destination),
            expected="a folder that can be written to",
            fix="let this user write to the folder, or set RESCORE_HOME to another",
        )


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
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            recorded = _recorded(file)
            table = file.read().replace_schema_metadata(None)
        got = table_digest(table)
    except FileNotFoundError:
        raise _mismatch(path, "the file is missing", expected, []) from None
    except (OSError, pa.ArrowException, UndigestibleError, ValueError) as error:
        raise _mismatch(path, f"the file can't be read: {_first_line(error)}", expected, []) from None
    wanted = expected or (recorded.root if recorded else None)
    if wanted is None:
        raise _mismatch(path, "the file has no digest", "a file frozen by rescore", [])
    if got.root == wanted:
        return table
    if recorded is not None and recorded.root == wanted:
        raise _mismatch(path, "its rows were changed", wanted, recorded.differences(got))
    raise _mismatch(path, "it holds other rows", wanted, [f"got {got.root}, {got.rows:,} rows"])


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
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
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
    except (OSError, pa.ArrowException) as error:
        raise _mismatch(path, f"the file can't be read: {_first_line(error)}", None, []) from None


class KeptColumns:
    """Frozen rows without those set aside, read a column at a time: no more than one is in memory.

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
        self.column_names: list[str] = footer.schema.names
        kept = np.ones(footer.num_rows, dtype=np.bool_)
        kept[list(without)] = False
        self.num_rows = int(kept.sum())
        self._kept = pa.array(kept) if without else None

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """Read a column.

        Raises
        ------
        DigestMismatchError
            A page of the file was damaged since.
        """
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                column = file.read(columns=[name]).column(0)
        except (OSError, pa.ArrowException) as error:
            raise _mismatch(self.path, f"the file can't be read: {_first_line(error)}", None, []) from None
        return column if self._kept is None else column.filter(self._kept)

    def take(self, positions: pa.Array) -> pa.Table:
        """Read some of the rows that are kept, all columns, by their positions among them."""
        return pa.table({name: self[name].take(positions) for name in self.column_names})


def frozen_columns(path: Path) -> list[str]:
    """The columns of a file that :class:`Freezer` wrote, in order."""
    names: list[str] = pq.read_schema(path).names
    return names


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
