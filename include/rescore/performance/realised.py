"""How well a model does: published scores against the labels that are known by now.

Pure functions on tables and arrays; which run and which interval they belong to is not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rescore.errors import DriftError
from rescore.performance.estimate import ScoreCalibration, estimated_accuracy, estimated_performance
from rescore.performance.labels import label_texts, positive_text
from rescore.performance.metrics import calibration as calibration_of
from rescore.performance.metrics import realised_metrics, row_losses
from rescore.performance.report import Agreement, Coverage, Measure, PerformanceReport, Segment
from rescore.shown_text import number_of
from rescore.spec import ModelSpec

__all__ = [
    "Outcomes",
    "measure",
    "outcomes",
    "pool",
    "positives",
    "realised",
    "realised_losses",
    "segment_texts",
]

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]

#: Segment values of fewer rows are one, "other values": a metric of theirs would be a row's own.
MIN_SEGMENT_ROWS = 10

#: An estimate of all rows is set against those with a label if so many have one.
NEARLY_ALL = 0.9
#: So many values of a segment column are told apart, the most frequent ones.
MAX_SEGMENTS = 20
OTHERS = "other values"

#: So many labels that training never saw are named.
MAX_UNKNOWN = 20


@dataclass(frozen=True)
class Outcomes:
    """Scores beside what came true, of one run or of several.

    Attributes
    ----------
    score : ndarray of float64, shape (n_rows,)
        In the order of the score tables.
    truth : ndarray of float64, shape (n_rows,)
        Regression: the target. Binary: 1 for the positive class, else 0. Multiclass: 1 if the named
        class was right, else 0. NaN where no label is known, and where training never saw the label.
    segments : mapping of str to ndarray of str, shape (n_rows,)
        Per segment column each row's value, as text.
    unknown : Counter of str
        Labels that training never saw, and the rows of each.
    named : ndarray of str, shape (n_rows,), or None
        Multiclass: the class that each score is the certainty of.
    true : ndarray of str, shape (n_rows,), or None
        Multiclass: the class that came true; empty where no label is known.
    """

    score: Floats
    truth: Floats
    segments: Mapping[str, Texts]
    unknown: Counter[str] = field(default_factory=Counter)
    named: Texts | None = None
    true: Texts | None = None

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which rows have a score and a label; shape (n_rows,)."""
        return np.isfinite(self.truth) & np.isfinite(self.score)

    @property
    def labelled(self) -> int:
        """How many rows do."""
        return int(self.known.sum())


def outcomes(
    scores: pa.Table,
    labels: pa.Table,
    spec: ModelSpec,
    segments: pa.Table | None = None,
    *,
    trained_on: Sequence[str] | None = None,
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
    trained_on : sequence of str, optional
        The class labels that the package was trained on (``target.labels`` of its manifest). Rows with
        another label are counted in ``unknown`` and are in no metric. Without it, a binary model's
        labels have to be the positive one and at most one other.

    Raises
    ------
    DriftError
        A needed column is missing, the segments are of other rows, or labels are not of the declared kind.
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
            f"segments of {number_of(segments.num_rows, 'row')} for {number_of(scores.num_rows, 'score')}",
            where=f"model {spec.name}",
            expected="the rows that were scored, in their order",
        )
    joined = _joined(scores, labels, spec)
    truth = np.full(scores.num_rows, np.nan)
    found, unknown = _truth(joined, spec, trained_on)
    at = joined["__position"].to_numpy()
    truth[at] = found
    true = None
    if spec.target.kind == "multiclass":
        true = np.full(scores.num_rows, "", dtype=object)
        true[at] = _class_texts(joined["__target"], spec).to_numpy(zero_copy_only=False)
    return Outcomes(
        score=np.asarray(scores["score"].to_numpy(), dtype=np.float64),
        truth=truth,
        segments={
            name: segment_texts(segments[name])
            for name in spec.segments
            if segments is not None and name in segments.column_names
        },
        unknown=unknown,
        named=segment_texts(scores["label"]) if spec.target.kind == "multiclass" else None,
        true=true,
    )


def _joined(scores: pa.Table, labels: pa.Table, spec: ModelSpec) -> pa.Table:
    """Rows with a label: ``__position`` among the scores, ``__target`` and, if there is one, ``label``."""
    keys, target = spec.source.key, spec.target.name
    kept = scores.select([*keys, *(["label"] if "label" in scores.column_names else [])])
    kept = kept.append_column("__position", pa.array(np.arange(scores.num_rows)))
    known = labels.select([*keys, target]).rename_columns([*keys, "__target"])
    known = known.filter(known["__target"].is_valid())
    for key in keys:
        try:
            same = known[key].cast(scores[key].type)
        except pa.ArrowException:
            raise DriftError(
                f"{key} of the labels is {known[key].type}, that of the scores {scores[key].type}",
                where=f"labels of model {spec.name}",
                expected="the same keys in labels.sql and extract.sql",
                fix=f"cast {key} in labels.sql to what extract.sql gives",
            ) from None
        known = known.set_column(known.column_names.index(key), key, same)
    return kept.join(known, keys=keys, join_type="inner")


