"""How well a model does: published scores against the labels that are known by now.

Pure functions on tables and arrays; which run and which interval they belong to is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rescore.errors import DriftError
from rescore.performance import interval_metrics as metrics
from rescore.performance.estimate import (
    ScoreCalibration,
    estimated_accuracy,
    estimated_performance,
)
from rescore.spec import ModelSpec

__all__ = ["Outcomes", "main_metric", "measure", "outcomes", "pool", "positives", "realised"]

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]

#: Segment values of fewer rows are one, "other values": a metric of theirs would be a row's own.
LEAST_SEGMENT_ROWS = 10
#: So many values of a segment column are told apart, the most frequent ones.
MOST_SEGMENTS = 20
OTHERS = "other values"

#: What a model is judged by unless ``promotion.metric`` says.
_MAIN = {"binary": "auc", "multiclass": "accuracy", "regression": "rmse"}


@dataclass(frozen=True)
class Outcomes:
    """Scores beside what came true, of one run or of several.

    Attributes
    ----------
    score : ndarray of float, shape (n_rows,)
        In the order of the score tables.
    truth : ndarray of float, shape (n_rows,)
        Regression: the target. Binary: 1 for the positive class, else 0. Multiclass: 1 if the named
        class was right, else 0. NaN where no label is known.
    segments : mapping of str to ndarray of str, shape (n_rows,)
        Per segment column each row's value, as text.
    """

    score: Floats
    truth: Floats
    segments: Mapping[str, Texts]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which rows have a score and a label."""
        return np.isfinite(self.truth) & np.isfinite(self.score)

    @property
    def labelled(self) -> int:
        """How many rows do."""
        return int(self.known.sum())


def main_metric(spec: ModelSpec) -> str:
    """The metric a model is judged by: ``promotion.metric``, else ``auc``, ``accuracy`` or ``rmse``."""
    return spec.promotion.metric or _MAIN[spec.target.kind]


def outcomes(
    scores: pa.Table, labels: pa.Table, spec: ModelSpec, segments: pa.Table | None = None
) -> Outcomes:
    """Put each score of a run beside its label.

    Parameters
    ----------
    scores : pyarrow.Table
        Key columns, ``score`` and, for multiclass models, ``label``.
    labels : pyarrow.Table
        Key columns and the target; a row without a label is absent or NULL.
    spec : ModelSpec
        The model.
    segments : pyarrow.Table, optional
        The rows that were scored, in their order: the segment columns are read from it.

    Raises
    ------
    DriftError
        A needed column is missing, or the segments are of other rows.
    """
    keys, target = spec.source.key, spec.target.name
    for table, columns, what in ((scores, [*keys, "score"], "scores"), (labels, [*keys, target], "labels")):
        if absent := [name for name in columns if name not in table.column_names]:
            raise DriftError(
                f"the {what} lack columns",
                where=f"model {spec.name}",
                expected=", ".join(columns),
                examples=absent,
                fix=f"pass the {what} with the model's key columns",
            )
    if segments is not None and segments.num_rows != scores.num_rows:
        raise DriftError(
            f"segments of {segments.num_rows:,} rows for {scores.num_rows:,} scores",
            where=f"model {spec.name}",
            expected="the rows that were scored, in their order",
        )
    kept = scores.select([*keys, *(["label"] if "label" in scores.column_names else [])])
    kept = kept.append_column("__position", pa.array(np.arange(scores.num_rows)))
    known = labels.select([*keys, target]).rename_columns([*keys, "__target"])
    known = known.filter(known["__target"].is_valid())
    for key in keys:
        known = known.set_column(known.column_names.index(key), key, known[key].cast(scores[key].type))
    joined = kept.join(known, keys=keys, join_type="inner")
    truth = np.full(scores.num_rows, np.nan)
    truth[joined["__position"].to_numpy()] = _truth(joined, spec)
    return Outcomes(
        score=np.asarray(scores["score"].to_numpy(), dtype=np.float64),
        truth=truth,
        segments={
            name: _texts(segments[name])
            for name in spec.segments
            if segments is not None and name in segments.column_names
        },
    )


def _truth(joined: pa.Table, spec: ModelSpec) -> Floats:
    truth = joined["__target"]
    if spec.target.kind == "regression":
        return np.asarray(truth.cast(pa.float64()).to_numpy())
    if spec.target.kind == "binary":
        return positives(truth, spec).astype(np.float64)
    same = pc.equal(joined["label"].cast(pa.string()), truth.cast(pa.string()))
    return np.asarray(same.to_numpy(), dtype=np.float64)


def positives(labels: pa.ChunkedArray, spec: ModelSpec) -> npt.NDArray[np.bool_]:
    """Which labels, all known, are the positive class of a binary model."""
    same = pc.equal(labels, pa.scalar(spec.target.positive).cast(labels.type))
    return np.asarray(same.to_numpy(), dtype=np.bool_)


