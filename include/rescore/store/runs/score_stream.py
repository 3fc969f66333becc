"""Scores on their way into a table: each batch has to fit the model, the interval and the rows before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.digest import TableDigest, TableHasher
from rescore.errors import StoreError
from rescore.interval import Interval
from rescore.store.schema.score_table import ScoreLayout

__all__ = ["ScoreStream"]


class ScoreStream:
    """Check and digest scores batch by batch; nothing is held but the last key.

    Parameters
    ----------
    layout : ScoreLayout
        The model's columns.
    interval : Interval
        What the event times have to lie in.
    where : str
        For errors.
    """

    def __init__(self, layout: ScoreLayout, interval: Interval, where: str) -> None:
        self.schema = layout.score_schema
        self._layout = layout
        self._interval = interval
        self._where = where
        self._hasher = TableHasher(self.schema)
        self._rows = 0
        self._last: pa.RecordBatch | None = None

    def checked(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass on what fits, in the types of the model's table.

        Raises
        ------
        StoreError
            Other columns, rows out of order or twice, or an event time outside the interval.
        """
        for given in batches:
            batch = self._conform(given)
            if batch.num_rows:
                self._refuse_outside(batch.column(self._layout.event_time))
                self._refuse_disorder(batch.select(self._layout.key_names))
                self._hasher.update(batch)
                self._rows += batch.num_rows
                yield batch

    def digest(self) -> TableDigest:
        """Of all that was passed on."""
        return self._hasher.root()

    def _conform(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.schema.names != self.schema.names:
            raise StoreError(
                "the score table has other columns than the model's",
                where=self._where,
                expected=", ".join(self.schema.names),
                examples=[f"got {', '.join(batch.schema.names)}"],
                fix="give the key, the event time, score, (unless a regression) label and the declared "
                "probabilities, in this order",
            )
        try:
            conformed = batch.cast(self.schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise StoreError(
                f"the score table has other types than the model's: {error}",
                where=self._where,
                expected=", ".join(f"{field.name} {field.type}" for field in self.schema),
            ) from None
        for name, given, wanted in zip(
            batch.schema.names, batch.schema.types, self.schema.types, strict=True
        ):
            if wanted == pa.float64() != given:
                # A cast from float32 would look exact and not be the model's bits.
                raise StoreError(f"{name} is not a float64", where=self._where, expected=f"{name} double")
        return conformed

    def _refuse_outside(self, event_times: pa.Array) -> None:
        extremes = pc.min_max(event_times).as_py()
        for moment in (extremes["min"], extremes["max"]):
            if moment is not None and moment not in self._interval:
                raise StoreError(
                    f"an event time, {moment.isoformat()}, lies outside the run's interval",
                    where=self._where,
                    expected=f"moments in {self._interval}",
                    fix="check the event_time column of extract.sql",
                )

    def _refuse_disorder(self, keys: pa.RecordBatch) -> None:
        """Refuse rows that are not strictly ascending by key: out of order, or twice."""
        last, self._last = self._last, keys.slice(keys.num_rows - 1)
        first = self._rows - (0 if last is None else 1)
        if last is not None:
            keys = pa.concat_batches([last, keys])
        pairs = keys.num_rows - 1
        equal, ascending = np.ones(pairs, dtype=bool), np.zeros(pairs, dtype=bool)
        for column in keys.columns:
            compared = column
            if column.type == pa.string():
                compared = column.cast(pa.binary())  # compared by its bytes, like COLLATE "C"
            elif column.type == pa.bool_():
                compared = column.cast(pa.int16())
            before, after = compared.slice(0, pairs), compared.slice(1)
            ascending |= equal & pc.less(before, after).to_numpy(zero_copy_only=False)
            equal &= pc.equal(before, after).to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(~ascending)
        if len(wrong):
            position, names = int(wrong[0]), ", ".join(self._layout.key_names)
            raise StoreError(
                "a key occurs twice in the score table"
                if equal[position]
                else "the score table is not ordered by key",
                where=f"{self._where}, rows {first + position:,} and {first + position + 1:,}",
                expected=f"rows ascending by {names} (text by its bytes), each key once",
                examples=[str(key) for key in keys.slice(position, 2).to_pylist()],
                fix="keep the order of the frozen input",
            )
