"""A live window against a package's reference: counts, distances, calibration, outages, verdict.

Runs on features alone, before anything is scored, and again with scores. It never raises for an
outage: what follows from a verdict is the pipeline's to decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from rescore.document import Number
from rescore.drift import calibration
from rescore.drift.binning import OrderedCells, moments
from rescore.drift.feature_distances import Measured, measure, measure_score
from rescore.drift.histograms import histograms_of, score_quantiles
from rescore.drift.joint_classifier import Joint, TrainingRows, compare_jointly
from rescore.drift.outage import broken_windows, join_names, missing_rates
from rescore.drift.reach import reach_of
from rescore.drift.reference import Reference
from rescore.drift.report import (
    LEAST_REACH,
    SHARE_OF_ROWS,
    DriftReport,
    FeatureDrift,
    JointDrift,
    Method,
    VolumeDrift,
)
from rescore.drift.resolution import worth_of
from rescore.drift.standardise import unusualness
from rescore.drift.verdict import (
    SMALL_EFFECT,
    judge,
    say_limits,
    say_missing,
    say_note,
    say_outside,
    say_too_few,
)
from rescore.drift.volume import Volume, WindowRows, compare_volume
from rescore.drift.window import Window
from rescore.drift.window_values import one_score, stratum_of
from rescore.errors import DriftError
from rescore.evidence import without_memory
from rescore.performance import Measure, ScoreCalibration, estimated_accuracy, estimated_performance
from rescore.spec import DriftSpec

__all__ = ["compare"]

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

#: A p-value is a ratio of whole numbers: the declared rate is reached if it is this near.
ROUNDING = 1e-12


def compare(
    reference: bytes,
    window: Window,
    scores: npt.NDArray[np.float64] | None,
    drift: DriftSpec,
    *,
    training: TrainingRows | None = None,
    start: datetime | None = None,
    before: Sequence[WindowRows] = (),
    named: npt.NDArray[np.object_] | None = None,
) -> DriftReport:
    """Compare a window with the reference that its package carries.

    Parameters
    ----------
    reference : bytes
        What :func:`~rescore.drift.build_reference` gave.
    window : pyarrow.Table, or what reads the same a column at a time
        The frozen input of one interval: every feature, and the event time if there is one.
    scores : ndarray of float64, shape (n_scored,) or (n_scored, n_classes), or None
        The window's scores; None before scoring. Fewer than rows where rows were set aside.
    drift : DriftSpec
        Declared rate, effect floor and strata, and whether features are compared jointly too.
    training : TrainingRows, optional
        Rows of training, for a joint comparison alone. Without them the report's notes say that there
        was none.
    start : datetime, optional
        Of the window's interval, aware. Without it the number of rows is not compared.
    before : sequence of WindowRows
        The published windows before this one, in any order.
    named : ndarray of str, shape (n_scored,), optional
        Of several classes, the one that each score is the certainty of, for the estimate of accuracy.

    Returns
    -------
    DriftReport

    Raises
    ------
    DriftError
        The window lacks a feature, or the reference windows can't resolve the declared rate.
    """
    profile = Reference.from_bytes(reference)
    drift = calibration.per_window(drift, profile.starts, where=f"model {profile.model}: drift")
    _refuse_absent(profile, window)
    chosen = _choose_windows(profile, window, drift)
    rows = profile.rows[chosen.places]
    calibration.refuse_unresolvable(rows.size, drift.false_alarm_rate, where=f"model {profile.model}: drift")
    values = None if scores is None else one_score(scores)
    measured = _measured(profile, window, values, chosen.places)
    worth = worth_of(profile.features, chosen.places)
    method: Method = calibration.method_of(rows.size, worth) if window.num_rows else "none"
    nothing = "The window has no rows"
    if window.num_rows:
        nothing = say_too_few(int(rows.size), worth, chosen.stratum)
    notes = chosen.notes + say_limits(rows, window.num_rows, method, chosen.stratum)
    joint: Joint | str | None = None
    if drift.jointly and method != "none":
        joint = compare_jointly(profile, training or TrainingRows(None), window, chosen.places)
    if isinstance(joint, str):
        notes += (f"features were not compared jointly: {joint}",)
        joint = None
    volume = (
        None if start is None else _volume(profile, chosen.places, before, WindowRows(start, window.num_rows))
    )
    p = _p_values(measured, joint, volume, method)
    if (twin := _same_counts(measured, chosen.places)) is not None:
        p = p.of_no_drift()
        notes += (f"every feature is distributed as in training's window of {profile.starts[twin]}",)
    together = None if joint is None else _joint_drift(joint, p.joint, drift)
    number = None if volume is None else _volume_drift(volume, p.volume, drift)
    features = _features(measured, p, chosen.places, drift)
    reach = reach_of(measured)
    score_calibration = None if profile.calibration is None else profile.calibration.widened(reach)
    estimated, auc_reference = _estimated(profile, score_calibration, values, named, measured, chosen.places)
    auc = estimated.get("auc", Measure()).value, auc_reference[0]
    learnt = profile.calibration is not None or profile.expected_loss is not None
    if reach < LEAST_REACH and values is not None and learnt:
        notes += (say_outside(reach),)
    outages = [(one.reference.name, one.outage) for one in measured if one.outage is not None]
    verdict, sentence = judge(features, outages, p.window, drift, auc, together, number, nothing=nothing)
    if verdict != "outage":
        sentence += say_missing(features)
    return DriftReport(
        verdict=verdict,
        sentence=sentence,
        p_value=p.window,
        method=method,
        rate=drift.false_alarm_rate,
        effect_floor=drift.effect_floor,
        rows=window.num_rows,
        reference_windows=int(rows.size),
        reference_rows=(int(rows.min(initial=0)), int(rows.max(initial=0))),
        stratum=chosen.stratum,
        with_scores=scores is not None and profile.score is not None,
        features=features,
        estimated=estimated,
        estimated_auc_reference=auc_reference,
        notes=notes,
        timezone=profile.timezone,
        score_calibration=score_calibration,
        scores=None if values is None else score_quantiles(values),
        histograms=histograms_of(measured, features, chosen.places),
        joint=together,
        reach=float(f"{reach:.4g}"),
        volume=number,
        statistic=p.statistic,
        reference_statistics=p.reference,
    )


def _refuse_absent(profile: Reference, window: Window) -> None:
    held = set(window.column_names)  # pyarrow makes the list anew at every look
    absent = [one.name for one in profile.features if one.name not in held]
    if absent:
        raise DriftError(
            "the window lacks features of the reference",
            where=f"model {profile.model}",
            expected="every feature the package was trained on",
            examples=absent,
            fix="pass the frozen input as it was extracted",
        )


@dataclass(frozen=True)
class _Chosen:
    """The reference windows that are compared with: their places in the profile, shape (n_windows,)."""

    stratum: str
    places: Places
    notes: tuple[str, ...]


def _choose_windows(profile: Reference, window: Window, drift: DriftSpec) -> _Chosen:
    """The windows of the live window's stratum, without those that had an outage of their own."""
    if drift.strata == "none":
        stratum, places = "all", np.arange(profile.rows.size)
    elif profile.event_time not in window.column_names:
        raise DriftError(
            "strata: weekday needs to know on which day a window is",
            where=f"model {profile.model}: drift.strata",
            expected=f"the event time column {profile.event_time!r} in the window",
            fix="pass the frozen input with its event time, or set drift.strata: none",
        )
    else:
        stratum = stratum_of(moments(window[profile.event_time]), profile.timezone)
        places = np.flatnonzero(np.asarray(profile.strata) == stratum)
    broken = broken_windows(profile.features, places)
    left = np.asarray([place for place in places if int(place) not in broken], dtype=places.dtype)
    enough = left.size >= calibration.MIN_RANKED and drift.false_alarm_rate >= 1 / (left.size + 1)
    if not broken or not enough:
        return _Chosen(stratum, places, ())
    notes = tuple(
        f"not compared with training's window of {profile.starts[place]}: {join_names(names)} "
        f"{'is' if len(names) == 1 else 'are'} missing there as in no other"
        for place, names in sorted(broken.items())
    )
    return _Chosen(stratum, left, notes)


