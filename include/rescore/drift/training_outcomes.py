"""How training's scores came true: what they meant, and how well each of its windows did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rescore.drift.binning import OrderedCells, ordered_values
from rescore.drift.expected_loss import CodedFeature, ExpectedLoss
from rescore.drift.feature_reference import SCORE, FeatureReference
from rescore.drift.stored_numbers import floats
from rescore.performance import (
    CameTrue,
    Outcomes,
    ScoreCalibration,
    estimated_performance,
    label_texts,
    measure,
    positives,
    segment_texts,
)
from rescore.spec import ModelSpec

__all__ = ["TrainingOutcomes", "loss_of_training", "outcomes_of_training"]

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]


@dataclass(frozen=True)
class TrainingOutcomes:
    """What ``Reference`` keeps under the same names; None where it is not known."""

    calibration: ScoreCalibration | None = None
    estimated_auc: Floats | None = None
    came_true: CameTrue | None = None


def outcomes_of_training(
    snapshot: pa.Table,
    spec: ModelSpec,
    scores: Floats,
    named: Texts | None,
    bounds: npt.NDArray[np.intp],
    starts: Sequence[str],
    *,
    out_of_fold: bool,
) -> TrainingOutcomes:
    """Calibrate scores by what came true, and measure each of training's windows.

    Parameters
    ----------
    snapshot : pyarrow.Table
        In order of its windows; the target, NULL where no label is known, and the segment columns.
    spec : ModelSpec
        The model.
    scores : ndarray of float, shape (n_rows,)
        NaN where there is none.
    named : ndarray of str, shape (n_rows,), or None
        Of several classes: the one that each score is the certainty of.
    bounds : ndarray of int, shape (n_windows + 1,)
        First row of each window, and the one after the last.
    starts : sequence of str, length n_windows
        When each begins.
    out_of_fold : bool
        Else windows are not measured: a model does too well on rows that it has seen.
    """
    truth = _truth(snapshot, spec, named)
    calibration = came_true = estimated = None
    if truth is not None and spec.target.kind != "regression":
        known = np.where(np.isfinite(truth), scores, np.nan)
        texts = None if named is None else label_texts(snapshot[spec.target.name])
        true = None if texts is None else texts.to_numpy(zero_copy_only=False)
        calibration = ScoreCalibration.fit(known, truth == 1, bounds.tolist(), named, true)
    if spec.target.kind == "binary":
        aucs = [estimated_performance(scores[a:b], calibration)["auc"].value for a, b in pairwise(bounds)]
        estimated = floats(aucs)
    if truth is not None and out_of_fold:
        segments = {
            name: segment_texts(snapshot[name]) for name in spec.segments if name in snapshot.column_names
        }
        windows = [slice(a, b) for a, b in pairwise(bounds.tolist())]
        reports = [
            measure(
                Outcomes(
                    scores[one],
                    truth[one],
                    {name: texts[one] for name, texts in segments.items()},
                    named=None if named is None else named[one],
                ),
                spec,
                calibration,
            )
            for one in windows
        ]
        came_true = CameTrue.of(starts, reports, [float(np.isfinite(truth[one]).mean()) for one in windows])
    return TrainingOutcomes(calibration, estimated, came_true)


def _truth(snapshot: pa.Table, spec: ModelSpec, named: Texts | None) -> Floats | None:
    """As ``performance.Outcomes.truth``."""
    if spec.target.name not in snapshot.column_names:
        return None
    labels = snapshot[spec.target.name]
    if spec.target.kind != "regression":
        known = np.asarray(labels.is_valid().to_numpy(), dtype=np.bool_)
        if spec.target.kind == "binary":
            right = positives(labels, spec)
        else:
            texts = label_texts(labels)
            if named is None or texts is None:
                return None
            right = texts.to_numpy(zero_copy_only=False) == named
        return np.where(known, right.astype(np.float64), np.nan)
    return np.asarray(labels.cast(pa.float64()).to_numpy(), dtype=np.float64)


def loss_of_training(
    snapshot: pa.Table,
    spec: ModelSpec,
    features: Sequence[FeatureReference],
    scores: Floats,
    event_time: Floats | None,
    bounds: npt.NDArray[np.intp],
) -> ExpectedLoss | None:
    """What the squared error of a regression depends on; None if too few windows have labels.

    Parameters
    ----------
    snapshot, spec, scores, bounds
        As in :func:`outcomes_of_training`.
    features : sequence of FeatureReference
        Every feature, and the scores.
    event_time : ndarray of float, shape (n_rows,), or None
        Of the rows, for the ages of moments.
    """
    truth = _truth(snapshot, spec, None)
    if truth is None:
        return None
    coded = []
    for one in sorted(features, key=lambda one: (one.kind != SCORE, -one.importance)):
        if not isinstance(one.cells, OrderedCells):
            codes = one.cells.codes(snapshot[one.name])
            places = np.full(one.counts.shape[1], np.nan)
        else:
            of_scores = one.kind == SCORE
            values = scores if of_scores else ordered_values(snapshot[one.name], one.kind, event_time)
            codes, places = one.cells.codes(values), np.append(one.cells.places, np.nan)
        coded.append(CodedFeature(one.name, codes, places))
    return ExpectedLoss.fit(coded, (truth - scores) ** 2, bounds)
