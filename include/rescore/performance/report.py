"""The performance report of one run or week: what the store keeps of scores beside their labels."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from rescore.document import Document, Number, Part
from rescore.evidence import Alarm
from rescore.shown_text import number_of

__all__ = [
    "Agreement",
    "Calibration",
    "CalibrationBin",
    "Coverage",
    "LatestPerformance",
    "Measure",
    "PerformanceReport",
    "PerformanceWeek",
    "Segment",
    "ShadowRun",
    "measures_of",
]


class Measure(Part):
    """A metric's value with its 95 % interval; None where it is not defined."""

    value: Number = None
    low: Number = None
    high: Number = None


class CalibrationBin(Part):
    """A tenth of the rows by score: mean score, observed rate and its Wilson interval."""

    rows: int
    mean_score: float
    observed_rate: float
    observed_low: float
    observed_high: float


class Calibration(Part):
    """Whether probabilities come true: see :func:`rescore.performance.metrics.calibration`.

    Attributes
    ----------
    bins : tuple of CalibrationBin
        By score.
    error : Measure
        The expected calibration error, and the errors under which it is no surprise.
    by_chance : float
        What the error would be on average if every score were the true probability.
    """

    bins: tuple[CalibrationBin, ...]
    error: Measure
    by_chance: float


class Agreement(Part):
    """A realised metric, and the band in which the labelled rows' scores let it be expected."""

    realised: float
    estimated: float
    low: float
    high: float
    within: bool


class Coverage(Part):
    """Rows that were scored, those of them with a label, and the realised metrics.

    Attributes
    ----------
    rows, labelled : int
        Rows with a score, and those of them with a label.
    coverage : float or None
        Share of rows with a label; None without rows.
    metrics : dict of str to Measure
        Binary: ``auc``, ``brier``, ``log_loss`` (nats), ``base_rate``. Multiclass: ``accuracy``.
        Regression, in the target's unit: ``rmse``, ``mae``, ``bias`` (score less truth), and ``r2``.
        Empty without labels.
    mean_score : float or None
        Classifiers: of the labelled rows.
    """

    rows: int
    labelled: int
    coverage: Number
    metrics: dict[str, Measure] = Field(default_factory=dict)
    mean_score: Number = None

    def measure(self, metric: str) -> Measure:
        """The realised metric; its value is None if it is not known."""
        return self.metrics.get(metric, Measure())


class Segment(Coverage):
    """The rows of one value of a segment column."""

    value: str


class ShadowRun(Part):
    """What a challenger would have made of a run: sums over its labelled rows, and no row.

    Attributes
    ----------
    champion, challenger : str
        The packages' sha256.
    loss : str
        See :class:`rescore.comparison.ShadowTerms`.
    starts : datetime
        Where the interval starts.
    day : str
        On which that is, on the schedule's clock.
    closes : bool
        Whether the interval ends with that day, or later.
    rows : int
        With a label that training saw.
    champion_loss, challenger_loss : float
        Sums.
    """

    champion: str
    challenger: str
    loss: str
    starts: datetime
    day: str
    closes: bool
    rows: int
    champion_loss: float
    challenger_loss: float


class PerformanceReport(Coverage, Document):
    """Realised metrics, the estimate that needs no label, and how the two agree.

    Attributes
    ----------
    calibration : Calibration or None
        Classifiers with labels.
    estimated : dict of str to Measure
        Classifiers: what the scores of all rows let expect.
    agreement : dict of str to Agreement
        Per metric, realised and estimated from the labelled rows alone, so that both speak of the same rows.
    class_rates : dict of str to Agreement
        Of several classes, per class: the share of the labelled rows, and the band of all classes together.
    segments : dict of str to tuple of Segment
        Per segment column, the most frequent value first.
    unknown_labels : dict of str to int
        Labels that training never saw, and how many rows have each. Such rows are in no metric.
    alarm_limit : float or None
        The evidence that raised an alarm when the run was first measured; None where that was not kept.
    shadow : tuple of ShadowRun
        What challengers in the shadow would have made of the run.
    outside : bool
        Whether the run's rows are outside of what training saw: the estimate's band promises nothing there.
    week : PerformanceWeek or None
        The last run measured with its week keeps the week's metrics too.
    latest : LatestPerformance or None
        The last run measured at a time keeps the verdict on the model's last days, too.
    """

    FORMAT: ClassVar[int] = 2  # 1 had each metric as three flat fields

    calibration: Calibration | None = None
    estimated: dict[str, Measure] = Field(default_factory=dict)
    agreement: dict[str, Agreement] = Field(default_factory=dict)
    class_rates: dict[str, Agreement] = Field(default_factory=dict)
    segments: dict[str, tuple[Segment, ...]] = Field(default_factory=dict)
    unknown_labels: dict[str, int] = Field(default_factory=dict)
    alarm_limit: Number = None
    shadow: tuple[ShadowRun, ...] = ()
    outside: bool = False
    week: PerformanceWeek | None = None
    latest: LatestPerformance | None = None

    def unknown_label_warning(self) -> str:
        """What to do about labels that training never saw; empty if there are none."""
        if not self.unknown_labels:
            return ""
        rows = sum(self.unknown_labels.values())
        named = ", ".join(f"{label!r} in {count:,}" for label, count in self.unknown_labels.items())
        return (
            f"{number_of(rows, 'row has', 'rows have')} a label that training never saw ({named}), "
            "and no metric counts such; nothing acts on these metrics. Give the labels the codes of training "
            "in labels.sql, or train again"
        )

    def contradiction(self) -> str:
        """Which assumption of the estimates the shares that came true contradict; empty if none.

        An estimate takes the relation of features and target as it was in training. Then the scores say
        how many rows come true; more or fewer, beyond the estimate's band, are a shift of the labels that the
        features do not explain.
        """
        rates = {"came true": self.agreement["base_rate"]} if "base_rate" in self.agreement else {}
        rates |= {f"were {name!r}": rate for name, rate in self.class_rates.items()}
        off = {what: rate for what, rate in rates.items() if not rate.within}
        if not off:
            return ""
        said = "; ".join(
            f"{rate.realised:.3g} of the rows with a label {what}, and their scores let "
            f"{rate.estimated:.3g} be expected ({rate.low:.3g} to {rate.high:.3g})"
            for what, rate in off.items()
        )
        if self.outside:
            return (
                f"{said}: the rows are outside of what training saw, so that scores need not mean what they "
                "meant; estimates assume rows like training's"
            )
        often = " and ".join(
            f"{'more' if rate.realised > rate.estimated else 'less'} often "
            f"{'come true' if what == 'came true' else what.replace('were', 'are', 1)}"
            for what, rate in off.items()
        )
        return (
            f"{said}: rows like these {often} than in training, so the relation of features "
            "and target is another one, which estimates assume to be the same; trust what came true, and "
            "train again"
        )

    @classmethod
    def upgraded(cls, stored: dict[str, Any], number: int) -> dict[str, Any]:
        """Format 1 had ``auc``, ``auc_low``, ``auc_high`` beside each other, and the calibration likewise."""
        kept = dict(stored)
        error = {
            end: kept.pop(f"calibration_error{end}", None) for end in ("", "_low", "_high", "_by_chance")
        }
        bins = kept.pop("calibration", None)
        if bins is not None:
            measure = {"value": error[""], "low": error["_low"], "high": error["_high"]}
            kept["calibration"] = {"bins": bins, "error": measure, "by_chance": error["_by_chance"]}
        kept["estimated"] = measures_of(kept.get("estimated") or {})
        kept["segments"] = {
            name: [_nested(part) for part in parts] for name, parts in (kept.get("segments") or {}).items()
        }
        return _nested(kept)


