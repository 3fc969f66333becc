"""A live window against a package's reference: tally, distances, calibration, outages, verdict.

Runs on features alone, before anything is scored, and again with scores. It never raises for an
outage: what follows from a verdict is the pipeline's to decide.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rescore.drift import calibration
from rescore.drift.binning import OrderedCells, moments
from rescore.drift.feature_distances import Measured, measure, measure_score
from rescore.drift.histograms import bars_of, score_quantiles
from rescore.drift.joint_classifier import Joint, TrainingRows, compare_jointly
from rescore.drift.outage import broken_windows, join_names, missing_rates
from rescore.drift.reference import Reference, one_score, stratum_of
from rescore.drift.report import DriftReport, FeatureDrift, Method
from rescore.drift.standardise import unusualness
from rescore.drift.verdict import SMALL_EFFECT, judge, say_limits, say_missing, say_note
from rescore.errors import DriftError
from rescore.performance import estimated_performance
from rescore.spec import DriftSpec

__all__ = ["compare"]

Floats = npt.NDArray[np.float64]


def compare(
    reference: bytes,
    window: pa.Table,
    scores: npt.NDArray[np.float64] | None,
    drift: DriftSpec,
    *,
    training: TrainingRows | None = None,
) -> DriftReport:
    """Compare a window with the reference that its package carries.

    Parameters
    ----------
    reference : bytes
        What :func:`~rescore.drift.build_reference` gave.
    window : pyarrow.Table
        The frozen input of one interval: every feature, and the event time if there is one.
    scores : ndarray of float, shape (n_scored,), or None
        The window's scores; None before scoring. Fewer than rows where rows were set aside.
    drift : DriftSpec
        Declared rate, effect floor and strata, and whether features are compared jointly too.
    training : TrainingRows, optional
        Rows of training, for a joint comparison alone. Without them the report's notes say that there
        was none.

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
    event_time = moments(window[profile.event_time]) if profile.event_time in window.column_names else None
    stratum, chosen = _choose_windows(profile, event_time, drift)
    chosen, notes = _without_broken(profile, chosen, drift)
    rows = profile.rows[chosen]
    method: Method = "conformal" if rows.size >= calibration.MIN_WINDOWS else "chi2_bh"
    calibration.refuse_unresolvable(rows.size, drift.false_alarm_rate, where=f"model {profile.model}: drift")
    measured = [measure(one, window[one.name], event_time, chosen) for one in profile.features]
    estimated: dict[str, float | None] = {}
    if scores is not None and profile.score is not None and profile.score_spread is not None:
        values = one_score(scores)
        measured.append(measure_score(profile.score, values, profile.score_spread, chosen))
        if profile.estimated_auc is not None:
            aucs = profile.estimated_auc[chosen][np.isfinite(profile.estimated_auc[chosen])]
            estimated = {
                **estimated_performance(values, profile.calibration),
                "auc_reference_low": float(aucs.min()) if aucs.size else None,
                "auc_reference_high": float(aucs.max()) if aucs.size else None,
            }
    notes += say_limits(rows, window.num_rows, method, stratum)
    if window.num_rows == 0:
        method = "none"
    joint = None
    if drift.jointly and method != "none":
        found = compare_jointly(
            profile, training or TrainingRows(None), window, chosen, by_rank=method == "conformal"
        )
        if isinstance(found, Joint):
            joint = found
        else:
            notes += (f"features were not compared jointly: {found}",)
    p_window, p_features, shares, p_joint = _p_values(
        measured, joint, method, window.num_rows, int(rows.sum()), drift
    )
    if (twin := _same_counts(measured, chosen)) is not None:
        # The rank of a copy of an unusual window would be that window's: an alarm about training itself.
        p_window, p_joint = (None if p_window is None else 1.0), 1.0
        p_features = np.ones_like(p_features)
        notes += (f"every feature is distributed as in training's window of {profile.starts[twin]}",)
    together = None
    if joint is not None:
        alarms = p_joint <= drift.false_alarm_rate + 1e-12 and joint.effect >= drift.effect_floor
        together = joint.to_dict(p_joint, alarms)
    total = sum(max(one.importance, 0.0) for one in profile.features)
    features = tuple(
        _row(one, float(p), float(share), total, drift)
        for one, p, share in zip(measured, p_features, shares, strict=True)
    )
    outages = [(one.reference.name, one.outage) for one in measured if one.outage is not None]
    verdict, sentence = judge(features, outages, p_window, method, drift, estimated, together)
    if verdict != "outage":
        sentence += say_missing(features)
    return DriftReport(
        verdict=verdict,
        sentence=sentence,
        p_value=p_window,
        method=method,
        rate=drift.false_alarm_rate,
        effect_floor=drift.effect_floor,
        rows=window.num_rows,
        reference_windows=int(rows.size),
        reference_rows=(int(rows.min()), int(rows.max())) if rows.size else (0, 0),
        stratum=stratum,
        with_scores=scores is not None and profile.score is not None,
        features=features,
        estimated=estimated,
        notes=notes,
        timezone=profile.timezone,
        score_calibration=None if profile.calibration is None else profile.calibration.to_dict(),
        scores=None if scores is None else score_quantiles(one_score(scores)),
        bars=bars_of(measured, features, chosen),
        joint=together,
    )