def _truth(
    joined: pa.Table, spec: ModelSpec, trained_on: Sequence[str] | None
) -> tuple[Floats, Counter[str]]:
    """The truth of each labelled row, NaN where training never saw the label, and a count of those."""
    column = joined["__target"]
    if spec.target.kind == "regression":
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise _other_type(spec, column.type, "a number")
        # Beyond 2**53 the nearest: what was predicted is no nearer.
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy()), Counter()
    texts = _class_texts(column, spec)
    if spec.target.kind == "binary":
        positive = trained_on[-1] if trained_on else positive_text(spec.target.positive, column.type)
        if trained_on is None:
            _refuse_third_label(spec, pc.unique(texts).to_pylist(), positive)
        right = pc.equal(texts, positive)
    else:
        right = pc.equal(texts, joined["label"].cast(pa.string()).combine_chunks())
    truth = np.array(right.cast(pa.float64()).to_numpy(zero_copy_only=False))
    if trained_on is None:
        return truth, Counter()
    strange = pc.invert(pc.is_in(texts, value_set=pa.array(trained_on, pa.string())))
    truth[strange.to_numpy(zero_copy_only=False)] = np.nan
    return truth, Counter(texts.filter(strange).to_pylist())


def _class_texts(column: pa.ChunkedArray, spec: ModelSpec) -> pa.Array:
    texts = label_texts(column)
    if texts is None:
        raise _other_type(spec, column.type, "booleans, integers or text for classes")
    return texts


def _other_type(spec: ModelSpec, kind: pa.DataType, expected: str) -> DriftError:
    return DriftError(
        f"the labels of {spec.name} are {kind} now",
        where=f"{spec.target.name} in labels.sql",
        expected=expected,
        fix=f"cast {spec.target.name} in labels.sql to what the model was trained on",
    )


def _refuse_third_label(spec: ModelSpec, found: list[str], positive: str) -> None:
    others = [one for one in found if one != positive]
    if len(others) > 1:
        raise DriftError(
            f"{spec.target.name} has the values {', '.join(map(repr, sorted(found)[:6]))}",
            where=f"labels of model {spec.name}",
            expected=f"two values, one of them the positive one, {positive!r}",
            fix="look at labels.sql: a label has another code than in training",
        )


def positives(labels: pa.ChunkedArray, spec: ModelSpec) -> npt.NDArray[np.bool_]:
    """Which labels are the positive class of a binary model, shape (n_rows,); an unknown one is not."""
    texts = _class_texts(labels, spec)
    same = pc.fill_null(pc.equal(texts, positive_text(spec.target.positive, labels.type)), False)
    return np.asarray(same.to_numpy(zero_copy_only=False), dtype=np.bool_)


def segment_texts(column: pa.ChunkedArray) -> Texts:
    """Values as text; whole numbers without a point, nothing as ``missing``."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        values = column.to_numpy()
        text = [f"{value:g}" if np.isfinite(value) else "missing" for value in values]
        return np.asarray(text, dtype=object)
    return np.asarray(column.cast(pa.string()).fill_null("missing").to_numpy(), dtype=object)


def realised_losses(name: str, kind: str, rows: Outcomes, part: npt.NDArray[np.bool_]) -> Floats:
    """The loss of each row of a part by what is published, less is better.

    Of several classes it is 1 where the named one was wrong, else as :func:`~rescore.performance.row_losses`.

    Parameters
    ----------
    name : str
        A metric that is a mean over rows.
    kind : str
        ``binary``, ``multiclass`` or ``regression``.
    rows : Outcomes
        Scores and what came true.
    part : ndarray of bool, shape (n_rows,)
        Which rows.

    Returns
    -------
    ndarray of float64, shape (n_part,)
        In the metric's unit; of ``rmse`` in its square.
    """
    score, truth = rows.score[part], rows.truth[part]
    if kind == "multiclass":
        return 1 - truth
    if kind == "regression":
        return row_losses(name, truth, score, None)
    return row_losses(name, truth.astype(np.int64), np.column_stack([1 - score, score]), None)


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
        sum((part.unknown for part in listed), Counter()),
        _together([part.named for part in listed]),
        _together([part.true for part in listed]),
    )


def _together(parts: Sequence[Texts | None]) -> Texts | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if len(there) == len(parts) else None


def realised(
    scores: pa.Table, labels: pa.Table, spec: ModelSpec, segments: pa.Table | None = None
) -> PerformanceReport:
    """Metrics of a run's scores against the labels that are known: :func:`measure` of :func:`outcomes`."""
    return measure(outcomes(scores, labels, spec, segments), spec)


