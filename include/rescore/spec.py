"""What a model folder declares: ``model.yaml`` as typed values.

No file, no database and no wall clock here; :mod:`rescore.spec_file` reads the file and says what is
wrong with it.
"""

from __future__ import annotations

from datetime import MAXYEAR, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from croniter import croniter
from pydantic import BeforeValidator, Field, model_validator

from rescore.declared_values import Declared, Duration, Name, is_zone
from rescore.errors import IntervalError
from rescore.interval import Schedule

__all__ = [
    "DriftSpec",
    "Feature",
    "FeatureKind",
    "ModelSpec",
    "NotifySpec",
]

FeatureKind = Literal["numeric", "categorical", "boolean", "datetime", "text"]
TargetKind = Literal["binary", "multiclass", "regression"]

# Columns that a training snapshot puts in front of the model's own.
_OUR_COLUMNS = {"interval_start", "interval_end"}


class Consumer(Declared):
    """Who reads the scores, by when, and what happens if they are missing."""

    who: str
    by: str = ""
    if_missing: str = ""


class Ready(Declared):
    """How it is known that an interval is fully loaded: SQL that gives one true, or an asset."""

    sql: str | None = None
    asset: str | None = None
    timeout: Duration = timedelta(hours=6)
    poke_interval: Duration = timedelta(minutes=1)

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
    valid_range: tuple[str, str] | None = None

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
    key: list[str] = Field(min_length=1)
    event_time: str = "event_time"
    subject: list[str] = []
    ready: Ready | None = None
    known_by: Annotated[KnownBy, BeforeValidator(_known_by)]
    statement_timeout: Duration = timedelta(minutes=30)
    snapshot_max_age: Duration = timedelta(hours=2)


class Feature(Declared):
    """One input of the model; the order of the list is the order of the matrix.

    Rows without a value of a ``required`` feature are rejected, not scored.
    """

    name: str
    kind: FeatureKind
    required: bool = False
    unit: str = ""
    description: str = ""


class TargetSpec(Declared):
    """What is predicted, and how long after an interval's end it is known.

    ``positive`` is the value whose probability a binary model's score is.
    """

    name: str
    kind: TargetKind
    positive: Any = True
    delay: Duration = timedelta(0)


class OutputSpec(Declared):
    """What consumers read, in their words: a price in dollars, not its log."""

    name: Name = "score"
    unit: str
    meaning: str


class ScheduleSpec(Declared):
    """When runs are due; see :class:`rescore.interval.Schedule`.

    Scores are late if they are not there ``publish_within`` after their interval's end; by default after
    the time that the source may take to be ready (``source.ready.timeout``) and one task may take
    (``airflow.execution_timeout``).
    """

    cron: str
    timezone: str = "UTC"
    start: datetime
    end: datetime | None = None
    empty: Literal["error", "publish"] = "error"
    publish_within: Duration | None = None

    @model_validator(mode="after")
    def _valid(self) -> ScheduleSpec:
        if not is_zone(self.timezone):
            raise ValueError(f"unknown time zone {self.timezone!r}, expected an IANA name")
        if len(self.cron.split()) != 5 or not croniter.is_valid(self.cron):
            raise ValueError(f"{self.cron!r} is not a cron expression of five fields")
        try:
            first, last = self.schedule().first_interval(), self.schedule().last_interval()
        except (IntervalError, OverflowError) as error:
            raise ValueError(
                f"no run of {self.cron!r} is due near its start {self.start} or its end {self.end}: {error}"
            ) from None
        if first is not None and last is not None and last.start < first.start:
            raise ValueError("start and end leave no run between them")
        return self

    def schedule(self) -> Schedule:
        """The schedule as a value; dates without a zone are read in ``timezone``."""
        forever = self.end is not None and self.end.year == MAXYEAR  # as people write "never"
        return _schedule(self.cron, self.timezone, self.start, None if forever else self.end)


@lru_cache(maxsize=1024)  # what a schedule has found out about itself is kept with it
def _schedule(cron: str, timezone: str, start: datetime, end: datetime | None) -> Schedule:
    zone = ZoneInfo(timezone)

    def aware(moment: datetime) -> datetime:
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)

    return Schedule(cron, timezone, aware(start), None if end is None else aware(end))


