"""Whether the model's realised metric is worse than it may be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from rescore.performance.metrics import METRICS
from rescore.performance.report import LatestPerformance

__all__ = ["expected_bound", "judged"]

#: With fewer values than this from training, nobody can say how far apart they may lie.
MIN_VALUES = 3


def judged(latest: LatestPerformance, declared: float | None, trained: Sequence[float]) -> LatestPerformance:
    """The same performance with its verdict.

    Parameters
    ----------
    latest : LatestPerformance
        Realised.
    declared : float or None
        ``performance.alarm_at``.
    trained : sequence of float
        The metric on the package's hold-out, and on each fold of its training.
    """
    if latest.unknown_labels:
        rows = sum(latest.unknown_labels.values())
        named = ", ".join(map(repr, latest.unknown_labels))
        sentence = (
            f"{rows:,} rows until {latest.until.isoformat()} have labels that training never saw ({named}): "
            f"{latest.metric} is not judged"
        )
        return latest.model_copy(update={"verdict": "unknown_labels", "sentence": sentence})
    bound = expected_bound(latest.metric, trained) if declared is None else declared
    if latest.value is None:
        return latest.model_copy(update={"sentence": f"{latest.metric} has no value for these labels"})
    said = _say(latest)
    if bound is None:
        sentence = f"{said}; no bound is declared, and training gives none"
        return latest.model_copy(update={"sentence": sentence})
    higher = METRICS[latest.metric].higher_is_better if latest.metric in METRICS else False
    low = latest.value if latest.low is None else latest.low
    high = latest.value if latest.high is None else latest.high
    worse = high < bound if higher else low > bound
    whose = "the declared bound" if declared is not None else "the bound that hold-out and folds give"
    beyond = "worse than" if worse else "not beyond"
    update = {
        "verdict": "worse" if worse else "ok",
        "sentence": f"{said}, {beyond} {whose}, {bound:.4g}",
        "bound": bound,
        "declared": declared is not None,
    }
    return latest.model_copy(update=update)


def expected_bound(metric: str, trained: Sequence[float]) -> float | None:
    """The worse end of the interval in which 95 % of such values lie, around the first of them.

    A prediction interval by Student's t (Whitmore, *The American Statistician* 40, 1986). None of fewer
    than ``MIN_VALUES`` values, or if nobody says which way the metric is better.
    """
    values = np.asarray(trained, dtype=np.float64)
    if values.size < MIN_VALUES or metric not in METRICS:
        return None
    spread = float(values.std(ddof=1)) * math.sqrt(1 + 1 / values.size)
    reach = float(stdtrit(values.size - 1, 0.975)) * spread
    return float(values[0]) - reach if METRICS[metric].higher_is_better else float(values[0]) + reach


def _say(latest: LatestPerformance) -> str:
    within = "" if latest.low is None or latest.high is None else f" ({latest.low:.4g} to {latest.high:.4g})"
    return (
        f"{latest.metric} of {latest.rows:,} rows in the week until {latest.until.isoformat()} is "
        f"{latest.value:.4g}{within}"
    )
