"""The report of a comparison as a document: what the store keeps, and page, command and notebook show."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rescore.comparison.shadow import Shadow, ShadowTerms
from rescore.document import Document, Number, Part
from rescore.manifest import Output, Target
from rescore.shown_text import number_of

__all__ = [
    "Bootstrap",
    "ComparedPackage",
    "ComparisonReport",
    "DayGain",
    "FirstPackage",
    "FirstReport",
    "Gain",
    "HoldOut",
    "Measurement",
    "MetricGain",
    "MovedScores",
    "Movement",
    "Promotion",
    "Reliability",
    "ReliabilityBin",
    "Reproduced",
    "Rule",
    "SegmentGain",
    "Side",
    "SureGain",
]

Side = Literal["champion", "challenger"]


class Gain(Part):
    """A metric of both, and by how much the challenger is better; None where it is not defined."""

    champion: Number = None
    challenger: Number = None
    gain: Number = None


class SureGain(Gain):
    """A gain with its 95 % interval; None where there are too few days for one."""

    low: Number = None
    high: Number = None


class MetricGain(SureGain):
    """A gain in one metric; above 0 is better, whichever way the metric points."""

    better: Literal["higher", "lower"]


class DayGain(Gain):
    """The gain of one day: its name, and its rows."""

    block: str
    rows: int


class SegmentGain(SureGain):
    """The gain in one value of a segment column; ``judged`` if its rows are enough to judge by."""

    value: str
    rows: int
    judged: bool


class ReliabilityBin(Part):
    """A tenth of the rows by prediction: mean prediction, and what came true with its interval."""

    rows: int
    predicted: float
    observed: float
    low: Number = None
    high: Number = None


class Reliability(Part):
    """Whether predictions come true; ``error`` is the mean distance, weighted by rows."""

    bins: tuple[ReliabilityBin, ...]
    error: float


class Bootstrap(Part):
    """How intervals are found: by drawing whole blocks again.

    Attributes
    ----------
    resamples, seed : int
        Draws, and what they start from.
    confidence : float
        Of the two-sided interval.
    blocks : int
        Blocks there are.
    block : str
        What one is: a day.
    effective : float or None
        How many independent blocks they are worth to the gain in the metric; None in older reports, as what
        follows.
    place : int
        Which comparison of 365 days this is.
    error : float or None
        The chance of an error that it may take of the year's budget.
    floor : float or None
        What the gain in the metric is above, but for that chance.
    detectable : float or None
        The gain that is found in 8 of 10 comparisons, by the spread of these blocks.
    """

    resamples: int
    seed: int
    confidence: float
    blocks: int
    block: str
    effective: Number = None
    place: int = 1
    error: Number = None
    floor: Number = None
    detectable: Number = None

    @property
    def worth(self) -> float:
        """Independent blocks that the blocks are worth, as far as it was measured."""
        return float(self.blocks if self.effective is None else self.effective)


class Measurement(Part):
    """Everything that the hold-out's labels tell about champion and challenger.

    Attributes
    ----------
    metric : str
        The metric that decides.
    better : str
        Which way it points.
    metrics : dict of str to MetricGain
        Every metric of the target's kind; see :meth:`main_first`.
    blocks : tuple of DayGain
        In the order of time.
    calibration : dict of str to Reliability
        Of champion and challenger.
    segments : dict of str to tuple of SegmentGain
        Per segment column its values, most rows first, small ones together at the end.
    bootstrap : Bootstrap
    """

    metric: str
    better: Literal["higher", "lower"]
    metrics: dict[str, MetricGain]
    blocks: tuple[DayGain, ...]
    calibration: dict[Side, Reliability]
    segments: dict[str, tuple[SegmentGain, ...]]
    bootstrap: Bootstrap

    @property
    def main(self) -> MetricGain:
        """The gain in the metric that decides."""
        return self.metrics[self.metric]

    def main_first(self) -> list[tuple[str, MetricGain]]:
        """The metrics as people read them: the one that decides, then the others by name."""
        return sorted(self.metrics.items(), key=lambda named: (named[0] != self.metric, named[0]))


class Movement(Part):
    """Live rows that were scored by both; ``left_out`` says which runs were not, and why."""

    rows: int
    runs: int = 0
    left_out: tuple[str, ...] = ()


class MovedScores(Movement):
    """How the scores of live rows would change; no label is needed.

    Of a multiclass model the score is the probability of the label that the champion names.

    Attributes
    ----------
    p05, p25, p50, p75, p95, mean : float
        Quantiles and mean of challenger minus champion.
    mean_absolute, largest : float
        Of its size.
    rank_correlation : float or None
        Spearman's; None where all scores are equal.
    label_changed : float or None
        Share of rows that get another label; None for regression.
    top_tenth_kept : float
        Share of the tenth with the highest scores that stays in it.
    edges : tuple of float
        Of the cells, the same for both scores.
    cells : tuple of (int, int, int)
        Place by champion's and by challenger's score, and rows.
    """

    p05: float
    p25: float
    p50: float
    p75: float
    p95: float
    mean: float
    mean_absolute: float
    largest: float
    rank_correlation: Number
    label_changed: Number
    top_tenth_kept: float
    edges: tuple[float, ...]
    cells: tuple[tuple[int, int, int], ...]


class Promotion(Part):
    """The bounds of the rule as they were declared; see :class:`rescore.spec.PromotionSpec`."""

    smallest_gain: float
    largest_segment_loss: float


class Reproduced(Part):
    """The recorded metrics of a package, measured again.

    Attributes
    ----------
    metrics : dict of str to float or None
        As they are recorded.
    rows : int
        Rows they were measured on.
    ulps : float
        The largest distance of one measured again.
    libraries : tuple of str
        Those whose release is another one here.
    erased : int
        Rows of them that were erased since; with any, nothing could be measured again.
    """

    metrics: dict[str, Number]
    rows: int
    ulps: float
    libraries: tuple[str, ...]
    erased: int = 0

    @property
    def refused(self) -> str:
        """Why nothing was measured again; empty if it was."""
        if not self.erased:
            return ""
        return (
            f"{number_of(self.erased, 'row')} of its hold-out were erased: its recorded metrics "
            "can't be measured again"
        )


class _Package(Part):
    """What is known of a package that is compared."""

    version: str
    sha256: str
    snapshot_digest: str
    window: str
    rows: int
    code_revision: str


class FirstPackage(_Package):
    """A package without a champion, and its recorded metrics."""

    metrics: dict[str, Number]


class ComparedPackage(_Package):
    """A package, which of its fits scored the hold-out, and the proof of its recorded metrics."""

    fit: Literal["final", "evaluation"]
    reproduced: Reproduced


class HoldOut(Part):
    """The rows that neither was fitted on: their snapshot, what was known of them, and where they begin."""

    snapshot_digest: str
    as_of: str
    start: str
    end: str
    origin: str
    rows: int


class Rule(Part):
    """Whether the challenger may replace the champion without a person, and why or why not."""

    passes: bool = False
    reasons: tuple[str, ...] = ()


class FirstReport(Document):
    """A package that has no champion to be compared with."""

    model: str
    kind: str
    output: Output
    promotion: Promotion
    champion: None = None
    challenger: FirstPackage
    rule: Rule = Rule()


class ComparisonReport(Measurement, Document):
    """Champion and challenger on the same rows.

    Attributes
    ----------
    kind : str
        ``binary``, ``multiclass`` or ``regression``.
    timezone : str
        In which days are days.
    movement : MovedScores or Movement
        The latter where no live row could be scored with both.
    terms : ShadowTerms or None
        By what live days judge the challenger, too; None where ``promotion.shadow`` is not declared.
    shadow : Shadow or None
        What live days have shown, where they have decided.
    rule : Rule
        What :func:`rescore.comparison.rule.decide` says of all this.
    """

    model: str
    kind: str
    target: Target
    output: Output
    timezone: str
    promotion: Promotion
    champion: ComparedPackage
    challenger: ComparedPackage
    holdout: HoldOut
    movement: MovedScores | Movement = Field(union_mode="left_to_right")
    terms: ShadowTerms | None = None
    shadow: Shadow | None = None
    rule: Rule = Rule()
