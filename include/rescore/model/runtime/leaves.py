"""Score ranges of a file's rows one by one, as a parent process asks for them.

It writes one line of standard input for each range: its number, its first row, the row after its last.
The answer is an Arrow file ``<number>.arrow`` in a folder, which appears when it is whole, and a
message ``{"leaf": number, "rows": n}``. The end of the input is the end of the work; a parent that is
gone ends it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .environment import one_thread
from .rows import file_rows, open_rows, read_positions
from .scoring import Scorer

__all__ = ["score_leaves"]


def score_leaves(
    scorer: Scorer,
    source: Path,
    folder: Path,
    say: Callable[..., Any],
    *,
    excluded: Path | None,
    probabilities: bool,
) -> None:
    """Score what is asked for; see the module."""
    positions = read_positions(excluded)
    with one_thread(), open_rows(source, scorer.features.kinds) as file:
        for number, start, stop in _asked():
            rows = _kept(file, list(scorer.features.kinds), start, stop, positions)
            scores = scorer.scores(scorer.features.conform(rows), probabilities=probabilities)
            whole = folder / f"{number}.arrow"
            partial = whole.with_suffix(".part")
            with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, scores.schema) as writer:
                writer.write_table(scores)
            partial.replace(whole)
            say(leaf=number, rows=scores.num_rows)


def _asked() -> Iterator[tuple[int, int, int]]:
    with open(0, encoding="utf-8", closefd=False) as lines:
        for line in lines:
            number, start, stop = (int(word) for word in line.split())
            yield number, start, stop


def _kept(
    file: pq.ParquetFile, columns: list[str], start: int, stop: int, excluded: np.ndarray[Any, Any]
) -> pa.Table:
    """The rows of a range that are to be scored; perhaps none."""
    schema = pa.schema([file.schema_arrow.field(name) for name in columns])
    table = pa.Table.from_batches(
        [batch for _, batch in file_rows(file, columns, start, stop)], schema=schema
    )
    keep = np.ones(table.num_rows, dtype=bool)
    keep[excluded[np.searchsorted(excluded, start) : np.searchsorted(excluded, stop)] - start] = False
    return table if keep.all() else table.filter(pa.array(keep))
