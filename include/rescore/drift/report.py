"""What a comparison says: plain values for the store, the page and people. No computing here."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["DriftReport", "FeatureDrift", "Method", "Verdict"]

Verdict = Literal["ok", "drifted", "consequential", "outage"]
Method = Literal["conformal", "chi2_bh", "none"]


@dataclass(frozen=True)
class FeatureDrift:
    """One feature (or the score) of one window.

    Attributes
    ----------
    name, kind : str
        As declared; the model's own scores are ``score`` of kind ``score``.
    psi : float
        Population stability index against training, missing as a cell of its own; no unit.
    distance : float
        Ordered kinds: Wasserstein-1 in ``unit`` (dates: days of age; text: characters). Levels: total
        variation, the share of rows that would have to change. Both among rows with a value.
    unit : str
        Unit of ``distance``.
    missing, missing_reference_max : float
        Share of rows without a value: now, and the largest of any reference window.
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
    shift : float
        Ordered kinds: by how much the mean normal score moved, signed, in standard deviations of a normal
        variable. NaN for levels.
    """

    name: str
    kind: str
    psi: float
    distance: float
    unit: str
    missing: float
    missing_reference_max: float
    p_value: float
    importance: float
    effect: float
    flagged: bool
    outage: bool
    share_of_statistic: float
    note: str
    shift: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form, infinite and undefined numbers as None."""
        return {key: _plain(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class DriftReport:
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
        ``conformal`` (rank among the reference windows), ``chi2_bh`` (too few of
        those) or ``none`` (no rows).
    rate : float
        The declared false-alarm rate per window.
    effect_floor : float
        The smallest effect (PSI) that may be flagged.
    rows : int
        Rows of the window.
    reference_windows : int
        Windows it was compared with.
    reference_rows : tuple of int
        Rows of the smallest and of the largest of them.
    stratum : str
        ``all``, ``weekday`` or ``weekend``.
    with_scores : bool
        Whether scores were compared too.
    features : tuple of FeatureDrift
        In the model's order, the score last.
    estimated : dict
        Binary models with scores: what :func:`~rescore.drift.estimated_performance` expects of them, and
        the smallest and largest ``auc`` of the reference windows (``auc_reference_low``, ``_high``).
    notes : tuple of str
        What limits the statement.
    timezone : str
        The clock that people there read.
    score_calibration : dict or None
        What scores meant in training: see :class:`~rescore.drift.ScoreCalibration`.
    scores : dict or None
        ``rows`` with a score, and ``p05``, ``p25``, ``p50``, ``p75``, ``p95`` and ``mean`` of them.
    bars : dict
        For pictures: see :func:`rescore.drift.histograms.bars_of`.
    joint : dict or None
        Where features were compared jointly: ``method`` (``classifier_rank`` or ``permuted_labels``),
        ``auc`` of a classifier that tells the window from training, ``auc_reference_median`` and
        ``_high`` of those that tell reference windows, ``p_value`` (as a feature's), ``effect``,
        ``flagged``, the numbers of ``rows``, ``reference_rows`` and ``columns``, and the ``features``
        and ``pairs`` that tell most: see :class:`rescore.drift.joint_classifier.Joint`.
    """

    verdict: Verdict
    sentence: str
    p_value: float | None
    method: Method
    rate: float
    effect_floor: float
    rows: int
    reference_windows: int
    reference_rows: tuple[int, int]
    stratum: str
    with_scores: bool
    features: tuple[FeatureDrift, ...]
    estimated: dict[str, float | None]
    notes: tuple[str, ...]
    timezone: str = "UTC"
    score_calibration: dict[str, Any] | None = None
    scores: dict[str, float | int | None] | None = None
    bars: dict[str, dict[str, Any]] = field(default_factory=dict)
    joint: dict[str, Any] | None = None

    @property
    def outages(self) -> tuple[str, ...]:
        """Names of the columns that are broken."""
        return tuple(feature.name for feature in self.features if feature.outage)

    def most_drifted(self, n: int = 3) -> list[FeatureDrift]:
        """The ``n`` most unusual features: outages first, then by p-value, then by share."""
        return sorted(
            self.features, key=lambda one: (not one.outage, one.p_value, -one.share_of_statistic, one.name)
        )[:n]

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        plain = {
            name: _plain(getattr(self, name)) for name in self.__dataclass_fields__ if name != "features"
        }
        plain["reference_rows"] = list(self.reference_rows)
        plain["notes"] = list(self.notes)
        plain["estimated"] = {key: _plain(value) for key, value in self.estimated.items()}
        plain["features"] = [feature.to_dict() for feature in self.features]
        return plain


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
