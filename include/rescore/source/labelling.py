"""What became of the rows: the target per key, as known by some later moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from rescore.errors import IntervalError
from rescore.folder import ModelFolder
from rescore.interval import Interval, parse_moment
from rescore.progress import Progress, Ticker
from rescore.shown_text import number_of
from rescore.source.clock_and_chance import refuse_volatile
from rescore.source.columns import check_columns, label_types
from rescore.source.extraction import conform, ordered
from rescore.source.moments_from_text import TextCasts
from rescore.source.query import Rendered, render
from rescore.source.row_laws import RowLaws
from rescore.source.session import Column, Session

__all__ = [
    "INTERVAL_COLUMNS",
    "INTERVAL_TYPE",
    "LabelQuery",
    "join_labels",
    "joinable",
    "labels",
    "match_keys",
    "with_interval",
]

#: The columns that say which interval a row belongs to, and their type.
INTERVAL_COLUMNS = ("interval_start", "interval_end")
INTERVAL_TYPE = pa.timestamp("us", tz="UTC")


class LabelQuery:
    """A model's ``labels.sql`` within one session: described once, then run for each interval."""

    def __init__(self, session: Session, folder: ModelFolder) -> None:
        self._session = session
        self._folder = folder
        self.where = str(folder.path / "labels.sql")
        self._columns: list[Column] = []
        self._casts = TextCasts()
        self.schema = pa.schema([])

    def render(self, interval: Interval, as_of: datetime) -> Rendered:
        """The query for one interval; the first call compares its columns with the declared ones."""
        query = render(self._folder.labels_sql, interval, as_of, where=self.where)
        if not self._columns:
            self._columns = self._session.describe(query)
            self._casts = refuse_volatile(self._session, query)
            self.schema = check_columns(self._columns, label_types(self._folder.spec), where=self.where)
        return query

    def read(self, interval: Interval, as_of: datetime) -> pa.Table:
        """The known labels of an interval's rows, ordered by key; unknown ones are left out.

        Raises
        ------
        SourceError, SpecError
            As for an extract; a key that occurs twice too.
        """
        spec = self._folder.spec
        query = self.render(interval, as_of)
        sql = ordered(self._casts.guard(query.text), self._columns, self.schema.names, spec.source.key)
        laws = RowLaws(spec.source.key, interval, where=self.where)
        batches = []
        for batch in self._session.rows(sql, query):
            laws.check(batch)
            batches.append(conform(batch, self.schema, self.where))
        table = pa.Table.from_batches(batches, schema=self.schema)
        return table.filter(table.column(spec.target.name).is_valid())


def labels(
    url: str,
    folder: ModelFolder,
    intervals: Sequence[Interval],
    as_of: datetime,
    *,
    progress: Progress | None = None,
) -> pa.Table:
    """The labels known by ``as_of`` of the rows of some intervals.

    Returns
    -------
    pyarrow.Table
        ``interval_start``, ``interval_end``, the key columns and the target; ordered by interval,
        then key. A key is unique only within an interval, hence the first two. Rows whose label is
        not known are left out.

    Raises
    ------
    SourceError, SpecError, SettingsError
        As :func:`rescore.source.extract`, about ``labels.sql``.
    """
    as_of = parse_moment(as_of, name="as_of")
    if not intervals:
        raise IntervalError("labels of no interval were asked for", expected="at least one interval")
    say = Ticker(progress)
    tables = []
    with Session(url, folder.spec.source) as session:
        query = LabelQuery(session, folder)
        for done, interval in enumerate(sorted(intervals), start=1):
            tables.append(with_interval(query.read(interval, as_of), interval))
            total = len(intervals)
            say.step(f"{folder.name}: labels of {done} of {number_of(total, 'interval')} read", done, total)
    return pa.concat_tables(tables)


def with_interval(table: pa.Table, interval: Interval) -> pa.Table:
    """Put the interval's bounds in front of its rows."""
    bounds = (interval.start, interval.end)
    for position, (name, bound) in enumerate(zip(INTERVAL_COLUMNS, bounds, strict=True)):
        column = pa.repeat(pa.scalar(bound, INTERVAL_TYPE), table.num_rows)
        table = table.add_column(position, pa.field(name, INTERVAL_TYPE), column)
    return table


def join_labels(
    rows: pa.Table, known: pa.Table, key: Sequence[str], target: str, *, unlabelled: bool = False
) -> pa.Table:
    """Keep the rows with a known label, in their order, and append it; keys are unique on both sides.

    With ``unlabelled`` the others are kept too, their label NULL.
    """
    positions, matches = match_keys(rows.select(key), known.select(key))
    if unlabelled:
        at = np.full(rows.num_rows, -1, dtype=np.int64)
        at[positions] = matches
        label = known.column(target).take(pa.array(at, mask=at < 0))
        return rows.append_column(known.schema.field(target).with_nullable(True), label)
    label = known.column(target).take(pa.array(matches))
    return rows.take(pa.array(positions)).append_column(known.schema.field(target), label)


def match_keys(
    left: pa.Table, right: pa.Table
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Row positions of the keys that both tables have.

    Parameters
    ----------
    left, right : pyarrow.Table
        Columns of keys alone, of the same names; no key occurs twice in a table.

    Returns
    -------
    tuple of (ndarray of int64, ndarray of int64), each of shape (n_matches,)
        Positions in ``left``, ascending, and those of the same keys in ``right``.
    """
    left, right = _comparable(left), _comparable(right)
    names = left.column_names
    left = left.append_column("left", pa.array(np.arange(left.num_rows)))
    right = right.append_column("right", pa.array(np.arange(right.num_rows)))
    both = left.join(right, keys=names, join_type="inner")  # in no order
    positions, matches = both.column("left").to_numpy(), both.column("right").to_numpy()
    order = np.argsort(positions)
    return positions[order], matches[order]


def joinable(left: pa.DataType, right: pa.DataType) -> bool:
    """Whether keys of these types can be compared: integers of any width can."""
    return bool(left == right or (pa.types.is_integer(left) and pa.types.is_integer(right)))


def _comparable(keys: pa.Table) -> pa.Table:
    """Integers of one width, and names that meet no other column's."""
    fields = [
        pa.field(f"key {position}", pa.int64() if pa.types.is_integer(kind) else kind)
        for position, kind in enumerate(keys.schema.types)
    ]
    return keys.rename_columns([field.name for field in fields]).cast(pa.schema(fields))
