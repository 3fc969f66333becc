"""The drift report of one run: what the store keeps, and the page, the commands and people read.

The order in which features are shown is decided here, once: :meth:`DriftReport.worst_first` and
:meth:`DriftReport.worth_a_look`. No computing of statistics here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from rescore.document import Document, Number, Part
from rescore.evidence import Alarm
from rescore.performance import Measure, ScoreCalibration, measures_of
from rescore.shown_text import number_of

__all__ = [
    "DriftReport",
    "FeatureDrift",
    "Histogram",
    "JointDrift",
    "Method",
    "PairDrift",
    "ScoreQuantiles",
    "Verdict",
    "VolumeDrift",
    "alarm_of",
    "worst_first",
    "worth_a_look",
]

Verdict = Literal["ok", "drifted", "consequential", "outage"]
#: ``chi2_bh`` is only read: in reports that are older than ``extrapolated``. Nothing computes it any more.
Method = Literal["conformal", "extrapolated", "chi2_bh", "none"]

#: Below this reach an estimate is outside of what training saw; chosen by simulation (decision 0012).
LEAST_REACH = 0.3

#: The unit of a distance between levels.
SHARE_OF_ROWS = "share of rows"


class FeatureDrift(Part):
    """One feature (or the score) of one window. Numbers that are undefined are None.

    Attributes
    ----------
    name, kind : str
        As declared; the model's own scores are ``score`` of kind ``score``.
    psi : float
        Population stability index against training, missing as a bin of its own; no unit.
    distance : float or None
        Ordered kinds: Wasserstein-1 in ``unit`` (dates: days of age; text: characters). Levels: total
        variation, the share of rows that would have to change. Both among rows with a value.
    unit : str
        Unit of ``distance``.
    missing, missing_reference_max, missing_reference_min : float or None
        Share of rows without a value: now (None without rows), and the largest and the smallest of the
        reference windows that were compared with.
    p_value : float
        Chance that any feature of a window like training's is as unusual as this one is, so that *all*
        features together give no more false flags than declared.
    importance : float
        Share of the model's importance, 0 to 1.
    effect : float
        The larger of PSI and ``shift`` squared (of a normal variable they are nearly the same), less what
        the window's size makes of it and what reference windows typically have; no unit.
    flagged : bool
        ``p_value`` is within the declared rate and ``effect`` reaches the floor.
    outage : bool
        The column is broken; see ``note``.
    share_of_statistic : float
        How much of all features' unusualness is this one's, 0 to 1.
    note : str
        For people; empty if there is nothing to say.
    shift : float or None
        Ordered kinds: by how much the mean normal score moved, signed, in standard deviations of a normal
        variable. None for levels.
    """

    name: str
    kind: str
    psi: float
    distance: Number
    unit: str
    missing: Number
    missing_reference_max: float
    p_value: float
    importance: float
    effect: float
    flagged: bool
    outage: bool
    share_of_statistic: float
    note: str
    shift: Number = None
    missing_reference_min: Number = None

    @property
    def of_levels(self) -> bool:
        """Whether ``distance`` is a share of rows."""
        return self.unit == SHARE_OF_ROWS

    @property
    def own_unit(self) -> str:
        """The feature's own unit; empty for levels, whose distance is a share of rows."""
        return "" if self.of_levels else self.unit


def worst_first(features: Iterable[FeatureDrift]) -> list[FeatureDrift]:
    """Outages first, as the sentence names them: in the model's order. Then what is flagged, by p-value.

    Of those that are equal so far the one with the larger share of the statistic comes first.
    """
    listed = list(features)
    rest = [one for one in listed if not one.outage]
    rest.sort(key=lambda one: (not one.flagged, one.p_value, -one.share_of_statistic, one.name))
    return [one for one in listed if one.outage] + rest


def alarm_of(stored: Mapping[str, Any] | None) -> Alarm | None:
    """The alarm in a stored drift report, if it has one."""
    return None if stored is None else DriftReport.from_dict(stored).alarm


def worth_a_look(features: Iterable[FeatureDrift]) -> list[FeatureDrift]:
    """Outages first, then what is flagged, then the score, then what the model uses most."""
    return sorted(
        features,
        key=lambda one: (
            not one.outage,
            not one.flagged,
            one.kind != "score",
            -one.importance,
            -one.effect,
            one.name,
        ),
    )


