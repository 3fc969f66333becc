"""What a model declares of the rows it scores: source, features, target, output, and who reads it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from rescore.spec_values import Declared, Duration, Name

__all__ = [
    "Consumer",
    "Feature",
    "FeatureKind",
    "KnownBy",
    "OutputSpec",
    "Ready",
    "SourceSpec",
    "TargetSpec",
]

FeatureKind = Literal["numeric", "categorical", "boolean", "datetime", "text"]
TargetKind = Literal["binary", "multiclass", "regression"]


class Consumer(Declared):
    """Who reads the scores, by when, and what happens if they are missing."""

    who: str
    """The team or the system."""
    by: str = ""
    """By when it reads, in words."""
    if_missing: str = ""
    """What it does without scores, in words."""


class Ready(Declared):
    """How it is known that an interval is fully loaded: SQL that gives one true, or an asset."""

    sql: str | None = None
    """A query that gives one true as soon as the interval is loaded."""
    asset: str | None = None
    """An Airflow asset whose event says so."""
    timeout: Duration = timedelta(hours=6)
    """How long a run waits for it."""
    poke_interval: Duration = timedelta(minutes=1)
    """How often it asks."""

    @model_validator(mode="after")
    def _one(self) -> Ready:
        if (self.sql is None) == (self.asset is None):
            raise ValueError("expected exactly one of sql and asset")
        return self


class KnownBy(Declared):
    """Which rows were known at a past moment.

    Exactly one of ``column`` (append-only or versioned rows) and ``valid_range`` (snapshots with
    valid_from and valid_to); neither, written ``known_by: none``, says that history can't be
    extracted again.
    """

    column: str | None = None
    """The column that says when a row was recorded."""
    valid_range: tuple[str, str] | None = None
    """The two columns between which a version of a row was valid."""

    @model_validator(mode="after")
    def _at_most_one(self) -> KnownBy:
        if self.column is not None and self.valid_range is not None:
            raise ValueError("expected one of column and valid_range, not both")
        return self

    @property
    def reproducible_from_source(self) -> bool:
        """Whether the source can show what was known at a past moment."""
        return self.column is not None or self.valid_range is not None


def _known_by(value: Any) -> Any:
    return {} if value == "none" else value


class SourceSpec(Declared):
    """Where rows come from and what identifies them."""

    connection: str
    """The connection id: ``RESCORE_CONNECTION_<ID>``, or an Airflow connection."""
    key: list[str] = Field(min_length=1)
    """The columns that identify a row within an interval; a duplicate or a NULL is an error."""
    event_time: str = "event_time"
    """The column that says when a row is about; it has to lie in the interval."""
    subject: list[str] = []
    """The columns that say whose data a row is."""
    ready: Ready | None = None
    """How it is known that an interval is loaded; scoring waits for it. None: it does not wait."""
    known_by: Annotated[KnownBy, BeforeValidator(_known_by)]
    """How the source tells what was known at a past moment, or ``none``."""
    statement_timeout: Duration = timedelta(minutes=30)
    """After what time the database gives up a query."""
    snapshot_max_age: Duration = timedelta(hours=2)
    """After what time an extraction ends that still reads."""

    @property
    def row_columns(self) -> list[str]:
        """What scores stand beside: the key and the event time, which may be part of it; each once."""
        return list(dict.fromkeys([*self.key, self.event_time]))


class Feature(Declared):
    """One input of the model; the order of the list is the order of the matrix.

    Rows without a value of a ``required`` feature are rejected, not scored.
    """

    name: str
    """The column of ``extract.sql``."""
    kind: FeatureKind
    """What its values are."""
    required: bool = False
    """Whether rows without a value are rejected."""
    unit: str = ""
    """What a number counts, in words."""
    description: str = ""
    """What it is, in words."""


class TargetSpec(Declared):
    """What is predicted, and how long after an interval's end it is known.

    ``positive`` is the value whose probability a binary model's score is.
    """

    name: str
    """The column of ``labels.sql``."""
    kind: TargetKind
    """What is predicted."""
    positive: Any = True
    """The value whose probability a binary model's score is."""
    delay: Duration = timedelta(0)
    """How long after an interval's end all its labels are known."""


def _class_text(value: Any) -> Any:
    """A class as labels are written: YAML reads ``0`` and ``yes`` as a number and a boolean."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


class OutputSpec(Declared):
    """What consumers read, in their words: a price in dollars, not its log.

    ``probabilities`` publishes, beside the score, how probable a multiclass model finds each class. It names
    every class, and is part of the contract with consumers: the columns of a model do not change.
    """

    name: Name = "score"
    """What the score is called."""
    unit: str
    """What a number counts, in words."""
    meaning: str
    """What it says, in words: the comment on the column ``score``."""
    probabilities: dict[Annotated[str, BeforeValidator(_class_text)], Name] = {}
    """Class to the column of its probability: all of a multiclass model's, or none."""