def _volume(
    profile: Reference, places: Places, before: Sequence[WindowRows], live: WindowRows
) -> Volume | None:
    reference = [
        WindowRows(datetime.fromisoformat(start), int(rows))
        for start, rows in zip(profile.starts, profile.rows, strict=True)
    ]
    return compare_volume(reference, places, before, live, profile.timezone)


def _measured(profile: Reference, window: Window, values: Floats | None, places: Places) -> list[Measured]:
    """Every feature, and the scores last if there are any and the profile has them."""
    measured = [measure(one, window, profile.event_time, places) for one in profile.features]
    if values is not None and profile.score is not None and profile.score_spread is not None:
        measured.append(measure_score(profile.score, values, profile.score_spread, places))
    return measured


def _estimated(
    profile: Reference,
    score_calibration: ScoreCalibration | None,
    values: Floats | None,
    named: npt.NDArray[np.object_] | None,
    measured: list[Measured],
    places: Places,
) -> tuple[dict[str, Measure], tuple[Number, Number]]:
    """What the scores let expect, and the AUC that they let expect in the reference windows."""
    if values is None or profile.score is None:
        return {}, (None, None)
    if profile.expected_loss is not None:
        counts = {one.reference.name: one.tally.counts for one in measured}
        return profile.expected_loss.estimate(counts), (None, None)
    if named is not None and score_calibration is not None:
        return {"accuracy": estimated_accuracy(values, score_calibration, named)}, (None, None)
    if profile.estimated_auc is None:
        return {}, (None, None)
    aucs = profile.estimated_auc[places]
    aucs = aucs[np.isfinite(aucs)]
    ends = (float(aucs.min()), float(aucs.max())) if aucs.size else (None, None)
    return estimated_performance(values, score_calibration), ends


