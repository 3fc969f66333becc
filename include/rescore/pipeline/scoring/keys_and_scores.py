"""Two streams of batches as one: what identifies the rows, and their scores beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rescore.errors import RowAccountingError
from rescore.shown_text import number_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["beside"]


def beside(rows: Iterator[pa.RecordBatch], scores: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Put the columns of both beside each other, row by row, in batches as ``rows`` has them.

    Raises
    ------
    RowAccountingError
        One stream has more rows than the other.
    """
    import pyarrow as pa

    waiting = next(scores, None)
    for left in rows:
        while waiting is not None and waiting.num_rows < left.num_rows:
            more = next(scores, None)
            if more is None:
                raise _other_counts("a row has no score")
            waiting = pa.concat_batches([waiting, more])
        if waiting is None:
            raise _other_counts("there is no score at all")
        right, waiting = waiting.slice(0, left.num_rows), waiting.slice(left.num_rows)
        names = [*left.schema.names, *right.schema.names]
        yield pa.RecordBatch.from_arrays([*left.columns, *right.columns], names=names)
        if not waiting.num_rows:
            waiting = next(scores, waiting)
    rest = (0 if waiting is None else waiting.num_rows) + sum(batch.num_rows for batch in scores)
    if rest:
        raise _other_counts(f"{number_of(rest, 'score belongs', 'scores belong')} to no row")


def _other_counts(what: str) -> RowAccountingError:
    return RowAccountingError(
        f"rows and scores are not the same in number: {what}",
        expected="one score for each row that was kept, in the order of the frozen input",
        fix="score the interval again; if it happens again, report it with this message",
    )