def _texts(column: pa.ChunkedArray) -> Texts:
    """Values as text; whole numbers without a point, nothing as ``missing``."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        values = column.to_numpy()
        text = [f"{value:g}" if np.isfinite(value) else "missing" for value in values]
        return np.asarray(text, dtype=object)
    return np.asarray(column.cast(pa.string()).fill_null("missing").to_numpy(), dtype=object)


def pool(parts: Iterable[Outcomes]) -> Outcomes:
    """The rows of several runs as one, in the order given."""
    listed = list(parts)
    if not listed:
        return Outcomes(np.empty(0), np.empty(0), {})
    names = [name for name in listed[0].segments if all(name in part.segments for part in listed)]
    return Outcomes(
        np.concatenate([part.score for part in listed]),
        np.concatenate([part.truth for part in listed]),
        {name: np.concatenate([part.segments[name] for part in listed]) for name in names},
    )


def realised(
    scores: pa.Table, labels: pa.Table, spec: ModelSpec, segments: pa.Table | None = None
) -> dict[str, Any]:
    """Metrics of a run's scores against the labels that are known: :func:`measure` of :func:`outcomes`."""
    return measure(outcomes(scores, labels, spec, segments), spec)


def measure(rows: Outcomes, spec: ModelSpec, calibration: ScoreCalibration | None = None) -> dict[str, Any]:
    """Realised metrics, the estimate that needs no label, and how the two agree.

    Parameters
    ----------
    rows : Outcomes
        Of one run or several.
    spec : ModelSpec
        The model.
    calibration : ScoreCalibration, optional
        What scores of the package meant in training, for the estimates of a binary model.

    Returns
    -------
    dict
        ``rows`` scored, ``labelled`` of them, ``coverage`` (share labelled), and if any is labelled
        metrics; ``_low`` and ``_high`` are 95 % intervals, what is not defined (an AUC with one class)
        is None.

        Binary: ``auc``, ``brier``, ``log_loss`` (nats), ``base_rate``, each with its interval,
        ``mean_score``, and the calibration: see :func:`~rescore.performance.interval_metrics.calibration`.
        Regression, in the target's unit: ``rmse``, ``mae``, ``bias`` (score less truth) with intervals,
        and ``r2``. Multiclass: ``accuracy`` with its interval, ``mean_score`` and the calibration of
        the certainty of the class named.

        Classifiers: ``estimated``, of all scored rows (:func:`estimated_performance`), and
        ``agreement``: per metric ``realised``, ``estimated`` from the labelled rows alone, so that both
        speak of the same rows, with its band ``low``, ``high`` and whether the realised is ``within``.

        ``segments``: per segment column a list of ``value``, ``rows``, ``labelled``, ``coverage`` and
        the metrics, without calibration and estimates; most frequent first.
    """
    whole = _counted(rows, spec)
    if spec.target.kind != "regression":
        whole["estimated"] = _estimate(rows.score, spec, calibration)
        if whole["labelled"]:
            whole["agreement"] = _agreement(whole, _estimate(rows.score[rows.known], spec, calibration))
    if rows.segments:
        whole["segments"] = {name: _segments(rows, texts, spec) for name, texts in rows.segments.items()}
    return whole


def _counted(rows: Outcomes, spec: ModelSpec, *, calibrated: bool = True) -> dict[str, Any]:
    known, total = rows.known, rows.score.size
    labelled = int(known.sum())
    report: dict[str, Any] = {
        "rows": total,
        "labelled": labelled,
        "coverage": labelled / total if total else None,
    }
    if labelled == 0:
        return report
    score, truth = rows.score[known], rows.truth[known]
    if spec.target.kind == "regression":
        return report | metrics.regression(score, truth)
    judge = metrics.binary if spec.target.kind == "binary" else metrics.multiclass
    return report | judge(score, truth > 0, calibrated=calibrated)


def _estimate(
    score: Floats, spec: ModelSpec, calibration: ScoreCalibration | None
) -> dict[str, float | None]:
    if spec.target.kind == "binary":
        return estimated_performance(score, calibration)
    return estimated_accuracy(score)


def _agreement(realised: Mapping[str, Any], estimate: Mapping[str, float | None]) -> dict[str, Any]:
    found = {}
    for name in estimate:
        value, low, high = realised.get(name), estimate.get(f"{name}_low"), estimate.get(f"{name}_high")
        if value is None or low is None or high is None:
            continue
        found[name] = {
            "realised": value,
            "estimated": estimate[name],
            "low": low,
            "high": high,
            "within": bool(low <= value <= high),
        }
    return found


def _segments(rows: Outcomes, texts: Texts, spec: ModelSpec) -> Sequence[dict[str, Any]]:
    values, place, counts = np.unique(texts, return_inverse=True, return_counts=True)
    ranked = sorted(range(values.size), key=lambda one: (-int(counts[one]), str(values[one])))
    own = [one for one in ranked if counts[one] >= LEAST_SEGMENT_ROWS][:MOST_SEGMENTS]
    groups = [(str(values[one]), place == one) for one in own]
    rest = ~np.isin(place, own)
    if rest.any():
        groups.append((OTHERS, rest))
    found = []
    for name, member in groups:
        part = Outcomes(rows.score[member], rows.truth[member], {})
        found.append({"value": name, **_counted(part, spec, calibrated=False)})
    return found
