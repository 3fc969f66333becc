"""A training snapshot: what each past run saw at its own moment, with the labels known by now.

Law 4: one extraction per interval, each as of that interval's end, never one late look at all of
them. All of it is read in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from rescore.digest import TableDigest, in_leaves, table_digest
from rescore.errors import EmptyIntervalError, IntervalError, SourceSchemaError
from rescore.folder import ModelFolder
from rescore.interval import Interval, parse_moment
from rescore.progress import Progress, Ticker
from rescore.shown_text import number_of
from rescore.source.extraction import InputQuery
from rescore.source.freeze import Freezer
from rescore.source.labelling import (
    INTERVAL_COLUMNS,
    INTERVAL_TYPE,
    LabelQuery,
    join_labels,
    joinable,
    with_interval,
)
from rescore.source.session import Session

__all__ = ["IntervalRows", "TrainingSnapshot", "snapshot"]


@dataclass(frozen=True)
class IntervalRows:
    """One interval's share of a snapshot.

    Attributes
    ----------
    interval : Interval
        Which.
    extracted : int
        Rows that scoring saw, or would have seen.
    labelled : int
        Those of them with a known label: these are in the snapshot.
    unmatched_labels : int
        Labels whose key no extracted row has.
    digest : TableDigest
        Of the extracted rows: the digest that ``extract`` gives for this interval, as of its end.
    """

    interval: Interval
    extracted: int
    labelled: int
    unmatched_labels: int
    digest: TableDigest


@dataclass(frozen=True)
class TrainingSnapshot:
    """Rows of many intervals in a file, with their labels, and what they are.

    Attributes
    ----------
    path : Path
        Parquet: ``interval_start``, ``interval_end``, the input columns, the target; ordered by
        interval, then key.
    digest : TableDigest
        Names the content.
    rows, extracted : int
        Rows with a known label; all rows.
    intervals : tuple of Interval
        In order.
    as_of : datetime
        Labels known by then.
    per_interval : tuple of IntervalRows
        The counts of each, in order.
    extracted_at : datetime
        When the transaction began, by the source database's clock, UTC.
    seconds : float
        How long it took.
    """

    path: Path
    digest: TableDigest
    rows: int
    extracted: int
    intervals: tuple[Interval, ...]
    as_of: datetime
    per_interval: tuple[IntervalRows, ...]
    extracted_at: datetime
    seconds: float


def snapshot(
    url: str,
    folder: ModelFolder,
    intervals: Sequence[Interval],
    as_of: datetime,
    destination: Path,
    *,
    frozen: Mapping[Interval, pa.Table] | None = None,
    unlabelled: bool = False,
    progress: Progress | None = None,
) -> TrainingSnapshot:
    """Freeze the training rows of some intervals.

    Parameters
    ----------
    url : str
        The source database.
    folder : ModelFolder
        The model.
    intervals : sequence of Interval
        Disjoint, in order, all ended by ``as_of``.
    as_of : datetime
        The moment of training: labels known by then are joined.
    destination : Path
        The Parquet file; there is none if anything fails.
    frozen : mapping of Interval to pyarrow.Table, optional
        The rows of each interval as they were frozen when it was scored; extracted now if not given.
    unlabelled : bool
        Whether rows without a known label are written too, their target NULL: what scoring saw.
    progress : callable, optional
        Receives a line about every 2 seconds.

    Raises
    ------
    IntervalError
        Intervals that overlap, are out of order or end after ``as_of``.
    EmptyIntervalError
        Not one labelled row in all of them.
    SourceError, SpecError, SettingsError
        As :func:`rescore.source.extract`, for either query.
    """
    started = time.monotonic()
    as_of = parse_moment(as_of, name="as_of")
    _check_intervals(intervals, as_of)
    say = Ticker(progress)
    shares: list[IntervalRows] = []
    with Session(url, folder.spec.source) as session:
        extracted_at = session.moment()
        reader = _Reader(session, folder, as_of, frozen, unlabelled=unlabelled)
        with Freezer(destination, reader.describe(intervals[0]), where=reader.inputs.where) as freezer:
            for batch in in_leaves(_told(reader.read(intervals), shares, len(intervals), folder.name, say)):
                freezer.write(batch)
            if not any(share.labelled for share in shares):
                raise _nothing_to_learn(folder, shares, as_of, session.where)
            digest = freezer.keep()
    extracted = sum(share.extracted for share in shares)
    labelled = sum(share.labelled for share in shares)
    seconds = time.monotonic() - started
    if unmatched := sum(share.unmatched_labels for share in shares):
        say.line(
            f"{folder.name}: {number_of(unmatched, 'known label matches', 'known labels match')} no row of "
            "extract.sql: the row was known only after its interval had ended, or the queries write the "
            "key otherwise (padding, case)"
        )
    say.line(
        f"{folder.name}: {labelled:,} labelled of {number_of(extracted, 'row')} in "
        f"{number_of(len(intervals), 'interval')} extracted in {seconds:.1f} s"
    )
    return TrainingSnapshot(
        path=destination,
        digest=digest,
        rows=labelled,
        extracted=extracted,
        intervals=tuple(intervals),
        as_of=as_of,
        per_interval=tuple(shares),
        extracted_at=extracted_at,
        seconds=seconds,
    )


class _Reader:
    """Reads both queries, interval by interval, within one session."""

    def __init__(
        self,
        session: Session,
        folder: ModelFolder,
        as_of: datetime,
        frozen: Mapping[Interval, pa.Table] | None,
        *,
        unlabelled: bool,
    ) -> None:
        self._frozen = frozen
        self._unlabelled = unlabelled
        self.inputs = InputQuery(session, folder)
        self._labels = LabelQuery(session, folder)
        self._spec = folder.spec
        self._as_of = as_of

    def describe(self, first: Interval) -> pa.Schema:
        """The snapshot's columns; every problem with them is found before a row is read."""
        self.inputs.render(first, first.end)
        self._labels.render(first, self._as_of)
        inputs, labels = self.inputs.schema, self._labels.schema
        for name in self._spec.source.key:
            if not joinable(inputs.field(name).type, labels.field(name).type):
                raise SourceSchemaError(
                    f"{name}: labels.sql gives {labels.field(name).type}, "
                    f"extract.sql gives {inputs.field(name).type}",
                    where=self._labels.where,
                    expected="the same type of key in both queries",
                    fix=f"cast {name} in one of them",
                )
        bounds = [pa.field(name, INTERVAL_TYPE) for name in INTERVAL_COLUMNS]
        return pa.schema([*bounds, *inputs, labels.field(self._spec.target.name)])

    def read(self, intervals: Sequence[Interval]) -> Iterator[tuple[IntervalRows, pa.Table]]:
        """Each interval's counts and its labelled rows."""
        for interval in intervals:
            rows = self._rows(interval)
            known = self._labels.read(interval, self._as_of)
            joined = join_labels(
                rows, known, self._spec.source.key, self._spec.target.name, unlabelled=self._unlabelled
            )
            labelled = len(joined) - joined.column(self._spec.target.name).null_count
            share = IntervalRows(
                interval=interval,
                extracted=rows.num_rows,
                labelled=labelled,
                unmatched_labels=known.num_rows - labelled,
                digest=table_digest(rows),
            )
            yield share, with_interval(joined, interval)

    def _rows(self, interval: Interval) -> pa.Table:
        if self._frozen is not None:
            return _as_described(self._frozen[interval], self.inputs.schema, interval, self.inputs.where)
        query = self.inputs.render(interval, interval.end)
        return pa.Table.from_batches(self.inputs.rows(query, interval), schema=self.inputs.schema)


