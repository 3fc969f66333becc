"""Late commits: what the same extraction, as of the same moment, gives today.

A row whose ``recorded_at`` lies before ``as_of`` but that was committed after the extraction (a slow
writer, a rewritten row, a clock that lies) is in today's answer and was not in that of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.digest import TableDigest, table_digest
from rescore.errors import MAX_EXAMPLES
from rescore.folder import ModelFolder
from rescore.interval import Interval, parse_moment
from rescore.progress import Progress, Ticker
from rescore.shown_text import number_of
from rescore.source.extraction import InputQuery
from rescore.source.labelling import joinable, match_keys
from rescore.source.row_laws import key_text
from rescore.source.session import Session

__all__ = ["LateCommits", "known_later"]


@dataclass(frozen=True)
class LateCommits:
    """How today's answer differs from the frozen one, for the same interval and the same moment.

    Attributes
    ----------
    then, now : TableDigest
        Of the frozen rows; of what the source gives today.
    added, removed, changed : int
        Rows only there today; only there then; there in both with other values.
    changed_columns : tuple of str
        Columns in which they differ.
    examples : tuple of str
        Some of the keys.
    """

    then: TableDigest
    now: TableDigest
    added: int
    removed: int
    changed: int
    changed_columns: tuple[str, ...]
    examples: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the source still gives the same rows."""
        return self.then.root == self.now.root


def known_later(
    url: str,
    folder: ModelFolder,
    interval: Interval,
    as_of: datetime,
    frozen: pa.Table,
    *,
    progress: Progress | None = None,
) -> LateCommits:
    """Extract again, as of the same moment, and count what became visible since.

    Parameters
    ----------
    url : str
        The source database.
    folder : ModelFolder
        The model.
    interval : Interval
        What was extracted.
    as_of : datetime
        The moment it was extracted as of.
    frozen : pyarrow.Table
        What it gave then, read by ``read_frozen``.
    progress : callable, optional
        Receives a line about every 2 seconds.

    Raises
    ------
    SourceError, SpecError, SettingsError
        As :func:`rescore.source.extract`; an empty interval is no error.
    """
    say = Ticker(progress)
    with Session(url, folder.spec.source) as session:
        inputs = InputQuery(session, folder)
        query = inputs.render(interval, parse_moment(as_of, name="as_of"))
        batches = []
        for batch in inputs.rows(query, interval):
            batches.append(batch)
            say.now_and_then(
                f"{folder.name}: {number_of(sum(b.num_rows for b in batches), 'row')} extracted again"
            )
    return compare(frozen, pa.Table.from_batches(batches, schema=inputs.schema), folder.spec.source.key)


def compare(then: pa.Table, now: pa.Table, key: list[str]) -> LateCommits:
    """Count rows added, removed and changed between two extractions, by key."""
    digests = table_digest(then), table_digest(now)
    if digests[0].root == digests[1].root:
        return LateCommits(*digests, 0, 0, 0, (), ())
    if not _one_key(then, now, key):
        examples = _named("added", now, key, np.arange(now.num_rows))
        return LateCommits(*digests, now.num_rows, then.num_rows, 0, (), tuple(examples))
    old, new = match_keys(then.select(key), now.select(key))
    differing = np.zeros(len(old), dtype=bool)
    columns = []
    for name in now.column_names:
        differs = (
            _differs(then.column(name).take(pa.array(old)), now.column(name).take(pa.array(new)))
            if name in then.column_names
            else np.ones(len(old), dtype=bool)
        )
        if differs.any():
            columns.append(name)
            differing |= differs
    added = np.setdiff1d(np.arange(now.num_rows), new)
    removed = np.setdiff1d(np.arange(then.num_rows), old)
    return LateCommits(
        *digests,
        added=len(added),
        removed=len(removed),
        changed=int(differing.sum()),
        changed_columns=tuple(columns),
        examples=(
            *_named("added", now, key, added),
            *_named("removed", then, key, removed),
            *_named("changed", then, key, old[differing]),
        ),
    )


def _one_key(then: pa.Table, now: pa.Table, key: list[str]) -> bool:
    """Whether both have the key, in types that compare: of another key every row is another one."""
    return all(
        name in then.column_names and joinable(then.schema.field(name).type, now.schema.field(name).type)
        for name in key
    )


def _differs(left: pa.ChunkedArray, right: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where two columns differ: NULL equals NULL, NaN equals NaN, -0.0 is not 0.0."""
    if left.type != right.type:
        return np.ones(len(left), dtype=bool)
    left, right = left.combine_chunks(), right.combine_chunks()
    nan = pa.array(np.zeros(len(left), dtype=bool))
    if pa.types.is_floating(left.type):
        nan = pc.and_(pc.is_nan(left), pc.is_nan(right)).fill_null(False)
        left, right = left.view(pa.int64()), right.view(pa.int64())
    same = pc.or_(pc.equal(left, right).fill_null(False), nan)
    same = pc.or_(same, pc.and_(left.is_null(), right.is_null()))
    flags: np.ndarray[Any, np.dtype[np.bool_]] = pc.invert(same).to_numpy(zero_copy_only=False)
    return flags


def _named(what: str, table: pa.Table, key: list[str], positions: np.ndarray[Any, Any]) -> list[str]:
    if len(positions) == 0:
        return []
    rows = table.select(key).take(pa.array(positions[:MAX_EXAMPLES])).combine_chunks().to_batches()
    return [f"{what} {text}" for text in key_text(rows[0], np.arange(rows[0].num_rows))]
