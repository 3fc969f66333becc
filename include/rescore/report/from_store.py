"""Pictures of a model from what the store holds: no package, no row, no source is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rescore.errors import NotFoundError, ParameterError
from rescore.manifest import Manifest
from rescore.performance import METRICS, Measure, PerformanceReport, PerformanceWeek
from rescore.report.stored_windows import DriftWindow, PerformancePoint, drift_report_of, drift_windows

if TYPE_CHECKING:
    from rescore.store import RunReference, Store

__all__ = [
    "calibration_of",
    "drift_heatmap_of",
    "extracted_rows_of",
    "feature_distribution_of",
    "model_pictures",
    "performance_of",
    "performance_rows",
    "score_distribution_of",
]

#: The metric drawn if none is named: the first that the model's documents have.
MAIN_METRICS = ("auc", "accuracy", "rmse")


def drift_heatmap_of(store: Store, model: str, last: int = 60) -> Any:
    """Features by time of the latest ``last`` intervals: see :func:`rescore.report.drift_heatmap`."""
    from rescore.report.drift_charts import drift_heatmap

    windows = drift_windows(store, model, last)
    return drift_heatmap(windows, title=f"{model}: drift", timezone=_timezone(windows))


def feature_distribution_of(store: Store, model: str, feature: str, run: RunReference | None = None) -> Any:
    """One feature in training and in one window: see :func:`rescore.report.feature_distribution`.

    Parameters
    ----------
    store : Store
        The store.
    model : str
        The model.
    feature : str
        Its name, or ``score``.
    run : str or Run, optional
        Whose window; default is the latest interval's.

    Raises
    ------
    NotFoundError
        The run has no drift report.
    ParameterError
        The report keeps no histogram of this feature.
    """
    from rescore.report.drift_charts import feature_distribution

    if run is None:
        windows = drift_windows(store, model, 1)
        run = windows[-1].run_id if windows else None
    report = None if run is None else drift_report_of(store, run)
    if run is None or report is None:
        raise NotFoundError(
            f"there is no drift report of {model}" if run is None else f"run {run} has no drift report",
            expected="a run that was scored and compared with training",
            fix=f"score an interval: `rescore score {model} --day DAY`",
        )
    histogram = report.histograms.get(feature)
    found = report.feature(feature)
    if histogram is None or found is None:
        raise ParameterError(
            f"the drift report keeps no distribution of {feature!r}",
            where=f"{model}, run {run}",
            expected=", ".join(report.histograms) or "a report with distributions",
            fix="name one of these",
        )
    interval = store.runs.get(run).interval
    return feature_distribution(
        histogram,
        name=feature,
        unit=found.own_unit,
        stratum=report.stratum,
        title=f"{model}: {feature}, {interval.start:%Y-%m-%d %H:%M} to {interval.end:%Y-%m-%d %H:%M} UTC",
    )


def score_distribution_of(store: Store, model: str, last: int = 60) -> Any:
    """Quantiles of scores over time: see :func:`rescore.report.score_distribution`."""
    from rescore.report.run_charts import score_distribution

    windows = drift_windows(store, model, last)
    return score_distribution(
        [
            {"interval_start": one.interval_start, "interval_end": one.interval_end} | dict(one.report.scores)
            for one in windows
            if one.report.scores is not None
        ],
        name=_score_name(store, model),
        meaning=_manifest(store, model).output.meaning,
        title=f"{model}: scores",
        timezone=_timezone(windows),
    )


def performance_of(
    store: Store, model: str, last: int = 60, *, by: str = "run", metric: str | None = None
) -> Any:
    """Realised against estimated performance: see :func:`rescore.report.realised_performance`.

    Parameters
    ----------
    store : Store
        The store.
    model : str
        The model.
    last : int
        So many runs or weeks, the latest.
    by : {'run', 'week'}
        A point per run, also those whose labels are not known yet, or per week.
    metric : str, optional
        Default: ``auc``, ``accuracy`` or ``rmse``, by the model's kind.
    """
    from rescore.report.performance_charts import realised_performance

    metric, rows = performance_rows(store, model, last, by=by, metric=metric)
    known = METRICS.get(metric)
    unit = _manifest(store, model).output.unit if metric == "bias" or (known and known.in_target_unit) else ""
    return realised_performance(
        rows,
        metric=known.label if known else metric.replace("_", " "),
        unit=unit,
        expected=_holdout(store, model, metric),
        title=f"{model}: performance by {by}",
        timezone=_timezone(drift_windows(store, model, 1)),
    )


def performance_rows(
    store: Store,
    model: str,
    last: int | None = None,
    *,
    by: str = "run",
    metric: str | None = None,
    windows: Sequence[DriftWindow] | None = None,
) -> tuple[str, list[PerformancePoint]]:
    """The metric and, of each run or week, how it came true and how it was expected; oldest first.

    ``windows`` are the model's last ones, where the caller has read them already.

    Raises
    ------
    ParameterError
        Neither ``run`` nor ``week``, or no document has the metric.
    """
    if by not in {"run", "week"}:
        raise ParameterError(f"by {by!r}", expected="run or week", fix="name one of the two")
    measured = _measured(store, model, last, by=by)
    known = {
        name for one in measured for name, found in one.report.metrics.items() if found.value is not None
    }
    if metric is None:
        metric = next((name for name in MAIN_METRICS if name in known), MAIN_METRICS[0])
    elif known and metric not in known:
        raise ParameterError(
            f"{model} has no realised {metric}", expected=", ".join(sorted(known)), fix="name one of these"
        )
    points = {(one.interval_start, one.interval_end): _point(one, metric) for one in measured}
    if by == "run":
        # Runs without labels yet: what their scores alone promise.
        for window in drift_windows(store, model, last) if windows is None else windows:
            bounds = (window.interval_start, window.interval_end)
            if window.published and bounds not in points:
                expected = window.report.estimated.get(metric, Measure())
                points[bounds] = PerformancePoint(
                    *bounds, run_id=window.run_id, outside=window.report.outside, **_expected(expected)
                )
    return metric, [points[key] for key in sorted(points)][-last if last else 0 :]


@dataclass(frozen=True)
class _Measured:
    """The metrics of one run (``run_id``), or of one week of some ``runs``."""

    interval_start: datetime
    interval_end: datetime
    as_of: datetime
    report: PerformanceReport
    run_id: str | None = None
    week: str | None = None
    runs: int | None = None


def _measured(store: Store, model: str, last: int | None = None, *, by: str) -> list[_Measured]:
    if by == "run":
        return [
            _Measured(
                row.interval.start,
                row.interval.end,
                row.as_of,
                PerformanceReport.from_dict(row.report),
                run_id=row.run_id,
            )
            for row in store.history.performance_by_run(model, last)
        ]
    found = []
    for row in store.history.performance_by_week(model, last):
        week = PerformanceWeek.from_dict(row.report)
        bounds = (week.interval_start, week.interval_end)
        found.append(_Measured(*bounds, row.as_of, week.metrics, week=week.week, runs=week.runs))
    return found


def _point(measured: _Measured, metric: str) -> PerformancePoint:
    found = measured.report
    came_true = found.agreement.get(metric)
    realised = found.measure(metric)
    return PerformancePoint(
        interval_start=measured.interval_start,
        interval_end=measured.interval_end,
        run_id=measured.run_id,
        week=measured.week,
        runs=measured.runs,
        as_of=measured.as_of,
        rows=found.rows,
        labelled=found.labelled,
        coverage=found.coverage,
        value=realised.value,
        low=realised.low,
        high=realised.high,
        **_expected(found.estimated.get(metric, Measure())),
        within=None if came_true is None else came_true.within,
        outside=found.outside,
        unknown_labels=sum(found.unknown_labels.values()),
    )


def _expected(measure: Measure) -> dict[str, Any]:
    return {"estimated": measure.value, "estimated_low": measure.low, "estimated_high": measure.high}


def calibration_of(store: Store, model: str) -> Any:
    """Whether live probabilities come true, in the latest measured week (else run) with labels.

    See :func:`rescore.report.calibration`.
    """
    from rescore.report.performance_charts import calibration

    for what in ("week", "run"):
        for measured in reversed(_measured(store, model, by=what)):
            found = measured.report.calibration
            if found is not None:
                error = found.error
                return calibration(
                    found,
                    meaning=_manifest(store, model).output.name or "score",
                    title=f"{model}: calibration, {what} from {measured.interval_start:%Y-%m-%d}",
                    subtitle="expected calibration error "
                    f"{error.value:.3f} ({error.low:.3f} to {error.high:.3f})",
                )
    return calibration(None, title=f"{model}: calibration")


def extracted_rows_of(store: Store, model: str, last: int = 60) -> Any:
    """What became of each interval's rows: see :func:`rescore.report.extracted_rows`."""
    from rescore.report.run_charts import extracted_rows

    rows = []
    for run in store.history.runs(model, last):
        if run.rows_extracted is None:
            continue
        aside = run.rows_quarantined + run.rows_rejected
        rows.append(
            {
                "interval_start": run.interval.start,
                "interval_end": run.interval.end,
                "published": run.published,
                "scored": run.rows_extracted - aside if run.rows_scored is None else run.rows_scored,
                "quarantined": run.rows_quarantined,
                "rejected": run.rows_rejected,
            }
        )
    timezone = _timezone(drift_windows(store, model, 1))
    return extracted_rows(rows, title=f"{model}: extracted rows", timezone=timezone)


