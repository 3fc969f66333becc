"""Rows of a Parquet file by their position, and positions that are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import InputError
from .scoring import BLOCK_ROWS

__all__ = ["STEP_ROWS", "file_rows", "open_rows", "read_positions"]

#: Rows scored and written at a time: one leaf of a content digest.
STEP_ROWS = 4 * BLOCK_ROWS


def open_rows(source: Path, kinds: Mapping[str, str]) -> pq.ParquetFile:
    """Open a file that has to hold the features of ``kinds``; categories are read as dictionaries.

    Raises
    ------
    InputError
        A feature is missing.
    """
    file = pq.ParquetFile(source, read_dictionary=[n for n, k in kinds.items() if k == "categorical"])
    missing = [name for name in kinds if name not in file.schema_arrow.names]
    if missing:
        file.close()
        raise InputError(
            f"features are missing from {source.name}: {', '.join(missing)}",
            expected=f"all of: {', '.join(kinds)}",
            fix="extract them",
            missing=missing,
        )
    return file


def file_rows(
    file: pq.ParquetFile, columns: list[str], start: int, stop: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows from ``start`` to ``stop`` with their position; row groups before are not read."""
    first = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if first + rows > start and first < stop:
            position = first
            for batch in file.iter_batches(STEP_ROWS, row_groups=[group], columns=columns, use_threads=False):
                left, right = max(start - position, 0), min(stop - position, batch.num_rows)
                if left < right:
                    yield position + left, batch.slice(left, right - left)
                position += batch.num_rows
        first += rows


def read_positions(path: Path | None) -> np.ndarray[Any, Any]:
    """Ascending row positions from a file of int64; none without a file."""
    return np.zeros(0, np.int64) if path is None else np.fromfile(path, dtype=np.int64)
