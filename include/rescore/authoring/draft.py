"""What is decided about a model folder before it is written, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rescore.authoring.column_roles import Drafted
from rescore.source import TableFacts

__all__ = ["Draft", "LabelTable", "Rhythm"]


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
class LabelTable:
    """Another table that holds the labels, and the condition under which its row ``l`` was known."""

    table: TableFacts
    known_sql: str | None


@dataclass(frozen=True)
class Draft:
    """All that was decided about a model folder, and on what grounds.

    Attributes
    ----------
    event_time : str or None
        SQL of the moment a row is about; None where no column tells it: each run then scores all rows.
    without_event : int
        Rows that have no such moment, and so are in no interval.
    known_by : tuple of str
        The column, or the two of a valid range; empty for ``none``.
    versions : bool
        Whether a key has several rows, of which the last one known counts.
    labels : LabelTable or None
        Where the labels are, if not in the same row.
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
    without_event: int
    known_by: tuple[str, ...]
    known_sql: str | None
    versions: bool
    features: Sequence[Drafted]
    target: Drafted
    target_kind: str
    positive: str | None
    labels: LabelTable | None
    rhythm: Rhythm
    left_out: Sequence[tuple[str, str]]
    decide: Sequence[str]
    last_event: datetime | None

    @property
    def meaning(self) -> str:
        """What consumers read."""
        if self.target_kind == "regression":
            return f"expected {self.target.name}"
        if self.target_kind == "multiclass":
            return f"how sure the model is of the {self.target.name} it names"
        return f"probability that {self.target.name} is {(self.positive or '').strip(chr(39))}"