def _same_counts(measured: list[Measured], places: Places) -> int | None:
    """The reference window that has the very counts of the live one in every cell of every feature."""
    same = np.ones(places.size, dtype=bool)
    for one in measured:
        if one.reference.kind != "score":  # the scores of training are out-of-fold
            same &= (one.reference.counts[places] == one.tally.counts).all(axis=1)
    [found] = np.nonzero(same)
    return int(places[found[0]]) if found.size and len(measured) else None


@dataclass(frozen=True)
class _PValues:
    """Of the window (None: nothing to compare), each feature and the joint comparison.

    ``shares``, shape (n_features,), say how much of all that is unusual is each feature's; ``statistic`` and
    ``reference`` are what was ranked, with five digits.
    """

    window: float | None
    features: Floats
    shares: Floats
    joint: float = 1.0
    volume: float = 1.0
    statistic: float | None = None
    reference: tuple[float, ...] = ()

    def of_no_drift(self) -> _PValues:
        """A p-value of 1, for a window that is a copy of one of training's.

        Ranked, a copy of an unusual one would be called drifted. What was ranked stays: of small windows of
        few levels most are copies of some window, and evidence that left them out would be of the unusual
        ones alone.
        """
        window = None if self.window is None else 1.0
        return replace(self, window=window, features=np.ones_like(self.features), joint=1.0, volume=1.0)


def _p_values(
    measured: list[Measured], joint: Joint | None, volume: Volume | None, method: Method
) -> _PValues:
    """The greatest of all statistics is ranked once.

    The joint comparison and the number of rows are two more to take it from, so they add no false alarms.
    """
    if method == "none" or not measured:
        return _PValues(None, np.ones(len(measured)), np.zeros(len(measured)))
    standing = [one.standing for one in measured]
    sides = [side for one in measured for side in one.two_sided]
    firsts = np.cumsum([0, *(len(one.two_sided) for one in measured)])[:-1].tolist()
    if joint is not None:
        firsts = [*firsts, len(sides)]
        standing, sides = [*standing, joint.standing], [*sides, False]
    every = without_memory(np.hstack(standing), np.asarray(sides))
    if volume is not None:  # not through without_memory(): compared with the windows before it already
        firsts = [*firsts, len(sides)]
        every, sides = np.hstack([every, volume.standing]), [*sides, True]
    each = np.maximum.reduceat(unusualness(every, np.asarray(sides)), firsts, axis=1)
    greatest = each.max(axis=1)
    p_of = calibration.conformal_p if method == "conformal" else calibration.extrapolated_p
    p = p_of(greatest[:-1], each[-1])
    # A window in the middle of all others has ln 2.
    shares = _shares(np.maximum(each[-1, : len(measured)] - math.log(2), 0.0))
    statistic, *reference = (float(f"{one:.5g}") for one in (greatest[-1], *greatest[:-1]))
    rest = [float(one) for one in p[len(measured) :]]
    of_joint = rest.pop(0) if joint is not None else 1.0
    of_volume = rest.pop(0) if volume is not None else 1.0
    return _PValues(
        float(p.min()), p[: len(measured)], shares, of_joint, of_volume, statistic, tuple(reference)
    )


def _shares(values: Floats) -> Floats:
    total = values.sum()
    return values / total if total > 0 else np.zeros_like(values)


def _joint_drift(joint: Joint, p: float, drift: DriftSpec) -> JointDrift:
    return joint.drift(p, flagged=_flagged(p, joint.effect, drift))


def _volume_drift(volume: Volume, p: float, drift: DriftSpec) -> VolumeDrift:
    return volume.drift(p, flagged=volume.effect >= SMALL_EFFECT and _flagged(p, volume.effect, drift))


def _flagged(p: float, effect: float, drift: DriftSpec) -> bool:
    return p <= drift.false_alarm_rate + ROUNDING and effect >= drift.effect_floor


def _features(
    measured: list[Measured], p: _PValues, places: Places, drift: DriftSpec
) -> tuple[FeatureDrift, ...]:
    total = sum(max(one.reference.importance, 0.0) for one in measured)
    return tuple(
        _feature(one, float(chance), float(share), total, missing_rates(one.reference)[places], drift)
        for one, chance, share in zip(measured, p.features, p.shares, strict=True)
    )


def _feature(
    one: Measured, p: float, share: float, total_importance: float, was_missing: Floats, drift: DriftSpec
) -> FeatureDrift:
    rows = int(one.tally.counts.sum())
    missing = float(one.tally.counts[-1] / rows) if rows else math.nan
    return FeatureDrift(
        name=one.reference.name,
        kind=one.reference.kind,
        psi=one.psi,
        distance=one.own_distance,
        unit=one.reference.unit if isinstance(one.reference.cells, OrderedCells) else SHARE_OF_ROWS,
        missing=missing,
        missing_reference_max=float(was_missing.max(initial=0.0)),
        missing_reference_min=float(was_missing.min()) if was_missing.size else None,
        p_value=p,
        importance=max(one.reference.importance, 0.0) / total_importance if total_importance > 0 else 0.0,
        effect=one.effect,
        flagged=_flagged(p, one.effect, drift),
        outage=one.outage is not None,
        share_of_statistic=share,
        shift=one.shift,
        note=say_note(one.tally, one.outage, one.reference.name, missing, was_missing),
    )
