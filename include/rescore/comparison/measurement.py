"""What a comparison measures: metrics, days, calibration, segments, moved scores.

No row and no key is kept, only what many rows have in common.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rescore.comparison.error_budget import error_of
from rescore.comparison.report import (
    Bootstrap,
    DayGain,
    Measurement,
    MetricGain,
    MovedScores,
    Movement,
    Reliability,
    ReliabilityBin,
    SegmentGain,
    Side,
    SureGain,
)
from rescore.comparison.resampling import (
    CONFIDENCE,
    RESAMPLES,
    SEED,
    Floats,
    Integers,
    Metric,
    Predicted,
    Resampled,
    metric_of,
)
from rescore.comparison.shadow import loss_of
from rescore.errors import SpecError
from rescore.evidence import mid_ranks
from rescore.performance import METRICS, main_metric, point_metrics, row_losses
from rescore.spec import ModelSpec

__all__ = ["Judging", "daily_gains", "detectable_before", "measured", "movement"]

#: So many values of a segment are told apart; numbers with more are cut at their quartiles.
MAX_SEGMENTS = 20
#: A segment of fewer rows, of fewer rows of either class, or on fewer days is judged with the other
#: small ones: its metric would be chance.
MIN_ROWS, MIN_OF_A_CLASS, MIN_SEGMENT_BLOCKS = 100, 20, 5
SMALL = "small ones together"
BINS = 10
#: Cells of the picture of moved scores, along each side.
CELLS = 24

Sides = Mapping[Side, Predicted]
_SIDES: tuple[Side, Side] = ("champion", "challenger")


@dataclass(frozen=True)
class Judging:
    """By what two packages are judged, as their model declares it.

    Attributes
    ----------
    kind : str
        ``binary``, ``multiclass`` or ``regression``.
    metric : str
        The one that decides.
    segments : tuple of str
        Columns whose values are judged by themselves.
    event_time : str
        The column of moments.
    timezone : str
        In which days are days.
    """

    kind: str
    metric: str
    segments: tuple[str, ...]
    event_time: str
    timezone: str

    @classmethod
    def of(cls, spec: ModelSpec) -> Judging:
        """What a model declares."""
        return cls(
            kind=spec.target.kind,
            metric=main_metric(spec),
            segments=tuple(spec.segments),
            event_time=spec.source.event_time,
            timezone=spec.schedule.timezone,
        )


def measured(
    rows: pa.Table, truth: Any, sides: Sides, judging: Judging, *, place: int = 1, shadow: bool = False
) -> Measurement:
    """Everything that the hold-out's labels tell about champion and challenger.

    Parameters
    ----------
    rows : pyarrow.Table
        The hold-out.
    truth : ndarray, shape (n_rows,)
        Positions of labels, or values.
    sides : mapping of str to Predicted
        What ``champion`` and ``challenger`` say of the hold-out.
    judging : Judging
        Metric, segments and days.
    place : int
        Which comparison of the year this is: how sure a gain has to be depends on it.
    shadow : bool
        Whether live days get half of its error.

    Raises
    ------
    SpecError
        The declared metric is none of the target's kind.
    """
    main = judging.metric
    block, names = _blocks(judging, rows)
    judged = _Judged(judging.kind, truth, sides, block, Resampled(len(names)))
    every = np.ones(len(block), dtype=bool)
    exact = {side: point_metrics(judging.kind, truth, sides[side].raw, sides[side].named) for side in _SIDES}
    known = [name for name in exact["champion"] if name in METRICS]
    if main not in known:
        raise SpecError(
            f"the model is judged by {main!r}, which is no metric of a {judging.kind} target",
            where="model.yaml: promotion.metric",
            expected=f"one of: {', '.join(sorted(known))}",
            fix="name one of these, or leave it out",
        )
    metrics = {}
    for name in known:
        both = {side: exact[side][name] for side in _SIDES}
        gain = judged.gain(name, every).to_dict() | both
        metrics[name] = MetricGain(**gain, better=_better(name))
    return Measurement(
        metric=main,
        better=_better(main),
        metrics=metrics,
        blocks=tuple(judged.day(main, name, block == number) for number, name in enumerate(names)),
        calibration={side: judged.calibration(side) for side in _SIDES},
        segments={name: tuple(judged.segments(main, rows[name])) for name in judging.segments},
        bootstrap=judged.bootstrap(main, place, error_of(place, shadow=shadow)),
    )


def daily_gains(rows: pa.Table, truth: Any, sides: Sides, judging: Judging) -> tuple[float, ...]:
    """By how much the challenger's mean loss is less on each day, in order of time.

    The loss is :func:`~rescore.comparison.shadow.loss_of` of the metric.

    Parameters
    ----------
    rows : pyarrow.Table
        The rows, for the days they are of.
    truth : ndarray, shape (n_rows,)
        Positions of labels, or values.
    sides : Sides
        What champion and challenger predict of them.
    judging : Judging
        The metric, and by which days.

    Returns
    -------
    tuple of float
        One a day, in the loss's unit.
    """
    loss = loss_of(judging.kind, judging.metric)
    block, names = _blocks(judging, rows)
    old, new = (row_losses(loss, truth, sides[side].raw, sides[side].named) for side in _SIDES)
    gained = new - old if METRICS[loss].higher_is_better else old - new
    days = np.bincount(block, gained, len(names)) / np.bincount(block, minlength=len(names))
    return tuple(float(day) for day in days)


def detectable_before(
    rows: pa.Table, truth: Any, champion: Predicted, judging: Judging, error: float
) -> float | None:
    """The gain that 8 of 10 comparisons would find if the challenger erred on days of its own, as far apart.

    From the champion's own hold-out, before there is a challenger: one that errs on the same days is found by
    less.

    Parameters
    ----------
    rows : pyarrow.Table
        The hold-out, for the days it is of.
    truth : ndarray, shape (n_rows,)
        Positions of labels, or values.
    champion : Predicted
        What the champion predicts of them.
    judging : Judging
        The metric, and by which days.
    error : float
        How often an equal challenger may win by chance, 0 to 1.

    Returns
    -------
    float or None
        In the metric's unit; None where these days give no interval.
    """
    block, names = _blocks(judging, rows)
    metric = metric_of(judging.metric, truth, champion.raw, champion.named, block, len(names))
    found = Resampled(len(names)).detectable(metric, error)
    return None if found is None else math.sqrt(2) * found


def _better(metric: str) -> Literal["higher", "lower"]:
    return "higher" if METRICS[metric].higher_is_better else "lower"


def _blocks(judging: Judging, rows: pa.Table) -> tuple[Integers, list[str]]:
    """The local day of each row: of its interval's start, or of its event where intervals are longer."""
    starts = rows["interval_start"]
    lengths = pc.subtract(rows["interval_end"], starts).cast(pa.int64())  # microseconds
    longer = pc.max(lengths).as_py() > timedelta(hours=36) // timedelta(microseconds=1)
    moments = rows[judging.event_time] if longer else starts
    zone = ZoneInfo(judging.timezone).key
    local = pc.local_timestamp(moments.cast(pa.timestamp("us", tz=zone)))
    days = pc.strftime(local, format="%Y-%m-%d").combine_chunks()
    names = sorted(pc.unique(days).to_pylist())
    return pc.index_in(days, value_set=pa.array(names)).to_numpy().astype(np.int64), names