def model_pictures(store: Store, model: str, last: int = 60) -> dict[str, Any]:
    """All pictures of a model, by name, in the order a page shows them.

    Returns
    -------
    dict
        ``drift``, ``scores``, ``performance`` (by run), ``performance_by_week``, ``calibration``
        (classifiers), ``rows``; and ``feature:NAME`` for four features of the latest window: what is
        broken or flagged, else the score and the most important ones. Altair charts:
        :func:`rescore.report.svg` makes text of them.
    """
    pictures = {
        "drift": drift_heatmap_of(store, model, last),
        "scores": score_distribution_of(store, model, last),
        "performance": performance_of(store, model, last),
        "performance_by_week": performance_of(store, model, last, by="week"),
        "rows": extracted_rows_of(store, model, last),
    }
    if any(row.report.get("calibration") for row in store.history.performance_by_run(model, last)):
        pictures["calibration"] = calibration_of(store, model)
    for window in drift_windows(store, model, 1):
        drawn = [one.name for one in window.report.worth_a_look if one.name in window.report.histograms]
        for name in drawn[:4]:
            pictures[f"feature:{name}"] = feature_distribution_of(store, model, name, window.run_id)
    return pictures


def _timezone(windows: Sequence[DriftWindow]) -> str:
    return windows[-1].report.timezone if windows else "UTC"


def _manifest(store: Store, model: str) -> Manifest:
    pinned = store.pins.current(model)
    return Manifest() if pinned is None else store.packages.find(model, pinned.sha256).manifest


def _score_name(store: Store, model: str) -> str:
    """The output's name, with its unit unless that is a probability's."""
    output = _manifest(store, model).output
    name, unit = output.name or "score", output.unit
    return f"{name} ({unit})" if unit not in {"", "probability", "share"} else name


def _holdout(store: Store, model: str, metric: str) -> float | None:
    value = _manifest(store, model).metrics.get(metric)
    return None if value is None else float(value)