def measure(
    rows: Outcomes,
    spec: ModelSpec,
    calibration: ScoreCalibration | None = None,
    expected: Mapping[str, Measure] | None = None,
) -> PerformanceReport:
    """Realised metrics, the estimate that needs no label, and how the two agree.

    Parameters
    ----------
    rows : Outcomes
        Of one run or several.
    spec : ModelSpec
        The model.
    calibration : ScoreCalibration, optional
        What scores of the package meant in training, for the estimates of a classifier.
    expected : mapping of str to Measure, optional
        What a regression's errors were expected to be, of all rows: it is set against what came true where
        nearly all rows have a label (:data:`NEARLY_ALL`).
    """
    whole = _coverage(rows, spec)
    known = rows.known
    probabilities = spec.target.kind != "regression"
    agreement, came_true = {}, None
    if probabilities and whole.labelled:
        estimate = _estimate(rows, known, spec, calibration)
        agreement = _agreement(whole.metrics, estimate)
        came_true = calibration_of(rows.score[known], rows.truth[known] > 0)
    elif expected and (whole.coverage or 0.0) >= NEARLY_ALL:
        agreement = _agreement(whole.metrics, expected)
    return PerformanceReport(
        **dict(whole),
        calibration=came_true,
        estimated=_estimate(rows, slice(None), spec, calibration) if probabilities else dict(expected or {}),
        agreement=agreement,
        class_rates=_class_rates(rows, calibration),
        segments={name: tuple(_segments(rows, texts, spec)) for name, texts in rows.segments.items()},
        unknown_labels=dict(rows.unknown.most_common(MAX_UNKNOWN)),
    )


def _coverage(rows: Outcomes, spec: ModelSpec) -> Coverage:
    known, total = rows.known, rows.score.size
    labelled = int(known.sum())
    score, truth = rows.score[known], rows.truth[known]
    return Coverage(
        rows=total,
        labelled=labelled,
        coverage=labelled / total if total else None,
        metrics=realised_metrics(spec.target.kind, score, truth) if labelled else {},
        mean_score=float(score.mean()) if labelled and spec.target.kind != "regression" else None,
    )


def _estimate(
    rows: Outcomes,
    member: npt.NDArray[np.bool_] | slice,
    spec: ModelSpec,
    calibration: ScoreCalibration | None,
) -> dict[str, Measure]:
    if spec.target.kind == "binary":
        return estimated_performance(rows.score[member], calibration)
    named = None if rows.named is None else rows.named[member]
    return {"accuracy": estimated_accuracy(rows.score[member], calibration, named)}


def _class_rates(rows: Outcomes, calibration: ScoreCalibration | None) -> dict[str, Agreement]:
    rates = None if calibration is None else calibration.class_rates
    if calibration is None or rates is None or rows.named is None or rows.true is None or not rows.labelled:
        return {}
    known = rows.known
    named = rows.named[known]
    return rates.agreement(calibration.chances(rows.score[known], named), named, rows.true[known])


def _agreement(realised: Mapping[str, Measure], estimate: Mapping[str, Measure]) -> dict[str, Agreement]:
    found = {}
    for name, expected in estimate.items():
        value = realised.get(name, Measure()).value
        if value is None or expected.value is None or expected.low is None or expected.high is None:
            continue
        found[name] = Agreement(
            realised=value,
            estimated=expected.value,
            low=expected.low,
            high=expected.high,
            within=expected.low <= value <= expected.high,
        )
    return found


def _segments(rows: Outcomes, texts: Texts, spec: ModelSpec) -> Iterable[Segment]:
    values, place, counts = np.unique(texts, return_inverse=True, return_counts=True)
    ranked = sorted(range(values.size), key=lambda one: (-int(counts[one]), str(values[one])))
    own = [one for one in ranked if counts[one] >= MIN_SEGMENT_ROWS][:MAX_SEGMENTS]
    groups = [(str(values[one]), place == one) for one in own]
    rest = ~np.isin(place, own)
    if rest.any():
        groups.append((OTHERS, rest))
    for name, member in groups:
        yield Segment(
            value=name, **dict(_coverage(Outcomes(rows.score[member], rows.truth[member], {}), spec))
        )
