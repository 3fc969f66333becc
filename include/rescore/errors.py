"""The error tree. Every error says what, where, what was expected and what to do.

::

    RescoreError
    ├── ConfigError               what people declared is wrong
    │   ├── SettingsError         an environment variable or a connection
    │   ├── UnknownModelError     no such model folder
    │   ├── SpecError             model.yaml, extract.sql, labels.sql, pipeline.py, expectations.py
    │   └── ParameterError        a trigger's Param or a command's option
    ├── IntervalError             not one of the schedule's, in the future, no zone
    ├── SourceError               what the source database gave
    │   ├── SourceNotReadyError   (retryable) the interval is not fully loaded
    │   ├── SourceUnavailableError (retryable) the database is down or refuses us
    │   ├── SourceQueryError      the database refused the SQL
    │   ├── SourceSchemaError     a column is missing, or of another type
    │   ├── SourceKeyError        a duplicate or NULL key
    │   ├── SourceEventTimeError  a NULL event_time, or one outside the interval
    │   └── EmptyIntervalError    no row at all
    ├── ValidationError           a critical expectation failed, or too many rows were quarantined
    ├── ModelError                training, packaging, prediction
    │   ├── TrainingError         the pipeline cannot be fitted
    │   ├── UnseededEstimatorError  random_state=None somewhere in it
    │   ├── RefusedTypeError      a type outside the package's allow-list, a lambda
    │   └── NotDeterministicError two trainings of the same inputs differ
    ├── IntegrityError            fails closed; nobody can override it
    │   ├── DigestMismatchError   a file or a table is not what was recorded
    │   ├── MetricMismatchError   a package does not reproduce its recorded metrics
    │   ├── EnvironmentMismatchError  built with other library versions
    │   ├── GoldenRowError        a loaded package does not give its golden scores
    │   ├── SignatureError        a required signature is missing, or does not hold
    │   ├── RowAccountingError    extracted != scored + quarantined + rejected
    │   └── UndigestibleError     a type or a value that has no canonical form
    ├── DocumentError             a stored document of a later format, or not what its class says
    ├── DriftError                the reference can't carry the declared rate, or does not fit
    ├── OutageError               live features are missing or constant: nothing is published
    ├── HeldError                 publication waits for a person, as the model declares
    ├── FourEyesError             who trained a package would approve it, too
    ├── StoreError                our own tables
    │   ├── StoreUnavailableError (retryable) the database is down or refuses us
    │   ├── StoreSchemaError      not migrated, or newer than this code
    │   ├── NotFoundError         no such run, package or pin
    │   ├── KeptError             what retention would delete is held or in use
    │   ├── StaleFenceError       another attempt claimed this interval later
    │   └── OverlapError          the interval overlaps a published one of other bounds
    ├── DiskFullError             (retryable) a disk has no room for a run's files
    └── LocalStackError           the local Postgres or Airflow did not start
        └── AirflowRequestError   the local Airflow refuses a request, or does not answer

An error carries data, so that a page or a script can show it; ``str(error)`` is the whole
message for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from rescore.shown_text import shown

__all__ = [
    "AirflowRequestError",
    "ConfigError",
    "DigestMismatchError",
    "DiskFullError",
    "DocumentError",
    "DriftError",
    "EmptyIntervalError",
    "EnvironmentMismatchError",
    "FourEyesError",
    "GoldenRowError",
    "HeldError",
    "IntegrityError",
    "IntervalError",
    "KeptError",
    "LocalStackError",
    "MetricMismatchError",
    "ModelError",
    "NotDeterministicError",
    "NotFoundError",
    "OutageError",
    "OverlapError",
    "ParameterError",
    "RefusedTypeError",
    "RescoreError",
    "RowAccountingError",
    "SettingsError",
    "SignatureError",
    "SourceError",
    "SourceEventTimeError",
    "SourceKeyError",
    "SourceNotReadyError",
    "SourceQueryError",
    "SourceSchemaError",
    "SourceUnavailableError",
    "SpecError",
    "StaleFenceError",
    "StoreError",
    "StoreSchemaError",
    "StoreUnavailableError",
    "TrainingError",
    "UndigestibleError",
    "UnknownModelError",
    "UnseededEstimatorError",
    "ValidationError",
]

#: How many examples an error shows; the rest is counted.
MAX_EXAMPLES = 5


class RescoreError(Exception):
    """An error that names the thing, the place, what was expected and what to do.

    Its texts quote what is wrong, which anybody may have written, so they are made fit to be shown: controls
    and changes of direction are escaped, and of 4,000 characters and more the middle is left out.

    Parameters
    ----------
    what : str
        What is wrong, in one sentence.
    where : str, optional
        The file, key, table, interval or package it is wrong in.
    expected : str, optional
        What was expected instead.
    fix : str, optional
        What a person can do.
    examples : iterable of str, optional
        Offending items; at most five are shown, the rest is counted.
    data : mapping, optional
        Anything a script may want, JSON-serialisable.
    """

    #: Whether trying again later, with nothing changed by a person, can help.
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        fix: str | None = None,
        examples: Iterable[str] = (),
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self.what = shown(what)
        self.where = None if where is None else shown(where)
        self.expected = None if expected is None else shown(expected)
        self.fix = None if fix is None else shown(fix)
        self.examples = tuple(map(shown, examples))
        self.data: dict[str, Any] = dict(data or {})
        super().__init__(self.what)

    def __str__(self) -> str:
        return self.without_fix + (f"\n  fix:      {self.fix}" if self.fix else "")

    @property
    def without_fix(self) -> str:
        """The error's text but for its fix, where that is shown in a place of its own."""
        lines = [self.what]
        if self.where:
            lines.append(f"  where:    {self.where}")
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.examples:
            shown = list(self.examples[:MAX_EXAMPLES])
            more = len(self.examples) - len(shown)
            if more:
                shown.append(f"and {more:,} more")
            lines.append("  examples: " + "; ".join(shown))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """What a child interpreter says of it, from which its parent makes it again."""
        return {
            "type": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "expected": self.expected,
            "fix": self.fix,
            "examples": list(self.examples),
            "data": self.data,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.__dict__.copy()))