class _Judged:
    """Both predictions beside the truth, measured on any part of the rows."""

    def __init__(self, kind: str, truth: Any, sides: Sides, block: Integers, resampled: Resampled) -> None:
        self._kind, self._truth, self._sides = kind, truth, sides
        self._block, self._resampled = block, resampled

    def gain(self, name: str, part: npt.NDArray[np.bool_]) -> SureGain:
        """A metric of both, and by how much the challenger is better, with its interval."""
        sides = {side: self._metric(name, side, part) for side in _SIDES}
        value, low, high = self._resampled.interval(self._difference(name, part))
        champion, challenger = (self._resampled.interval(sides[side])[0] for side in _SIDES)
        return SureGain(champion=champion, challenger=challenger, gain=value, low=low, high=high)

    def bootstrap(self, name: str, place: int, error: float) -> Bootstrap:
        """How intervals are found, and what the days can tell of the gain in a metric."""
        difference = self._difference(name, np.ones(len(self._block), dtype=bool))
        return Bootstrap(
            resamples=RESAMPLES,
            seed=SEED,
            confidence=CONFIDENCE,
            blocks=self._resampled.blocks,
            block="day",
            effective=round(self._resampled.effective_blocks(difference), 1),
            place=place,
            error=error,
            floor=self._resampled.floor(difference, error),
            detectable=self._resampled.detectable(difference, error),
        )

    def _difference(self, name: str, part: npt.NDArray[np.bool_]) -> Metric:
        """By how much the challenger is better, as often as each day counts."""
        sides = {side: self._metric(name, side, part) for side in _SIDES}
        sign = 1 if METRICS[name].higher_is_better else -1
        return lambda counts: np.asarray(sign * (sides["challenger"](counts) - sides["champion"](counts)))

    def day(self, metric: str, name: str, part: npt.NDArray[np.bool_]) -> DayGain:
        """The gain of one day."""
        gain = self.gain(metric, part)
        return DayGain(
            block=name,
            rows=int(part.sum()),
            champion=gain.champion,
            challenger=gain.challenger,
            gain=gain.gain,
        )

    def _metric(self, name: str, side: Side, part: npt.NDArray[np.bool_]) -> Metric:
        said, blocks = self._sides[side], self._resampled.blocks
        named = None if said.named is None else said.named[part]
        return metric_of(name, self._truth[part], said.raw[part], named, self._block[part], blocks)

    def segments(self, metric: str, column: pa.ChunkedArray) -> list[SegmentGain]:
        """The gain in each value of a column, small ones together."""
        values = _values(column)
        every: list[SegmentGain] = []
        small = np.zeros(len(values), dtype=bool)
        counted = [(int((values == one).sum()), str(one)) for one in np.unique(values)]
        for number, (count, value) in enumerate(sorted(counted, key=lambda one: (-one[0], one[1]))):
            part = values == value
            if number >= MAX_SEGMENTS or not self._enough(part, count):
                small |= part
                continue
            every.append(self._segment(metric, value, part, judged=True))
        if small.any():
            name = f"{SMALL} ({len(np.unique(values[small]))})"
            every.append(self._segment(metric, name, small, judged=self._enough(small, int(small.sum()))))
        return every

    def _segment(self, metric: str, value: str, part: Any, *, judged: bool) -> SegmentGain:
        gain = self.gain(metric, part).to_dict()
        return SegmentGain(value=value, rows=int(part.sum()), judged=judged, **gain)

    def _enough(self, part: npt.NDArray[np.bool_], count: int) -> bool:
        if count < MIN_ROWS or len(np.unique(self._block[part])) < MIN_SEGMENT_BLOCKS:
            return False
        if self._kind != "binary":
            return True
        positive = int((self._truth[part] == 1).sum())
        return min(positive, count - positive) >= MIN_OF_A_CLASS

    def calibration(self, side: Side) -> Reliability:
        """What was predicted beside what came true, in ten bins of equally many rows.

        binary: the probability; multiclass: that of the label that is named, and whether it was right;
        regression: the value. ``error`` is the mean distance of the two, weighted by rows (the
        expected calibration error: Naeini, Cooper and Hauskrecht, 2015).
        """
        raw, named, truth = self._sides[side].raw, self._sides[side].named, self._truth
        if named is not None and self._kind == "multiclass":
            predicted, came = raw[np.arange(len(raw)), named], (named == truth).astype(np.float64)
        else:
            predicted, came = (raw[:, 1] if self._kind == "binary" else raw), truth.astype(np.float64)
        edges = np.unique(np.quantile(predicted, np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))
        number = np.searchsorted(edges, predicted, side="right")
        bins, error = [], 0.0
        for one in np.unique(number):
            part = number == one
            blocks = self._resampled.blocks
            rows, total = (
                np.bincount(self._block[part], weights=weights, minlength=blocks)
                for weights in (None, came[part])
            )
            _, low, high = self._resampled.interval(_ratio(total, rows))
            means = float(predicted[part].mean()), float(came[part].mean())
            error += int(part.sum()) / len(truth) * abs(means[0] - means[1])
            bins.append(
                ReliabilityBin(
                    rows=int(part.sum()), predicted=means[0], observed=means[1], low=low, high=high
                )
            )
        return Reliability(bins=tuple(bins), error=error)


