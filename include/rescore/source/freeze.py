"""Freezing rows: a Parquet file that appears whole or not at all."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from rescore.digest import DIGEST_METADATA, TableDigest, TableHasher
from rescore.disk import disk_full, is_disk_full
from rescore.errors import RescoreError, SourceError, SourceSchemaError, UndigestibleError

__all__ = ["Freezer"]


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
