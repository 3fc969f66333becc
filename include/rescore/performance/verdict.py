"""Whether the model's realised metric is worse than it may be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rescore.performance.metrics import METRICS
from rescore.performance.report import LatestPerformance
from rescore.shown_text import number_of

__all__ = ["MAX_FIRST", "OwnBound", "adopted_bound", "expected_bound", "judged"]

#: With fewer values than this from training, nobody can say how far apart they may lie.
MIN_VALUES = 3
#: A metric this many times as far from training's mean as the bound is told at once, without waiting for
#: evidence: chance alone goes there about once in a thousand weeks.
FAR = 3.0
#: So many of an adopted package's first windows with labels say what is usual.
MAX_FIRST = 8


class OwnBound(NamedTuple):
    """A bound that nobody declared, and whose it is, for people."""

    value: float
    whose: str


def judged(
    latest: LatestPerformance,
    declared: float | None,
    trained: Sequence[float],
    adopted: OwnBound | None = None,
) -> LatestPerformance:
    """The same performance with its verdict.

    Parameters
    ----------
    latest : LatestPerformance
        Realised.
    declared : float or None
        ``performance.alarm_at``.
    trained : sequence of float
        The metric on the package's hold-out, and on each fold of its training.
    adopted : OwnBound, optional
        The bound of an adopted package, whose own hold-out gives none: it may have been fitted to those rows.
    """
    if latest.unknown_labels:
        rows = sum(latest.unknown_labels.values())
        named = ", ".join(map(repr, latest.unknown_labels))
        sentence = (
            f"until {latest.until.isoformat()} {number_of(rows, 'row has', 'rows have')} labels "
            f"that training never saw ({named}): {latest.metric} is not judged"
        )
        return latest.model_copy(update={"verdict": "unknown_labels", "sentence": sentence})
    bound = adopted.value if adopted else expected_bound(latest.metric, trained)
    bound = bound if declared is None else declared
    if latest.value is None:
        return latest.model_copy(update={"sentence": f"{latest.metric} has no value for these labels"})
    said = _say(latest)
    if bound is None:
        sentence = f"{said}; no bound is declared, and training gives none"
        return latest.model_copy(update={"sentence": sentence})
    higher = _higher_is_better(latest.metric)
    low = latest.value if latest.low is None else latest.low
    high = latest.value if latest.high is None else latest.high
    worse = high < bound if higher else low > bound
    whose = adopted.whose if adopted else "the bound that hold-out and folds give"
    whose = "the declared bound" if declared is not None else whose
    beyond = "worse than" if worse else "not beyond"
    far = worse and declared is None and bool(trained)
    far = far and _is_far(high if higher else low, float(np.mean(trained)), bound)
    usual = f"; it was {trained[0]:.4g} on the hold-out" if far else ""
    update = {
        "verdict": "worse" if worse else "ok",
        "sentence": f"{said}, {beyond} {whose}, {bound:.4g}{usual}",
        "far": far,
        "bound": bound,
        "declared": declared is not None,
    }
    return latest.model_copy(update=update)


def expected_bound(metric: str, trained: Sequence[float]) -> float | None:
    """The worse end of the 95 % prediction interval for the next value, around the mean of these.

    By Student's t (Whitmore, *The American Statistician* 40, 1986). None of fewer
    than ``MIN_VALUES`` values, or if nobody says which way the metric is better.
    """
    return _bound_around(metric, trained)


def adopted_bound(
    metric: str, reference: Mapping[str, float | None], first: Sequence[float]
) -> OwnBound | None:
    """The bound of a package that was fitted elsewhere: of two, the stricter one that is known.

    One is what its first windows with labels give, as :func:`expected_bound` from folds; the first windows
    end before one that is beyond the bound of its predecessors. The other is what a constant would reach on
    the rows that it was adopted with: however optimistic its own metrics are there, those rows' spread is the
    target's.

    Parameters
    ----------
    metric : str
        The model's.
    reference : mapping of str to float or None
        Metrics on the rows that it was adopted with, to which it may have been fitted.
    first : sequence of float
        The metric on its first windows, in order; the first :data:`MAX_FIRST` count.
    """
    if metric not in METRICS:
        return None
    higher = _higher_is_better(metric)
    usual: list[float] = []
    for value in first[:MAX_FIRST]:
        so_far = _bound_around(metric, usual)
        if so_far is not None and (value < so_far if higher else value > so_far):
            break
        usual.append(value)
    known = []
    if (bound := _bound_around(metric, usual)) is not None:
        known.append(
            OwnBound(
                bound,
                f"the bound that the package's first {number_of(len(usual), 'window')} with labels give",
            )
        )
    if (constant := _of_a_constant(metric, reference)) is not None:
        known.append(
            OwnBound(constant, "what always scoring the same would reach on the rows it was adopted with")
        )
    if not known:
        return None
    return (max if higher else min)(known, key=lambda each: each.value)


def _bound_around(metric: str, given: Sequence[float]) -> float | None:
    values = np.asarray(given, dtype=np.float64)
    if values.size < MIN_VALUES or metric not in METRICS:
        return None
    from scipy.special import stdtrit  # .7 s of processor time, which no stage before drift pays

    middle, spread = float(values.mean()), float(values.std(ddof=1)) * math.sqrt(1 + 1 / values.size)
    half_width = float(stdtrit(values.size - 1, 0.975)) * spread
    return middle - half_width if METRICS[metric].higher_is_better else middle + half_width


def _is_far(end: float, usual: float, bound: float) -> bool:
    return abs(end - usual) > FAR * abs(bound - usual)


def _of_a_constant(metric: str, reference: Mapping[str, float | None]) -> float | None:
    """What the same score for every row gives; None where the metrics of the reference don't tell."""
    if metric == "auc":
        return 0.5
    if metric == "rmse":
        rmse, r2 = reference.get("rmse"), reference.get("r2")
        return None if rmse is None or r2 is None or r2 >= 1 else rmse / math.sqrt(1 - r2)
    rate = reference.get("base_rate")
    if rate is None or not 0 < rate < 1:
        return None
    if metric == "brier":
        return rate * (1 - rate)
    return -rate * math.log(rate) - (1 - rate) * math.log(1 - rate) if metric == "log_loss" else None


def _higher_is_better(metric: str) -> bool:
    return METRICS[metric].higher_is_better if metric in METRICS else False


def _say(latest: LatestPerformance) -> str:
    within = "" if latest.low is None or latest.high is None else f" ({latest.low:.4g} to {latest.high:.4g})"
    return (
        f"{latest.metric} of {number_of(latest.rows, 'row')} in the week until {latest.until.isoformat()} is "
        f"{latest.value:.4g}{within}"
    )