class TrainingSpec(Declared):
    """From what and how a package is trained; lengths count schedule intervals.

    A package whose labels are older than ``max_age`` is due for retraining, and so is one whose
    realised performance of the last week, in ``promotion.metric``, is worse than
    ``retrain_at``: its whole interval lies beyond.
    """

    intervals: int = Field(ge=1)
    holdout_intervals: int = Field(default=0, ge=0)
    folds: int = Field(default=5, ge=2)
    seed: int = Field(ge=0, lt=2**32)
    hyperparameters: dict[str, Any] = {}
    max_age: Duration | None = None
    retrain_at: float | None = None
    source: Literal["source", "frozen_inputs"] = Field(default="source", alias="from")

    @model_validator(mode="after")
    def _holdout(self) -> TrainingSpec:
        if self.holdout_intervals >= self.intervals:
            raise ValueError("holdout_intervals must be smaller than intervals")
        return self


class ValidationSpec(Declared):
    """How much may be set aside before a run is stopped."""

    max_quarantined_fraction: float = Field(default=0.05, ge=0, le=1)


class DriftSpec(Declared):
    """What counts as drift, how often a false alarm is accepted, and what an alarm does.

    ``false_alarm_rate`` is per window; ``alarms_per_year`` says the same in alarms a year, and takes its
    place. ``effect_floor`` is the smallest effect worth a flag: PSI beyond what the window's size
    explains (.02 is a shift by a seventh of a standard deviation, and .0625 by a quarter). The default
    is none, so that windows alarm as often as declared, however many rows they have.
    ``strata: weekday`` compares windows of weekdays and of weekends with their own kind. ``jointly``
    also compares the features' joint distribution, with a classifier that tells live from training.
    ``on_drift`` happens at the verdict ``acts_on`` and at worse ones, or while an ``alarm`` stands: evidence
    of many windows, under the installation's budget of false alarms. Retraining it asks for begins at
    most once in ``retrain_every``.
    """

    false_alarm_rate: float = Field(default=0.05, gt=0, lt=1)
    alarms_per_year: float | None = Field(default=None, gt=0)
    effect_floor: float = Field(default=0.0, ge=0)
    strata: Literal["none", "weekday"] = "none"
    jointly: bool = False
    on_drift: Literal["nothing", "warn", "hold", "retrain"] = "warn"
    acts_on: Literal["drifted", "consequential", "alarm"] = "drifted"
    retrain_every: Duration = timedelta(days=7)
    on_outage: Literal["stop", "publish_flagged"] = "stop"

    def acts_at(self, verdict: str | None, *, alarm: bool) -> bool:
        """Whether ``on_drift`` happens at this verdict, or with an alarm; an outage is ``on_outage``'s."""
        if self.acts_on == "alarm":
            return alarm and verdict != "outage"
        acting = ("drifted", "consequential")
        return verdict in acting[acting.index(self.acts_on) :]

    @model_validator(mode="after")
    def _one_rate(self) -> DriftSpec:
        if self.alarms_per_year is not None and "false_alarm_rate" in self.model_fields_set:
            raise ValueError("expected one of false_alarm_rate and alarms_per_year, not both")
        return self


class PerformanceSpec(Declared):
    """When realised performance is an alarm: the model's metric over the last week with labels.

    It is ``worse`` when its whole interval lies beyond ``alarm_at``, in the metric's unit. Default: the bound
    that the package's own hold-out and folds give, 95 % of which lies within.
    """

    alarm_at: float | None = None


class PromotionSpec(Declared):
    """When a challenger replaces the champion.

    By rule (``approval: auto``) only if on the same hold-out rows it betters ``metric`` by
    ``smallest_gain`` beyond chance, and no segment loses more than ``largest_segment_loss``. Both are in
    the metric's unit; of ``rmse`` and ``mae`` they are shares of the champion's value.
    """

    metric: str | None = None
    smallest_gain: float = Field(default=0.0, ge=0)
    largest_segment_loss: float = Field(default=0.05, ge=0)
    approval: Literal["required", "auto"] = "required"
    signature: Literal["optional", "required"] = "optional"


class RetentionSpec(Declared):
    """How long things are kept; finite by default."""

    frozen_inputs: Duration = timedelta(days=400)
    superseded_scores: Duration = timedelta(days=400)
    abandoned_runs: Duration = timedelta(days=7)