class Histogram(Part):
    """One feature's rows by bar, in the reference windows together and in the live window.

    Attributes
    ----------
    names : tuple of str
        Of the bars in order: ``5 – 10``, a level, ``missing``.
    reference, live : tuple of int
        Rows in each bar.
    """

    names: tuple[str, ...]
    reference: tuple[int, ...]
    live: tuple[int, ...]

    @property
    def shares(self) -> list[tuple[str, float, float]]:
        """Per bar its name, and the share of training's and of the live rows in it."""
        before, now = max(sum(self.reference), 1), max(sum(self.live), 1)
        return [
            (name, reference / before, live / now)
            for name, reference, live in zip(self.names, self.reference, self.live, strict=True)
        ]


class ScoreQuantiles(Part):
    """How scores are spread: ``rows`` with a score, quantiles and mean; None without any."""

    rows: int
    p05: Number = None
    p25: Number = None
    p50: Number = None
    p75: Number = None
    p95: Number = None
    mean: Number = None


class PairDrift(Part):
    """Two features that go together otherwise than in training.

    Attributes
    ----------
    features, columns : tuple of str, length 2
        Names of the features, and of the columns made of them (with the level, if it is one).
    correlation, correlation_reference : float
        Of normal scores, now and in training.
    share : float
        Of all that tells the window from training, 0 to 1.
    """

    features: tuple[str, str]
    columns: tuple[str, str]
    correlation: float
    correlation_reference: float
    share: float


class JointDrift(Part):
    """What a joint comparison of the features says; see :class:`rescore.drift.joint_classifier.Joint`.

    Attributes
    ----------
    method : str
        ``classifier_rank`` (among the reference windows); of earlier reports also ``permuted_labels``.
    auc : float
        Of a classifier that tells the window from training.
    auc_reference_median, auc_reference_high : float or None
        Of those that tell reference windows.
    p_value, effect, flagged
        As a feature's.
    rows, reference_rows, columns : int
        What was compared.
    features : tuple of str
        Those of the pairs that tell most.
    pairs : tuple of PairDrift
        The most telling first.
    """

    method: Literal["classifier_rank", "permuted_labels"]
    auc: float
    auc_reference_median: Number
    auc_reference_high: Number
    p_value: float
    effect: float
    flagged: bool
    rows: int
    reference_rows: int
    columns: int
    features: tuple[str, ...]
    pairs: tuple[PairDrift, ...]


class VolumeDrift(Part):
    """The number of rows beside what was to be expected.

    Attributes
    ----------
    rows : int
        Of the window.
    expected : int
        By the windows before it, of the same time of the week or of the day.
    low, high : int
        What is expected if a window is as far off as training's windows were at most.
    p_value : float
        Of the number alone, compared with the same windows' most unusual statistic.
    effect : float
        The squared logarithm of how many times as many rows there are as expected.
    flagged : bool
        Whether it is unusual, at the declared rate.
    outage : bool
        Whether rows are missing: fewer by far than in any of training's windows.
    """

    rows: int
    expected: int
    low: int
    high: int
    p_value: float
    effect: float
    flagged: bool
    outage: bool

    def __str__(self) -> str:
        """``1,020 rows where 1,950 to 2,310 were to be expected``."""
        return f"{number_of(self.rows, 'row')} where {self.low:,} to {self.high:,} were to be expected"