class PerformanceWeek(Part):
    """Metrics of a week's rows together, not a mean of its runs'.

    Attributes
    ----------
    week : str
        Its Monday on the schedule's clock, ISO 8601.
    runs : int
        How many were measured.
    interval_start, interval_end : datetime
        Of the first and of the last of them.
    metrics : PerformanceReport
        Of their rows.
    """

    week: str
    runs: int
    interval_start: datetime
    interval_end: datetime
    metrics: Annotated[
        PerformanceReport,
        BeforeValidator(
            lambda given: PerformanceReport.from_dict(given) if isinstance(given, Mapping) else given
        ),
    ]


class LatestPerformance(Measure):
    """The model's metric over the last days with labels.

    Attributes
    ----------
    metric : str
        ``promotion.metric``, or the main metric of the target's kind.
    rows : int
        Labelled rows that it is of.
    until : datetime
        End of the last interval with labels.
    unknown_labels : dict of str to int
        Labels that training never saw, and their rows. With any, the value is None.
    verdict : str
        ``ok``, ``worse`` (the whole interval lies beyond ``bound``) or ``unknown_labels``.
    sentence : str
        Why, for people.
    bound : float or None
        What is declared (``performance.alarm_at``), else what the package's hold-out and folds give.
    declared : bool
        Whether ``bound`` is declared.
    far : bool
        Whether it lies beyond a bound that training gives by more than chance takes it in years.
    alarm : Alarm or None
        The evidence of all measured windows that the package does worse than in training.
    alarm_of : str or None
        That package's sha256.
    """

    metric: str
    rows: int
    until: datetime
    unknown_labels: dict[str, int] = Field(default_factory=dict)
    verdict: Literal["ok", "worse", "unknown_labels"] = "ok"
    sentence: str = ""
    bound: Number = None
    declared: bool = False
    far: bool = False
    alarm: Alarm | None = None
    alarm_of: str | None = None

    @property
    def to_be_told(self) -> bool:
        """Whether people should hear of it: a new alarm, a declared bound that is broken, strange labels.

        The package's own bound is looked at again and again, so that it is broken by chance sooner or later:
        it counts only where there is no evidence to accumulate, or where the metric lies far beyond it.
        """
        if self.verdict == "unknown_labels":
            return True
        if self.alarm is not None and self.alarm.new:
            return True
        return self.verdict == "worse" and (self.declared or self.far or self.alarm is None)


def measures_of(flat: Mapping[str, float | None]) -> dict[str, dict[str, float | None]]:
    """Metrics as the first formats had them (``auc``, ``auc_low``, ``auc_high``), each as one value."""
    names = [name for name in flat if not name.endswith(("_low", "_high"))]
    return {
        name: {"value": flat[name], "low": flat.get(f"{name}_low"), "high": flat.get(f"{name}_high")}
        for name in names
    }


_REALISED = ("auc", "brier", "log_loss", "base_rate", "accuracy", "rmse", "mae", "bias", "r2")


def _nested(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The flat metrics of a first-format report or segment under ``metrics``."""
    flat = {f"{name}{end}" for name in _REALISED for end in ("", "_low", "_high")}
    found = measures_of({name: value for name, value in stored.items() if name in flat})
    return {**{name: value for name, value in stored.items() if name not in flat}, "metrics": found}


PerformanceReport.model_rebuild()