def _ratio(total: Any, rows: Any) -> Metric:
    def ratio(counts: Integers) -> Floats:
        both = [np.einsum("nb,b->n", counts, one, optimize=False) for one in (total, rows)]
        return np.asarray(both[0] / both[1], np.float64)

    return ratio


def _values(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """Each row's segment as text; numbers of many values by quartile."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    many = len(pc.unique(column)) > MAX_SEGMENTS
    if (pa.types.is_floating(kind) or pa.types.is_integer(kind)) and many:
        numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        edges = np.unique(np.nanquantile(numbers, [0.25, 0.5, 0.75]))
        short = [f"{edge:.4g}" for edge in edges]
        inner = [f"{low} – {high}" for low, high in pairwise(short)]
        names = np.array([f"up to {short[0]}", *inner, f"above {short[-1]}", "missing"], dtype=object)
        found = np.searchsorted(edges, numbers, side="left")
        found[np.isnan(numbers)] = len(names) - 1
        return np.asarray(names[found])
    texts = pc.fill_null(column.cast(pa.string()), "missing")
    return np.asarray(texts.to_numpy(zero_copy_only=False), dtype=object)


def movement(
    kind: str, sides: Sides, *, runs: int = 0, left_out: tuple[str, ...] = ()
) -> MovedScores | Movement:
    """How the scores of live rows would change; no label is needed.

    Parameters
    ----------
    kind : str
        ``binary``, ``multiclass`` or ``regression``.
    sides : mapping of str to Predicted
        What both final fits say of the same live rows; empty without such rows.
    runs : int
        Whose rows these are.
    left_out : tuple of str
        Runs that could not be scored with both.
    """
    if not sides or not len(sides["champion"].raw):
        return Movement(rows=0, runs=runs, left_out=left_out)
    old, new = (sides[side].raw for side in _SIDES)
    named, other = (sides[side].named for side in _SIDES)
    changed = None
    if named is not None and other is not None:
        changed = float((named != other).mean())
        column = named if kind == "multiclass" else np.ones(len(old), np.int64)
        old, new = (raw[np.arange(len(raw)), column] for raw in (old, new))
    change = new - old
    low, high = float(min(old.min(), new.min())), float(max(old.max(), new.max()))
    counted, edges, _ = np.histogram2d(
        old, new, bins=CELLS, range=[[low, high if high > low else low + 1]] * 2
    )
    tenth = max(1, len(old) // 10)
    top = [set(np.argsort(-score, kind="stable")[:tenth].tolist()) for score in (old, new)]
    p05, p25, p50, p75, p95 = map(float, np.quantile(change, (0.05, 0.25, 0.5, 0.75, 0.95)))
    return MovedScores(
        rows=len(old),
        runs=runs,
        left_out=left_out,
        p05=p05,
        p25=p25,
        p50=p50,
        p75=p75,
        p95=p95,
        mean=float(change.mean()),
        mean_absolute=float(np.abs(change).mean()),
        largest=float(np.abs(change).max()),
        rank_correlation=_spearman(old, new),
        label_changed=changed,
        top_tenth_kept=len(top[0] & top[1]) / tenth,
        edges=tuple(float(edge) for edge in edges),
        cells=tuple((int(x), int(y), int(counted[x, y])) for x, y in np.argwhere(counted)),
    )


def _spearman(one: Floats, other: Floats) -> float | None:
    left, right = (mid_ranks(score) - (len(score) + 1) / 2 for score in (one, other))
    scale = float(np.sqrt((left**2).sum() * (right**2).sum()))
    return float((left * right).sum() / scale) if scale else None