def _told(
    read: Iterator[tuple[IntervalRows, pa.Table]],
    shares: list[IntervalRows],
    total: int,
    name: str,
    say: Ticker,
) -> Iterator[pa.RecordBatch]:
    """Pass on the rows; remember the counts and tell how far we are."""
    for share, table in read:
        shares.append(share)
        say.step(f"{name}: {len(shares)} of {number_of(total, 'interval')} extracted", len(shares), total)
        yield from table.to_batches()


def _as_described(frozen: pa.Table, schema: pa.Schema, interval: Interval, where: str) -> pa.Table:
    """Rows as they were frozen, with the types that the query gives today; no value changes.

    Raises
    ------
    SourceSchemaError
        A column has another type today that does not hold the frozen values, or was not frozen.
    """
    columns = []
    for field in schema:
        if field.name not in frozen.column_names:
            raise SourceSchemaError(
                f"{field.name}: the frozen rows of {interval} lack it",
                where=where,
                expected=", ".join(schema.names),
                examples=frozen.column_names,
                fix="it was declared later: train from intervals scored since (training.intervals)",
                data={"column": field.name, "interval": str(interval)},
            )
        column = frozen.column(field.name)
        numbers = all(
            pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in (column.type, field.type)
        )
        try:
            columns.append(column.cast(field.type) if numbers else column)
        except pa.ArrowInvalid:
            numbers = False
        if not numbers and column.type != field.type:
            raise SourceSchemaError(
                f"{field.name}: frozen as {column.type} in {interval}, the query gives {field.type} today",
                where=where,
                expected="a type that holds every value that was scored",
                fix=f"cast {field.name} in the query to the type it had, or train from later intervals only",
                data={
                    "column": field.name,
                    "interval": str(interval),
                    "frozen": str(column.type),
                    "today": str(field.type),
                },
            )
    return pa.Table.from_arrays(columns, schema=schema)


def _check_intervals(intervals: Sequence[Interval], as_of: datetime) -> None:
    if not intervals:
        raise IntervalError(
            "a training snapshot needs at least one interval",
            expected="intervals that ended by as_of",
            fix="choose a later as_of, or an earlier schedule.start",
        )
    for earlier, later in pairwise(intervals):
        if later.start < earlier.end:
            raise IntervalError(
                f"{later} overlaps {earlier}, or comes before it",
                expected="disjoint intervals in order",
                fix="take them from the model's schedule",
            )
    if intervals[-1].end > as_of:
        raise IntervalError(
            f"{intervals[-1]} ends after as_of {as_of.isoformat()}",
            expected="intervals that ended by as_of: later rows were not known then",
            fix="choose a later as_of, or earlier intervals",
        )


def _nothing_to_learn(
    folder: ModelFolder, shares: list[IntervalRows], as_of: datetime, database: str
) -> EmptyIntervalError:
    extracted = sum(share.extracted for share in shares)
    unmatched = sum(share.unmatched_labels for share in shares)
    return EmptyIntervalError(
        f"{folder.name}: none of {extracted:,} extracted rows has a known label",
        where=f"{shares[0].interval.start.isoformat()} to {shares[-1].interval.end.isoformat()}, "
        f"labels as of {as_of.isoformat()}; {database}",
        expected="labelled rows to learn from",
        fix=f"{number_of(unmatched, 'label was', 'labels were')} found that match no row: do both "
        "queries give the same key?"
        if unmatched
        else "was the source loaded, and is the label's delay over?",
        data={"extracted": extracted, "unmatched_labels": unmatched},
    )