def _rebuild(cls: type[RescoreError], state: dict[str, Any]) -> RescoreError:
    error = cls.__new__(cls)
    Exception.__init__(error, state["what"])
    error.__dict__.update(state)
    return error


class ConfigError(RescoreError):
    """What people declared is wrong."""


class SettingsError(ConfigError):
    """An environment variable or a connection is missing or wrong."""


class UnknownModelError(ConfigError):
    """There is no folder of that name among the models."""


class SpecError(ConfigError):
    """A file of a model folder is wrong."""


class ParameterError(ConfigError):
    """A trigger's Param or a command's option is unknown or wrong."""


class IntervalError(RescoreError):
    """An interval is not one of the schedule's, lies in the future, or has no zone."""


class SourceError(RescoreError):
    """The source database gave something that can't be used."""


class SourceNotReadyError(SourceError):
    """The interval is not fully loaded yet."""

    retryable = True


class SourceUnavailableError(SourceError):
    """The source database is down, or refuses us."""

    retryable = True


class SourceQueryError(SourceError):
    """The source database refused the SQL."""


class SourceSchemaError(SourceError):
    """A column is missing, or of a type that is not the declared one."""


class SourceKeyError(SourceError):
    """A key is NULL, or occurs twice within an interval."""


class SourceEventTimeError(SourceError):
    """An event_time is NULL or lies outside the interval."""


class EmptyIntervalError(SourceError):
    """The extract gave no row, and the model does not publish empty intervals."""


class ValidationError(RescoreError):
    """A critical expectation failed, or more rows were quarantined than declared."""


class ModelError(RescoreError):
    """Training, packaging or prediction failed."""


class TrainingError(ModelError):
    """The pipeline cannot be built or fitted."""


class UnseededEstimatorError(ModelError):
    """An estimator in the pipeline has random_state=None."""


class RefusedTypeError(ModelError):
    """The pipeline holds a type outside the package's allow-list, or a lambda."""


class NotDeterministicError(ModelError):
    """Two trainings from the same inputs gave different bytes."""


class IntegrityError(RescoreError):
    """Something is not what was recorded; nothing is written, nobody can override it."""


class DigestMismatchError(IntegrityError):
    """A file or a table is not what was recorded."""


class MetricMismatchError(IntegrityError):
    """A recorded metric is not what the package gives on the snapshot it was measured on."""


class EnvironmentMismatchError(IntegrityError):
    """A package was built with other library versions than those at hand."""


class GoldenRowError(IntegrityError):
    """A loaded package does not give its golden scores."""


class SignatureError(IntegrityError):
    """A package's signature is missing, of another key, or not over this file."""


class RowAccountingError(IntegrityError):
    """The rows extracted are not the sum of those scored, quarantined and rejected."""


class UndigestibleError(IntegrityError):
    """A column's type, or a value in it, has no canonical form to digest."""


class DocumentError(RescoreError):
    """A stored document can't be read: of a later format, or not what its class says."""


class DriftError(RescoreError):
    """The reference can't carry the declared false-alarm rate, or does not fit the data."""


class OutageError(RescoreError):
    """Live features are missing or constant as never in training; nothing is published."""


class HeldError(RescoreError):
    """The verdict holds the publication, as the model declares, until a person releases it."""


class FourEyesError(RescoreError):
    """A model declares four eyes, and its package has no second person who approves it."""


class StoreError(RescoreError):
    """Our own tables are missing, unreachable or say no."""


class StoreUnavailableError(StoreError):
    """The store's database is down, or refuses us."""

    retryable = True


class StoreSchemaError(StoreError):
    """The store is not migrated, or newer than this code."""


class NotFoundError(StoreError):
    """No such run, package or pin."""


class KeptError(StoreError):
    """What retention would delete is needed, under a legal hold, or in use again."""


class StaleFenceError(StoreError):
    """Another attempt claimed this interval later; this one must not publish."""


class OverlapError(StoreError):
    """The interval overlaps a published one of other bounds: the schedule was another one then."""


class DiskFullError(RescoreError):
    """A disk has no room for the files of a run; the error names the folder and what is free."""

    retryable = True


class LocalStackError(RescoreError):
    """The local Postgres or the local Airflow did not start."""


class AirflowRequestError(LocalStackError):
    """The local Airflow refuses a request, or does not answer."""