class DriftReport(Document):
    """The verdict on one window, and what it stands on.

    Attributes
    ----------
    verdict : str
        ``ok``, ``drifted``, ``consequential`` (drift in what matters to the model) or ``outage``.
    sentence : str
        Why, for people.
    p_value : float or None
        Of the whole window; None if there was nothing to compare.
    method : str
        ``conformal`` (rank among the reference windows), ``extrapolated`` (beyond the ranks of few of them),
        or ``none`` (no rows, or windows too few to say anything; then outages alone are looked for).
    rate : float
        The declared false-alarm rate per window.
    effect_floor : float
        The smallest effect (PSI) that may be flagged.
    rows : int
        Rows of the window.
    reference_windows : int
        Windows it was compared with.
    reference_rows : tuple of int, length 2
        Rows of the smallest and of the largest of them.
    stratum : str
        ``all``, ``weekday`` or ``weekend``.
    with_scores : bool
        Whether scores were compared too.
    features : tuple of FeatureDrift
        In the model's order, the score last.
    estimated : dict of str to Measure
        Binary models with scores: what :func:`~rescore.performance.estimated_performance` expects of them.
        Regressions: the ``rmse`` that rows like these had in training.
    estimated_auc_reference : tuple of float or None, length 2
        The smallest and the largest AUC that scores let expect in the reference windows.
    notes : tuple of str
        What limits the statement.
    timezone : str
        The clock that people there read.
    score_calibration : ScoreCalibration or None
        What scores meant in training, its strays widened by ``reach``.
    scores : ScoreQuantiles or None
        How the window's scores are spread.
    histograms : dict of str to Histogram
        For pictures: the features most worth a look.
    joint : JointDrift or None
        Where features were compared jointly.
    reach : float or None
        What a row of training is worth in this window's population, 0 to 1; None in older reports.
    volume : VolumeDrift or None
        The number of rows; None in older reports, and where there is nothing to compare it with.
    statistic : float or None
        The window's: the largest ``-ln`` of a tail probability; None in reports made before it was kept.
    reference_statistics : tuple of float
        The same of each reference window, in order of time.
    alarm : Alarm or None
        The evidence of this window and those before it.
    """

    FORMAT: ClassVar[int] = 2  # 1 had estimates as flat fields, and histograms as "bars"

    verdict: Verdict
    sentence: str
    p_value: Number
    method: Method
    rate: float
    effect_floor: float
    rows: int
    reference_windows: int
    reference_rows: tuple[int, int]
    stratum: str
    with_scores: bool
    features: tuple[FeatureDrift, ...]
    estimated: dict[str, Measure]
    notes: tuple[str, ...]
    estimated_auc_reference: tuple[Number, Number] = (None, None)
    timezone: str = "UTC"
    score_calibration: ScoreCalibration | None = None
    scores: ScoreQuantiles | None = None
    histograms: dict[str, Histogram] = Field(default_factory=dict)
    joint: JointDrift | None = None
    reach: Number = None
    volume: VolumeDrift | None = None
    statistic: Number = None
    reference_statistics: tuple[float, ...] = ()
    alarm: Alarm | None = None

    @classmethod
    def upgraded(cls, stored: dict[str, Any], number: int) -> dict[str, Any]:
        """Format 1 had ``auc``, ``auc_low``, ``auc_high`` beside each other, and histograms as ``bars``."""
        kept = dict(stored)
        estimated = dict(kept.get("estimated") or {})
        ends = [estimated.pop(f"auc_reference{end}", None) for end in ("_low", "_high")]
        kept |= {"estimated": measures_of(estimated), "estimated_auc_reference": ends}
        return {**kept, "histograms": kept.pop("bars", {})}

    @property
    def outside(self) -> bool:
        """Whether training hardly saw such a population, so that bands of estimates promise nothing."""
        return self.reach is not None and self.reach < LEAST_REACH

    @property
    def outages(self) -> tuple[str, ...]:
        """Names of the columns that are broken."""
        return tuple(feature.name for feature in self.features if feature.outage)

    @property
    def remedy(self) -> str:
        """What to do about an outage: a feature that training never had is no fault of the source."""
        if self.volume is not None and self.volume.outage:
            return "load the rows that are missing and score again"
        broken = [feature for feature in self.features if feature.outage]
        born = [feature.name for feature in broken if feature.missing_reference_min == 1 != feature.missing]
        if broken and len(born) == len(broken):
            return f"train again on a window that has {', '.join(born)}, or drop it from the features"
        return "correct the source and score again"

    @property
    def worst_first(self) -> list[FeatureDrift]:
        """The features, the most unusual first; see :func:`worst_first`."""
        return worst_first(self.features)

    @property
    def unsaid(self) -> list[FeatureDrift]:
        """The features of which there is more to say than the sentence does, the most unusual first."""
        return [one for one in self.worst_first if one.note and one.note not in self.sentence]

    @property
    def worth_a_look(self) -> list[FeatureDrift]:
        """The features as pictures and tables show them; see :func:`worth_a_look`."""
        return worth_a_look(self.features)

    def feature(self, name: str) -> FeatureDrift | None:
        """The feature of that name, or None."""
        return next((feature for feature in self.features if feature.name == name), None)
