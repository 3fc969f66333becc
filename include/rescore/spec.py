"""What a model folder declares: ``model.yaml`` as typed values.

No file, no database and no wall clock here; :mod:`rescore.folder_files` reads the file and says what is
wrong with it.
"""

from __future__ import annotations

from datetime import MAXYEAR, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from rescore.errors import IntervalError
from rescore.interval import Schedule
from rescore.spec_rows import Consumer, Feature, FeatureKind, OutputSpec, Ready, SourceSpec, TargetSpec
from rescore.spec_values import Declared, Duration, Moment, Name, is_cron, is_zone

__all__ = [
    "DriftSpec",
    "Feature",
    "FeatureKind",
    "ModelSpec",
    "NotifySpec",
    "Ready",
    "SourceSpec",
]

# Columns that a training snapshot puts in front of the model's own.
_OUR_COLUMNS = {"interval_start", "interval_end"}


class ScheduleSpec(Declared):
    """When runs are due; see :class:`rescore.interval.Schedule`.

    Scores are late if they are not there ``publish_within`` after their interval's end; by default after
    the time that the source may take to be ready (``source.ready.timeout``) and one task may take
    (``airflow.execution_timeout``).
    """

    cron: str
    """When runs are due: a cron expression of five fields."""
    timezone: str = "UTC"
    """The IANA time zone in which it is read."""
    start: Moment
    """The first moment at which a run may be due."""
    end: Moment | None = None
    """The last one. None: for ever."""
    empty: Literal["error", "publish"] = "error"
    """Whether an interval without rows is an error, or published as empty."""
    publish_within: Duration | None = None
    """How long after an interval's end its scores may come. None: see above."""

    @model_validator(mode="after")
    def _valid(self) -> ScheduleSpec:
        if not is_zone(self.timezone):
            raise ValueError(f"unknown time zone {self.timezone!r}, expected an IANA name")
        if not is_cron(self.cron):
            raise ValueError(
                f"{self.cron!r} is not a cron expression of five fields, with no R or H, which are chance"
            )
        try:
            first, last = self.schedule().first_interval(), self.schedule().last_interval()
        except (IntervalError, OverflowError) as error:
            bounds = f"start {self.start}" + (f" or its end {self.end}" if self.end else "")
            said = error.what if isinstance(error, IntervalError) else error
            raise ValueError(
                f"no run of {self.cron!r} is due near its {bounds}: {said}; name days well within the years "
                "1 to 9999, and a cron expression that comes round"
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
    ``retrain_at``: its whole 95 % confidence interval lies beyond.
    """

    intervals: int = Field(ge=1)
    """How many intervals a package is trained on, hold-out included."""
    holdout_intervals: int = Field(default=0, ge=0)
    """How many of them, the last, are kept for measuring."""
    folds: int = Field(default=5, ge=2)
    """In how many parts cross-validation cuts the intervals before the hold-out."""
    seed: int = Field(ge=0, lt=2**32)
    """What every estimator draws from."""
    hyperparameters: dict[str, Any] = {}
    """What ``build`` in ``pipeline.py`` is given."""
    max_age: Duration | None = None
    """How old the labels of a package may become. None: as old as they like."""
    retrain_at: float | None = None
    """The value of the metric that asks for retraining, in the metric's unit. None: no value does."""
    source: Literal["source", "frozen_inputs"] = Field(default="source", alias="from")
    """Rows read again as they were known, or the rows that runs froze."""

    @model_validator(mode="after")
    def _holdout(self) -> TrainingSpec:
        if self.holdout_intervals >= self.intervals:
            raise ValueError("holdout_intervals must be smaller than intervals")
        return self


class ScoringSpec(Declared):
    """How the rows of an interval are scored.

    With ``shard_rows`` an interval is scored in shards of about so many rows, at most 128: tasks of their
    own in Airflow, which run on any worker and are tried again one by one. The scores do not depend on it.
    """

    shard_rows: int | None = Field(default=None, ge=65_536)  # one leaf of a digest
    """How many rows one task scores, 65,536 or more. None: all of an interval's."""


class ValidationSpec(Declared):
    """How much may be set aside before a run is stopped."""

    max_quarantined_fraction: float = Field(default=0.05, ge=0, le=1)
    """The largest share of rows that may be set aside, 0 to 1; more stop the run."""


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
    """How often a window without drift is flagged all the same, 0 to 1."""
    alarms_per_year: float | None = Field(default=None, gt=0)
    """The same in alarms a year. None: as ``false_alarm_rate`` says."""
    effect_floor: float = Field(default=0.0, ge=0)
    """The smallest effect worth a flag, in PSI."""
    strata: Literal["none", "weekday"] = "none"
    """Whether weekdays and weekends are compared apart."""
    jointly: bool = False
    """Whether the features' joint distribution is compared, too."""
    on_drift: Literal["nothing", "warn", "hold", "retrain"] = "warn"
    """What happens at a verdict or alarm that ``acts_on`` names."""
    acts_on: Literal["drifted", "consequential", "alarm"] = "drifted"
    """The mildest verdict at which ``on_drift`` acts; ``alarm``: it acts only while an alarm stands."""
    retrain_every: Duration = timedelta(days=7)
    """The shortest time between two retrainings that are asked for."""
    on_outage: Literal["stop", "publish_flagged"] = "stop"
    """Whether an outage stops the run or is published with a flag."""

    def acts_at(self, verdict: str | None, *, alarm: bool) -> bool:
        """Whether ``on_drift`` asks for anything at this verdict or alarm; an outage is ``on_outage``'s."""
        if self.on_drift == "nothing" or verdict == "outage":
            return False
        if self.acts_on == "alarm":
            return alarm
        acting = ("drifted", "consequential")
        return verdict in acting[acting.index(self.acts_on) :]

    @model_validator(mode="after")
    def _one_rate(self) -> DriftSpec:
        if self.alarms_per_year is not None and "false_alarm_rate" in self.model_fields_set:
            raise ValueError("expected one of false_alarm_rate and alarms_per_year, not both")
        return self


class PerformanceSpec(Declared):
    """When realised performance counts as worse: the model's metric over the last week with labels.

    It is ``worse`` when its whole 95 % confidence interval lies beyond ``alarm_at``, in the metric's unit.
    Default: the bound that the package's own hold-out and folds give, within which the next such value lies
    by 95 %. An *alarm* is evidence of many windows, under the installation's budget of false alarms;
    ``on_alarm: retrain`` asks for a training, too.
    """

    alarm_at: float | None = None
    """The value of the metric beyond which performance is ``worse``. None: the package's own bound."""
    on_alarm: Literal["notify", "retrain"] = "notify"
    """What an alarm about performance does: it tells people, and can ask for a training, too."""


class PromotionSpec(Declared):
    """When a challenger replaces the champion.

    By rule (``approval: auto``) only if on the same hold-out rows it betters ``metric`` by ``smallest_gain``
    beyond chance, and no segment loses more than ``largest_segment_loss``: both in the metric's unit, of
    ``rmse`` and ``mae`` shares of the champion's value. Where only chance speaks against it, ``shadow`` asks.
    """

    metric: str | None = None
    """What packages are compared by. None: the usual one for the kind of target."""
    smallest_gain: float = Field(default=0.0, ge=0)
    """How much better a challenger has to be."""
    largest_segment_loss: float = Field(default=0.05, ge=0)
    """How much worse it may be in a segment."""
    shadow: Duration = timedelta(0)
    """How long live days may decide where the hold-out could not, at least 14d. 0d: not at all."""
    approval: Literal["required", "four_eyes", "auto"] = "required"
    """Who approves: a person, a person who did not train the package (``four_eyes``), or the rule."""
    signature: Literal["optional", "required"] = "optional"
    """Whether only signed packages may be pinned."""

    @model_validator(mode="after")
    def _long_enough(self) -> PromotionSpec:
        if timedelta(0) < self.shadow < timedelta(days=14):
            raise ValueError("shadow: expected 14d or more, for evidence to come together, or 0d for none")
        return self


class RetentionSpec(Declared):
    """How long things are kept; finite by default."""

    frozen_inputs: Duration = timedelta(days=400)
    """How long the rows that runs froze are kept."""
    superseded_scores: Duration = timedelta(days=400)
    """How long superseded scores are kept."""
    abandoned_runs: Duration = timedelta(days=7)
    """How long what an unpublished run left behind is kept."""


#: What people are told of; :class:`NotifySpec` says what each is.
Event = Literal["failed", "held", "verdict", "alarm", "performance", "approval"]


class NotifySpec(Declared):
    """Who hears of what: an Airflow notifier by its dotted path, its arguments, and the events.

    ``failed``: a task of the model's DAGs failed for good, an outage among them. ``held``: a run waits
    for a person to release it. ``verdict``: published scores drifted as ``drift.acts_on`` says, or
    worse. ``alarm``: evidence of many windows that features or scores moved, once when it is raised, whatever
    ``drift`` declares; who listens to it hears of that window's verdict with it. ``performance``: realised
    performance is worse than the bound, or labels came that training never saw. ``approval``: a package
    waits for approval.
    """

    notifier: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
    """The dotted path of an Airflow notifier."""
    events: list[Event] = Field(default=list(get_args(Event)), min_length=1)
    """What it is told of."""
    arguments: dict[str, Any] = {}
    """What the notifier is made with."""


class AirflowSpec(Declared):
    """How the model's tasks run in Airflow, and who is told about them.

    A person who is asked (to approve a package, to release held scores) answers within
    ``answer_within``; no answer is no.
    """

    pool: str = "default_pool"
    """The pool of all tasks."""
    queue: str | None = None
    """The queue of all tasks. None: the executor's default."""
    retries: int = Field(default=2, ge=0, le=1_000)
    """How often a task is tried again."""
    retry_delay: Duration = timedelta(minutes=1)
    """How long after a failure."""
    execution_timeout: Duration = timedelta(hours=2)
    """How long one try may take."""
    tags: list[Annotated[str, Field(max_length=100)]] = []
    """More tags on the DAGs."""
    max_active_runs: int = Field(default=4, ge=1, le=1_000)
    """How many runs of a DAG go on at once."""
    executor_config: dict[str, Any] = {}
    """What the executor is given with each task."""
    notify: list[NotifySpec] = []
    """Who hears of what."""
    answer_within: Duration = timedelta(days=7)
    """How long a person is waited for."""


class ModelSpec(Declared):
    """The whole of ``model.yaml``.

    ``segments`` are input columns by whose values performance and promotions are looked at, too.
    """

    name: Name
    """The model's name: the folder's."""
    version: str = Field(pattern=r"^\d+\.\d+$")
    """MAJOR.MINOR of its packages; each training adds the patch number."""
    owner: str = Field(max_length=500)  # Airflow's own tables have room for so much
    """Who is responsible."""
    description: str = ""
    """What it is for, in words."""
    consumers: list[Consumer] = []
    """Who reads its scores."""
    source: SourceSpec
    """Where rows come from."""
    features: list[Feature] = Field(min_length=1)
    """The inputs, in the order of the matrix."""
    shared_features: list[str] = []
    """Modules of ``include/features/`` that are copied into the package."""
    segments: list[str] = []
    """The input columns by whose values performance is looked at, too."""
    target: TargetSpec
    """What is predicted."""
    output: OutputSpec
    """What consumers read."""
    schedule: ScheduleSpec
    """When runs are due."""
    training: TrainingSpec
    """How a package is trained."""
    scoring: ScoringSpec = ScoringSpec()
    """In how many tasks an interval is scored."""
    validation: ValidationSpec = ValidationSpec()
    """How much may be set aside."""
    drift: DriftSpec = DriftSpec()
    """What counts as drift, and what it does."""
    performance: PerformanceSpec = PerformanceSpec()
    """When realised performance counts as worse, and what an alarm about it does."""
    promotion: PromotionSpec = PromotionSpec()
    """When a challenger replaces the champion."""
    retention: RetentionSpec = RetentionSpec()
    """How long things are kept."""
    airflow: AirflowSpec = AirflowSpec()
    """How its tasks run."""

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
            raise ValueError(
                f"{name!r} is reserved: a training snapshot has a column of that name; rename yours"
            )
        columns = list(self.output.probabilities.values())
        if columns and self.target.kind != "multiclass":
            raise ValueError(
                f"output.probabilities is of multiclass models; of a {self.target.kind} one the score says it"
            )
        if len(set(columns)) != len(columns):
            raise ValueError("output.probabilities names a column twice")
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
            or self.performance.on_alarm == "retrain"
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
