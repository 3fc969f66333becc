"""The reference profile: what a package remembers of its training data to compare windows with.

Counts, cell edges and levels with enough rows; never a row. Windows are the schedule intervals of
the training snapshot, so they have production's rhythm.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rescore.drift.binning import moments
from rescore.drift.calibration import per_window, refuse_unresolvable
from rescore.drift.expected_loss import ExpectedLoss
from rescore.drift.feature_reference import (
    MIN_ROWS,
    SCORE,
    FeatureReference,
    feature_reference,
    ordered_reference,
)
from rescore.drift.resolution import Resolution, resolve
from rescore.drift.stored_numbers import floats, iso, rounded
from rescore.drift.training_outcomes import TrainingOutcomes, loss_of_training, outcomes_of_training
from rescore.drift.window_values import one_score, spread, stratum_of
from rescore.errors import DriftError
from rescore.performance import CameTrue, ScoreCalibration
from rescore.shown_text import number_of
from rescore.spec import ModelSpec

__all__ = [
    "FORMAT",
    "Reference",
    "build_reference",
    "came_true_of",
    "resolution_of",
]

#: Bumped when a reader of the old form would misread the new one. Another format is refused.
FORMAT = 2

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Names = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Reference:
    """The whole profile; ``Reference.from_bytes(r.to_bytes())`` has the same bytes again.

    Attributes
    ----------
    starts : tuple of str
        Start of each reference window (ISO 8601, UTC), in order.
    rows : ndarray of int, shape (n_windows,)
        Rows of each.
    strata : tuple of str
        ``weekday`` or ``weekend`` for each, by the day most of its events are on.
    score : FeatureReference or None
        Out-of-fold scores, if there were any.
    score_spread : ndarray of float, shape (n_windows,), or None
        Standard deviation of the scores of each window.
    estimated_auc : ndarray of float, shape (n_windows,), or None
        Per window, the AUC expected from the scores alone; binary models only.
    calibration : ScoreCalibration or None
        What scores meant, where the snapshot had labels; of several classes, whether the named one came true.
    resolution : tuple of Resolution
        What the windows can tell, by stratum; none in older profiles.
    came_true : CameTrue or None
        How they came true, where scores are out of fold and labels are known; none in older profiles.
    expected_loss : ExpectedLoss or None
        What errors depend on, of a regression whose scores are out of fold; none in older profiles.
    """

    model: str
    timezone: str
    event_time: str
    starts: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    strata: tuple[str, ...]
    features: tuple[FeatureReference, ...]
    score: FeatureReference | None
    score_spread: Floats | None
    estimated_auc: Floats | None
    calibration: ScoreCalibration | None = None
    resolution: tuple[Resolution, ...] = ()
    came_true: CameTrue | None = None
    expected_loss: ExpectedLoss | None = None

    def to_bytes(self) -> bytes:
        """Deterministic JSON: sorted keys, floats by repr, no NaN."""
        stored = {
            "format": FORMAT,
            "model": self.model,
            "timezone": self.timezone,
            "event_time": self.event_time,
            "least_rows": MIN_ROWS,
            "windows": [
                {"start": start, "rows": int(rows), "stratum": stratum}
                for start, rows, stratum in zip(self.starts, self.rows, self.strata, strict=True)
            ],
            "features": [feature.to_dict() for feature in self.features],
            "score": None if self.score is None else self.score.to_dict(),
            "score_spread": rounded(self.score_spread),
            "estimated_auc": rounded(self.estimated_auc),
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            **({"resolution": [one.to_dict() for one in self.resolution]} if self.resolution else {}),
            **({} if self.came_true is None else {"came_true": self.came_true.to_dict()}),
            **({} if self.expected_loss is None else {"expected_loss": self.expected_loss.to_dict()}),
        }
        text = json.dumps(stored, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
        return text.encode("utf-8")

    @classmethod
    def from_bytes(cls, reference: bytes) -> Reference:
        """Read a profile.

        Raises
        ------
        DriftError
            Not a reference profile, or of a format this version does not know.
        """
        try:
            stored = json.loads(reference)
            found = stored["format"]
        except (ValueError, KeyError, TypeError):
            raise DriftError(
                "the reference profile can't be read",
                expected="the bytes that build_reference gave",
                fix="train the package again",
            ) from None
        if found != FORMAT:
            raise DriftError(
                f"the reference profile has format {found}",
                expected=f"format {FORMAT}",
                fix="update rescore, or train the package again",
            )
        # Not in the first profiles of this format, as the resolution: who does not know them loses nothing.
        calibration, came_true = stored.get("calibration"), stored.get("came_true")
        expected_loss = stored.get("expected_loss")
        try:
            return cls(
                model=stored["model"],
                timezone=stored["timezone"],
                event_time=stored["event_time"],
                starts=tuple(window["start"] for window in stored["windows"]),
                rows=np.asarray([window["rows"] for window in stored["windows"]], dtype=np.int64),
                strata=tuple(window["stratum"] for window in stored["windows"]),
                features=tuple(FeatureReference.from_dict(one) for one in stored["features"]),
                score=None if stored["score"] is None else FeatureReference.from_dict(stored["score"]),
                score_spread=floats(stored["score_spread"]),
                estimated_auc=floats(stored["estimated_auc"]),
                calibration=None if calibration is None else ScoreCalibration.from_dict(calibration),
                resolution=tuple(Resolution.from_dict(one) for one in stored.get("resolution", ())),
                came_true=None if came_true is None else CameTrue.from_dict(came_true),
                expected_loss=None if expected_loss is None else ExpectedLoss.from_dict(expected_loss),
            )
        except (KeyError, TypeError) as error:
            raise DriftError(
                f"the reference profile is not complete: {error} is missing or wrong",
                where=f"model {stored.get('model')}",
                expected=f"all of format {FORMAT}, as build_reference gives it",
                fix="train the package again",
            ) from None


def build_reference(
    snapshot: pa.Table,
    spec: ModelSpec,
    scores: npt.NDArray[np.float64] | None,
    importance: dict[str, float],
    *,
    named: npt.NDArray[np.object_] | None = None,
    out_of_fold: bool = True,
) -> bytes:
    """Make the reference profile of a package.

    Parameters
    ----------
    snapshot : pyarrow.Table
        All rows of the training's intervals that scoring would have seen: the model's input columns,
        ``interval_start`` (timestamp) and, for the calibration of estimates, the target, NULL where no
        label is known.
    spec : ModelSpec
        The model.
    scores : ndarray of float, shape (n_rows,), or None
        Out-of-fold scores of the snapshot's rows, NaN where there is none. In-sample scores would
        make every live window look drifted.
    importance : dict of str to float
        Per feature, what it is worth to the model (any unit; negative counts as nothing).
    named : ndarray of str, shape (n_rows,), optional
        Of several classes: the one that each score is the certainty of, None where there is no score.
    out_of_fold : bool
        Whether no model has scored rows that it has seen. Else they say nothing of how well it does.

    Returns
    -------
    bytes
        Deterministic JSON: equal inputs give equal bytes.

    Raises
    ------
    DriftError
        The snapshot has no rows or lacks a column, scores are not aligned with it, or there are
        too few windows for the declared false-alarm rate.
    """
    _refuse_unfit(snapshot, spec, scores)
    snapshot, scores, named = _by_interval(snapshot, scores, named)
    windows = _Windows.of(snapshot, spec)
    rate = _refuse(spec, windows.starts, windows.strata)
    bounds, event_time = windows.bounds, windows.event_time
    features = tuple(
        feature_reference(
            feature, float(importance.get(feature.name, 0.0)), snapshot[feature.name], event_time, bounds
        )
        for feature in spec.features
    )
    score = score_spread = None
    outcomes, expected_loss = TrainingOutcomes(), None
    if scores is not None:
        values = one_score(scores)
        score = ordered_reference(SCORE, SCORE, spec.output.unit, 0.0, values, bounds)
        score_spread = np.asarray([spread(values[a:b]) for a, b in pairwise(bounds)])
        outcomes = outcomes_of_training(
            snapshot, spec, values, named, bounds, windows.starts, out_of_fold=out_of_fold
        )
        if out_of_fold and spec.target.kind == "regression" and spec.target.name in snapshot.column_names:
            expected_loss = loss_of_training(snapshot, spec, [*features, score], values, event_time, bounds)
    return Reference(
        model=spec.name,
        timezone=spec.schedule.timezone,
        event_time=spec.source.event_time,
        starts=windows.starts,
        rows=np.diff(bounds).astype(np.int64),
        strata=windows.strata,
        features=features,
        score=score,
        score_spread=score_spread,
        estimated_auc=outcomes.estimated_auc,
        calibration=outcomes.calibration,
        resolution=resolve(features, windows.strata, rate, by_stratum=spec.drift.strata == "weekday"),
        came_true=outcomes.came_true,
        expected_loss=expected_loss,
    ).to_bytes()


def _refuse_unfit(snapshot: pa.Table, spec: ModelSpec, scores: Floats | None) -> None:
    where = f"model {spec.name}"
    held = set(snapshot.column_names)
    if missing := [name for name in ("interval_start", *spec.feature_names) if name not in held]:
        raise DriftError(
            "the training snapshot lacks columns",
            where=where,
            expected="interval_start and every feature",
            examples=missing,
            fix="build the reference from the snapshot as it was frozen",
        )
    if snapshot.num_rows == 0:
        raise DriftError("the training snapshot has no rows", where=where, fix="check training.intervals")
    if scores is not None and len(scores) != snapshot.num_rows:
        raise DriftError(
            f"{number_of(len(scores), 'score')} for {number_of(snapshot.num_rows, 'row')}",
            where=where,
            expected="one out-of-fold score per row of the snapshot",
            fix="pass NaN for rows without one",
        )


def _interval_starts(snapshot: pa.Table) -> Counts:
    """When each row's interval begins, in microseconds since 1970 (UTC)."""
    starts: Counts = snapshot["interval_start"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return starts


def _by_interval(
    snapshot: pa.Table, scores: Floats | None, named: Names | None
) -> tuple[pa.Table, Floats | None, Names | None]:
    """The rows in the order of their intervals, with what belongs to each."""
    starts = _interval_starts(snapshot)
    if not (np.diff(starts) < 0).any():
        return snapshot, scores, named
    order = np.argsort(starts, kind="stable")
    return (
        snapshot.take(pa.array(order)),
        None if scores is None else np.asarray(scores)[order],
        None if named is None else named[order],
    )


@dataclass(frozen=True)
class _Windows:
    """The intervals of a snapshot whose rows are in their order."""

    #: Window n has the rows from ``bounds[n]`` to before ``bounds[n + 1]``.
    bounds: npt.NDArray[np.intp]
    starts: tuple[str, ...]
    strata: tuple[str, ...]
    #: Days since 1970 of each row's event, if the snapshot has it.
    event_time: Floats | None

    @classmethod
    def of(cls, snapshot: pa.Table, spec: ModelSpec) -> _Windows:
        micros = _interval_starts(snapshot)
        begins = np.flatnonzero(np.r_[True, micros[1:] != micros[:-1]])
        bounds = np.r_[begins, snapshot.num_rows].astype(np.intp)
        event_time = None
        if spec.source.event_time in snapshot.column_names:
            event_time = moments(snapshot[spec.source.event_time])
        days = micros / 86_400e6 if event_time is None else event_time
        return cls(
            bounds=bounds,
            starts=tuple(iso(int(one)) for one in micros[begins]),
            strata=tuple(stratum_of(days[a:b], spec.schedule.timezone) for a, b in pairwise(bounds)),
            event_time=event_time,
        )


def _refuse(spec: ModelSpec, starts: tuple[str, ...], strata: tuple[str, ...]) -> float:
    """Refuse at training what could not be kept when a window is compared; the rate per window."""
    where = f"model {spec.name}: drift"
    rate = per_window(spec.drift, starts, where=where).false_alarm_rate
    groups = [len(starts)] if spec.drift.strata == "none" else [strata.count(one) for one in set(strata)]
    for windows in groups:
        refuse_unresolvable(windows, rate, where=where)
    return rate


def came_true_of(reference: bytes) -> CameTrue | None:
    """How the windows of a package's training came true; None where that is not known."""
    return Reference.from_bytes(reference).came_true


def resolution_of(reference: bytes) -> tuple[Resolution, ...]:
    """What a package's reference windows can tell, by stratum."""
    return Reference.from_bytes(reference).resolution