def _choose_windows(
    profile: Reference, event_time: Floats | None, drift: DriftSpec
) -> tuple[str, npt.NDArray[np.intp]]:
    if drift.strata == "none":
        return "all", np.arange(profile.rows.size)
    if event_time is None:
        raise DriftError(
            "strata: weekday needs to know on which day a window is",
            where=f"model {profile.model}: drift.strata",
            expected=f"the event time column {profile.event_time!r} in the window",
            fix="pass the frozen input with its event time, or set drift.strata: none",
        )
    stratum = stratum_of(event_time, profile.timezone)
    return stratum, np.flatnonzero(np.asarray(profile.strata) == stratum)


def _without_broken(
    profile: Reference, chosen: npt.NDArray[np.intp], drift: DriftSpec
) -> tuple[npt.NDArray[np.intp], tuple[str, ...]]:
    """The windows without those that had an outage of their own, and what is to be said of it."""
    broken = broken_windows(profile.features, chosen)
    left = np.asarray([window for window in chosen if int(window) not in broken], dtype=chosen.dtype)
    enough = left.size >= calibration.MIN_WINDOWS and drift.false_alarm_rate >= 1 / (left.size + 1)
    if not broken or not enough:
        return chosen, ()
    return left, tuple(
        f"not compared with training's window of {profile.starts[window]}: {join_names(names)} "
        f"{'is' if len(names) == 1 else 'are'} missing there as in no other"
        for window, names in sorted(broken.items())
    )


def _same_counts(measured: list[Measured], chosen: npt.NDArray[np.intp]) -> int | None:
    """The reference window that has the very counts of the live one in every cell of every feature."""
    same = np.ones(chosen.size, dtype=bool)
    for one in measured:
        if one.reference.kind != "score":  # the scores of training are out-of-fold
            same &= (one.reference.counts[chosen] == one.tally.counts).all(axis=1)
    [found] = np.nonzero(same)
    return int(chosen[found[0]]) if found.size and len(measured) else None


def _p_values(
    measured: list[Measured],
    joint: Joint | None,
    method: Method,
    rows: int,
    reference_rows: int,
    drift: DriftSpec,
) -> tuple[float | None, Floats, Floats, float]:
    """The window's p-value, every feature's, every feature's share of what is unusual, and the joint p-value.

    A joint comparison is one more to choose the most unusual from: it costs no false alarm.
    """
    if method == "none" or not measured:
        return None, np.ones(len(measured)), np.zeros(len(measured)), 1.0
    if method == "chi2_bh":
        psi = np.asarray([one.psi for one in measured])
        cells = np.asarray([one.psi_cells for one in measured])
        tolerance = max(drift.effect_floor, SMALL_EFFECT)
        p = calibration.psi_p(psi, rows, reference_rows, cells, tolerance)
        shares = _shares(-np.log(np.maximum(p, 1e-300)))
        if joint is not None and joint.permutation_p is not None:
            p = np.append(p, joint.permutation_p)
        adjusted = calibration.benjamini_hochberg(p)
        return float(adjusted.min()), adjusted[: len(measured)], shares, float(adjusted[-1])
    standing = [one.standing for one in measured]
    sides = [side for one in measured for side in one.two_sided]
    firsts = np.cumsum([0, *(len(one.two_sided) for one in measured)])
    if joint is not None and joint.standing is not None:
        standing, sides = [*standing, joint.standing], [*sides, False]
    else:
        firsts = firsts[:-1]
    unusual = unusualness(np.hstack(standing), np.asarray(sides))
    each = np.maximum.reduceat(unusual, firsts, axis=1)
    greatest = each.max(axis=1)
    p = calibration.conformal_p(greatest[:-1], each[-1])
    # A window in the middle of all others has ln 2.
    shares = _shares(np.maximum(each[-1, : len(measured)] - math.log(2), 0.0))
    return float(p.min()), p[: len(measured)], shares, float(p[-1])


def _shares(values: Floats) -> Floats:
    total = values.sum()
    return values / total if total > 0 else np.zeros_like(values)


def _row(one: Measured, p: float, share: float, total_importance: float, drift: DriftSpec) -> FeatureDrift:
    rows = int(one.tally.counts.sum())
    missing = float(one.tally.counts[-1] / rows) if rows else math.nan
    rates = missing_rates(one.reference)
    before = float(rates.max(initial=0.0))
    return FeatureDrift(
        name=one.reference.name,
        kind=one.reference.kind,
        psi=one.psi,
        distance=one.own_distance,
        unit=one.reference.unit if isinstance(one.reference.cells, OrderedCells) else "share of rows",
        missing=missing,
        missing_reference_max=before,
        p_value=p,
        importance=max(one.reference.importance, 0.0) / total_importance if total_importance > 0 else 0.0,
        effect=one.effect,
        flagged=p <= drift.false_alarm_rate + 1e-12 and one.effect >= drift.effect_floor,
        outage=one.outage is not None,
        share_of_statistic=share,
        shift=one.shift,
        note=say_note(one.tally, one.outage, one.reference.name, missing, rates),
    )