class NotifySpec(Declared):
    """Who hears of what: an Airflow notifier by its dotted path, its arguments, and the events.

    ``failed``: a task of the model's DAGs failed for good, an outage among them. ``held``: a run waits
    for a person to release it. ``verdict``: published scores drifted as ``drift.acts_on`` says, or
    worse. ``performance``: realised performance is worse than the bound, or labels came that training never
    saw. ``approval``: a package waits for approval.
    """

    notifier: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
    events: list[Literal["failed", "held", "verdict", "performance", "approval"]] = Field(
        default=["failed", "held", "verdict", "performance", "approval"], min_length=1
    )
    arguments: dict[str, Any] = {}


class AirflowSpec(Declared):
    """How the model's tasks run in Airflow, and who is told about them.

    A person who is asked (to approve a package, to release held scores) answers within
    ``answer_within``; no answer is no.
    """

    pool: str = "default_pool"
    queue: str | None = None
    retries: int = Field(default=2, ge=0, le=1_000)
    retry_delay: Duration = timedelta(minutes=1)
    execution_timeout: Duration = timedelta(hours=2)
    tags: list[Annotated[str, Field(max_length=100)]] = []
    max_active_runs: int = Field(default=4, ge=1, le=1_000)
    executor_config: dict[str, Any] = {}
    notify: list[NotifySpec] = []
    answer_within: Duration = timedelta(days=7)


class ModelSpec(Declared):
    """The whole of ``model.yaml``.

    ``segments`` are input columns by whose values performance and promotions are looked at, too.
    """

    name: Name
    version: str = Field(pattern=r"^\d+\.\d+$")
    owner: str = Field(max_length=500)  # Airflow's own tables have room for so much
    description: str = ""
    consumers: list[Consumer] = []
    source: SourceSpec
    features: list[Feature] = Field(min_length=1)
    shared_features: list[str] = []
    segments: list[str] = []
    target: TargetSpec
    output: OutputSpec
    schedule: ScheduleSpec
    training: TrainingSpec
    validation: ValidationSpec = ValidationSpec()
    drift: DriftSpec = DriftSpec()
    performance: PerformanceSpec = PerformanceSpec()
    promotion: PromotionSpec = PromotionSpec()
    retention: RetentionSpec = RetentionSpec()
    airflow: AirflowSpec = AirflowSpec()

    @model_validator(mode="after")
    def _distinct(self) -> ModelSpec:
        for name in self.feature_names:
            if self.feature_names.count(name) > 1:
                raise ValueError(f"feature {name!r} is declared twice")
        if len(set(self.source.key)) != len(self.source.key):
            raise ValueError("source.key names a column twice")
        if self.target.name in self.input_columns:
            raise ValueError(f"target {self.target.name!r} is also an input column: that is a leak")
        for name in sorted(_OUR_COLUMNS & {*self.input_columns, self.target.name}):
            raise ValueError(f"{name!r} is a name of our own: a training snapshot has that column")
        unknown = [name for name in self.segments if name not in self.input_columns]
        if unknown:
            raise ValueError(f"segments: {unknown[0]!r} is no feature, key or subject of the model")
        if self.training.source == "source" and not self.source.known_by.reproducible_from_source:
            raise ValueError(
                "known_by: none can't be trained from the source; set training.from: frozen_inputs"
            )
        return self

    @property
    def publish_within(self) -> timedelta:
        """How long after its interval's end scores may come; see :class:`ScheduleSpec`."""
        if self.schedule.publish_within is not None:
            return self.schedule.publish_within
        ready = timedelta(0) if self.source.ready is None else self.source.ready.timeout
        return ready + self.airflow.execution_timeout

    @property
    def asks_for_retraining(self) -> bool:
        """Whether the model declares a reason for which it is trained again without a person."""
        training = self.training
        return (
            self.drift.on_drift == "retrain"
            or training.max_age is not None
            or training.retrain_at is not None
        )

    @property
    def feature_names(self) -> list[str]:
        """The features in the order of the matrix."""
        return [feature.name for feature in self.features]

    @property
    def input_columns(self) -> list[str]:
        """Every column of an extract, in order: key, event time, subject, features; each once."""
        names = [*self.source.key, self.source.event_time, *self.source.subject, *self.feature_names]
        return list(dict.fromkeys(names))
