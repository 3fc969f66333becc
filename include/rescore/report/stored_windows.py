"""What the store keeps of a model's windows, as values: drift reports, and a metric over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from rescore.drift import DriftReport
from rescore.performance import PerformanceReport, PerformanceWeek

if TYPE_CHECKING:
    from rescore.store import RunReference, Store

__all__ = [
    "DriftWindow",
    "PerformancePoint",
    "agreement",
    "drift_report_of",
    "drift_windows",
    "latest_performance_of",
]

#: Estimates are said to come true too seldom if chance leaves so few within right bands this seldom: they are
#: looked at again and again, and days that resemble each other miss together.
TOO_FEW = 0.001
NOT_TRUSTED = (
    "Of right bands 95 in 100 do: the same features have come with other outcomes than in training. Don't "
    "trust the estimate until the model is trained on them."
)


@dataclass(frozen=True)
class DriftWindow:
    """An interval's run with its drift report."""

    run_id: str
    interval_start: datetime
    interval_end: datetime
    published: bool
    report: DriftReport


@dataclass(frozen=True)
class PerformancePoint:
    """A metric of one run or week, as it came true and as it was expected. What is not known is None.

    Attributes
    ----------
    run_id, week : str or None
        Of which run, or of which week (its Monday).
    rows, labelled, coverage
        Scored rows, those with a label, and their share.
    value, low, high : float or None
        The metric with its 95 % interval.
    estimated, estimated_low, estimated_high : float or None
        As the scores of all rows let expect it.
    within : bool or None
        Whether the realised value is where the labelled rows' scores let it be expected.
    outside : bool
        Whether the rows are outside of what training saw: the estimate promises nothing.
    unknown_labels : int
        Rows with a label that training never saw; they are in no metric.
    """

    interval_start: datetime
    interval_end: datetime
    run_id: str | None = None
    week: str | None = None
    runs: int | None = None
    as_of: datetime | None = None
    rows: int | None = None
    labelled: int | None = None
    coverage: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    estimated: float | None = None
    estimated_low: float | None = None
    estimated_high: float | None = None
    within: bool | None = None
    outside: bool = False
    unknown_labels: int = 0


def drift_windows(store: Store, model: str, last: int | None = None) -> list[DriftWindow]:
    """The runs with a drift report, one an interval, oldest first; the latest ``last`` intervals."""
    return [
        DriftWindow(
            run_id=row.run_id,
            interval_start=row.interval.start,
            interval_end=row.interval.end,
            published=row.published,
            report=DriftReport.from_dict(row.report),
        )
        for row in store.history.drift(model, last)
    ]


def drift_report_of(store: Store, run: RunReference) -> DriftReport | None:
    """The drift report of a run, None if there is none."""
    stored = store.reports.drift_of(run)
    return None if stored is None else DriftReport.from_dict(stored)


def latest_performance_of(store: Store, model: str, *, by: str = "run") -> PerformanceReport | None:
    """The report of the latest run or week that was measured, None if none was."""
    if by == "run":
        runs = store.history.performance_by_run(model, 1)
        return PerformanceReport.from_dict(runs[-1].report) if runs else None
    weeks = store.history.performance_by_week(model, 1)
    return PerformanceWeek.from_dict(weeks[-1].report).metrics if weeks else None


def agreement(points: Sequence[PerformancePoint]) -> dict[str, Any] | None:
    """How often the estimate came true.

    Returns
    -------
    dict or None
        ``measured`` runs (or weeks) that have both, ``within`` of them where the realised value is in the
        estimate's 95 % band, ``typical``, the median absolute difference, and ``warning``, a sentence if
        right bands are within as seldom by a chance below ``TOO_FEW``, else None. None if there is none.
        Those outside of what training saw are not counted.
    """
    gaps, within = [], 0
    for point in points:
        if (
            point.within is not None
            and not point.outside
            and point.value is not None
            and point.estimated is not None
        ):
            gaps.append(abs(point.value - point.estimated))
            within += point.within
    if not gaps:
        return None
    count = len(gaps)
    chance = sum(math.comb(count, held) * 0.95**held * 0.05 ** (count - held) for held in range(within + 1))
    return {
        "measured": count,
        "within": within,
        "typical": median(gaps),
        "warning": NOT_TRUSTED if chance < TOO_FEW else None,
    }
