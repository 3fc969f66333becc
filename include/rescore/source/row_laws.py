"""The laws that rows keep, checked batch by batch as they stream by: keys, event time, order.

Rows arrive ordered by key, so a duplicate is a neighbour, also across a border between batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.errors import MAX_EXAMPLES, SourceEventTimeError, SourceKeyError
from rescore.interval import Interval
from rescore.shown_text import number_of

__all__ = ["RowLaws", "key_text"]

# What one entry of the scores' index may hold (a third of a page less what a page needs), and what of it
# is taken: the entry's own header, the run's id, the event time; eight bytes for a number, a text's length.
_INDEX_BYTES = 2704
_INDEX_FIXED = 8 + 16 + 8
_INDEX_PER_COLUMN = 11
#: Of a long value, an error shows the beginning.
_SHOWN_CHARACTERS = 60


class RowLaws:
    """Check each batch of one ordered extraction.

    Parameters
    ----------
    key : sequence of str
        Key columns; the rows are ordered by them.
    event_time : str, optional
        Column that must lie in ``interval``.
    interval : Interval
        What is extracted.
    where : str
        The query's file.
    """

    def __init__(
        self, key: Sequence[str], interval: Interval, *, event_time: str | None = None, where: str
    ) -> None:
        self._key = list(key)
        self._event_time = event_time
        self._interval = interval
        self._where = f"{where}, interval {interval}"
        self._last: pa.RecordBatch | None = None

    def check(self, batch: pa.RecordBatch) -> None:
        """Look at the next rows.

        Raises
        ------
        SourceKeyError
            A key is NULL, the same as its neighbour's, or too long for the scores' index.
        SourceEventTimeError
            An event time is NULL or outside the interval.
        """
        if batch.num_rows == 0:
            return
        keys = batch.select(self._key)
        self._check_nulls(keys)
        self._check_duplicates(keys)
        if self._event_time is not None:
            self._check_length(keys)
            self._check_event_time(keys, batch.column(self._event_time))
        self._last = keys.slice(batch.num_rows - 1, 1)

    def _check_nulls(self, keys: pa.RecordBatch) -> None:
        empty = [name for name in self._key if keys.column(name).null_count]
        if not empty:
            return
        missing = np.zeros(keys.num_rows, dtype=bool)
        for name in empty:
            missing |= _flags(keys.column(name).is_null())
        raise SourceKeyError(
            f"the key is NULL in at least {number_of(missing.sum(), 'row')}: {', '.join(empty)}",
            where=self._where,
            expected="every row has a key",
            examples=key_text(keys, np.flatnonzero(missing)),
            fix="leave such rows out in the query, or choose a key that is always there (source.key)",
            data={"columns": empty, "rows": int(missing.sum())},
        )

    def _check_duplicates(self, keys: pa.RecordBatch) -> None:
        if self._last is not None:
            keys = pa.concat_batches([self._last, keys])
        if keys.num_rows < 2:
            return
        same = np.ones(keys.num_rows - 1, dtype=bool)
        for column in keys.columns:
            same &= _flags(pc.equal(column.slice(1), column.slice(0, keys.num_rows - 1)))
        if same.any():
            raise SourceKeyError(
                f"a key occurs more than once ({', '.join(self._key)}): "
                f"at least {number_of(same.sum(), 'row')} too many",
                where=self._where,
                expected="one row per key within the interval",
                examples=dict.fromkeys(key_text(keys, np.flatnonzero(same))),
                fix="keep one row per key in the query (DISTINCT ON), or add a column to source.key",
                data={"columns": self._key, "rows": int(same.sum())},
            )

    def _check_length(self, keys: pa.RecordBatch) -> None:
        lengths = {
            name: np.asarray(pc.binary_length(keys.column(name)))
            for name in self._key
            if pa.types.is_string(keys.column(name).type)
        }
        room = _INDEX_BYTES - _INDEX_FIXED - _INDEX_PER_COLUMN * len(self._key)
        if not lengths:
            return
        long = np.sum(list(lengths.values()), axis=0) > room
        if not long.any():
            return
        longest = max(lengths, key=lambda name: int(lengths[name].max()))
        raise SourceKeyError(
            f"the key is too long in at least {number_of(long.sum(), 'row')}: {longest} has up to "
            f"{int(lengths[longest].max()):,} bytes",
            where=self._where,
            expected=f"at most {room:,} bytes of text in all key columns: what the scores' index holds",
            examples=key_text(keys, np.flatnonzero(long)),
            fix=f"identify such rows by a shorter column, or select md5({longest}) AS {longest}",
            data={"columns": list(lengths), "rows": int(long.sum())},
        )

    def _check_event_time(self, keys: pa.RecordBatch, times: pa.Array) -> None:
        if times.null_count:
            found = np.flatnonzero(_flags(times.is_null()))
            self._refuse_times(
                f"{self._event_time} is NULL in at least {number_of(len(found), 'row')}", keys, found
            )
        ticks = np.asarray(times.view(pa.int64()))
        start, end = (
            pa.scalar(bound, times.type).value for bound in (self._interval.start, self._interval.end)
        )
        if ticks.min() >= start and ticks.max() < end:
            return
        found = np.flatnonzero((ticks < start) | (ticks >= end))
        problem = f"{self._event_time} lies outside the interval in at least {number_of(len(found), 'row')}"
        self._refuse_times(problem, keys, found, times)

    def _refuse_times(
        self, problem: str, keys: pa.RecordBatch, found: np.ndarray, times: pa.Array | None = None
    ) -> None:
        examples = key_text(keys, found)
        if times is not None:
            shown = map(_value, times.take(pa.array(found[:MAX_EXAMPLES])))
            examples = [f"{text}: {time}" for text, time in zip(examples, shown, strict=False)]
        raise SourceEventTimeError(
            problem,
            where=self._where,
            expected=f"start <= {self._event_time} < end",
            examples=examples,
            fix=f"filter on :interval_start <= {self._event_time} AND {self._event_time} < :interval_end",
            data={"column": self._event_time, "rows": len(found)},
        )


def key_text(keys: pa.RecordBatch, positions: np.ndarray) -> list[str]:
    """The keys at some positions in words, for an error; no more than one shows."""
    shown = keys.take(pa.array(positions[:MAX_EXAMPLES]))
    return [
        ", ".join(f"{name}={_value(shown[name][row])}" for name in shown.schema.names)
        for row in range(shown.num_rows)
    ]


def _flags(array: pa.Array) -> np.ndarray:
    flags: np.ndarray = array.to_numpy(zero_copy_only=False)
    return flags


def _value(scalar: pa.Scalar) -> str:
    try:
        value = scalar.as_py()
    except (OverflowError, ValueError):  # infinity, the year 10000: Python has no such moment
        return "a moment outside the years 1 to 9999"
    text = "NULL" if value is None else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
