"""What is decided about a model folder before it is written, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rescore.authoring.column_roles import Drafted
from rescore.source import TableFacts

__all__ = ["Draft", "Rhythm"]


@dataclass(frozen=True)
class Rhythm:
    """How rows are cut into intervals: a cron, its first run, how many intervals train."""

    cron: str
    words: str
    start: datetime
    intervals: int
    holdout: int
    gaps: bool


@dataclass(frozen=True)
class Draft:
    """All that was decided about a model folder, and on what grounds.

    Attributes
    ----------
    event_time : str or None
        SQL of the moment a row is about; None where no column tells it: each run then scores all rows.
    known_by : tuple of str
        The column, or the two of a valid range; empty for ``none``.
    versions : bool
        Whether a key has several rows, of which the last one known counts.
    left_out : sequence of (str, str)
        Columns that are no feature, and why.
    decide : sequence of str
        What a person has to look at.
    """

    name: str
    connection: str
    table: TableFacts
    key: Sequence[Drafted]
    event_time: str | None
    event_column: str | None
    known_by: tuple[str, ...]
    known_sql: str | None
    versions: bool
    features: Sequence[Drafted]
    target: Drafted
    target_kind: str
    positive: str | None
    rhythm: Rhythm
    left_out: Sequence[tuple[str, str]]
    decide: Sequence[str]
    last_event: datetime | None
