"""Look after a model: measure what has labels now, and say how its last runs stand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rescore.document import Document, Number, Part
from rescore.drift import DriftReport
from rescore.performance import LatestPerformance
from rescore.pipeline.context import Context
from rescore.pipeline.monitoring.performance import latest_performance, measure_due
from rescore.pipeline.monitoring.performance_evidence import kept_performance
from rescore.store import ScoredRun

__all__ = ["MonitorReport", "MonitoredFeature", "MonitoredRun", "monitor_model", "unmeasured_report"]

#: Features named per run, the most unusual first.
MAX_FEATURES = 5


class MonitoredFeature(Part):
    """What a message says of a feature; see :class:`rescore.drift.FeatureDrift`."""

    name: str
    psi: float
    effect: float
    missing: Number
    p_value: float
    flagged: bool


class MonitoredRun(Part):
    """How one published run stands.

    Attributes
    ----------
    interval, interval_end : str
        As people write it, and its end in ISO 8601.
    acts : bool
        Whether people are told: ``drift.on_drift`` asks for something at the verdict or begins with this
        run's alarm, or it is an outage.
    alarm : str
        The alarm that this run has raised, in words; empty if it has raised none.
    p_value : float or None
        Of the whole window; None without a drift report.
    features : tuple of MonitoredFeature
        The most unusual first, ``MAX_FEATURES`` at most.
    """

    run_id: str
    interval: str
    interval_end: str
    package_version: str | None
    verdict: str | None
    sentence: str | None
    acts: bool
    alarm: str = ""
    p_value: Number = None
    features: tuple[MonitoredFeature, ...] = ()


class MonitorReport(Document):
    """How a model stands: see :func:`monitor_model`.

    Attributes
    ----------
    measured : int
        Runs that were measured now.
    performance : LatestPerformance or None
        None without labels.
    tells : bool
        Whether people should hear of it: what was measured at this moment says so.
    runs : tuple of MonitoredRun
        By interval.
    """

    model: str
    measured: int
    performance: LatestPerformance | None
    tells: bool = False
    runs: tuple[MonitoredRun, ...]


def monitor_model(
    ctx: Context, model_name: str, now: datetime, run_ids: Sequence[str] | None = None
) -> MonitorReport:
    """Measure every run whose labels are due, and sum up what is known of the last ones.

    Parameters
    ----------
    ctx : Context
        Store, archive and connections.
    model_name : str
        The model.
    now : datetime
        Aware; labels known by then count.
    run_ids : sequence of str, optional
        Published runs to sum up, such as those published since the last time. Default: the last one.
    """
    measured = measure_due(ctx, model_name, now)
    # What an earlier try measured of this moment is told by the next one too, if the first was cut.
    kept = kept_performance(ctx, model_name, None if measured else now)
    return unmeasured_report(ctx, model_name, run_ids).model_copy(
        update={
            "measured": len(measured),
            "performance": kept or _standing(ctx, model_name, now),
            "tells": kept is not None and kept.to_be_told,
        }
    )


def unmeasured_report(ctx: Context, model_name: str, run_ids: Sequence[str] | None = None) -> MonitorReport:
    """As :func:`monitor_model`, without a look at labels."""
    last = 1 if run_ids is None else None
    chosen = ctx.store.runs.published(model_name, last=last, run_ids=run_ids)
    runs = tuple(_monitored(ctx, run) for run in chosen)
    return MonitorReport(model=model_name, measured=0, performance=None, runs=runs)


def _standing(ctx: Context, model_name: str, now: datetime) -> LatestPerformance | None:
    """What was known of the last days at ``now``: as it was last measured, unless that was later."""
    last = ctx.store.history.performance_by_run(model_name, 1)
    if last and last[0].as_of <= now:
        return kept_performance(ctx, model_name)
    return latest_performance(ctx, model_name, now)


def _monitored(ctx: Context, run: ScoredRun) -> MonitoredRun:
    stored = ctx.store.reports.drift_of(run.run_id)
    report = None if stored is None else DriftReport.from_dict(stored)
    alarm = None if report is None or report.alarm is None or not report.alarm.new else report.alarm
    worst = [] if report is None else report.worst_first[:MAX_FEATURES]
    return MonitoredRun(
        run_id=run.run_id,
        interval=str(run.interval),
        interval_end=run.interval.end.isoformat(),
        package_version=run.package_version,
        verdict=run.verdict,
        sentence=run.sentence,
        acts=ctx.model(run.model).spec.drift.acts_at(run.verdict, alarm=alarm is not None)
        or run.verdict == "outage",
        alarm="" if alarm is None else str(alarm),
        p_value=None if report is None else report.p_value,
        features=tuple(
            MonitoredFeature(**{name: getattr(one, name) for name in MonitoredFeature.model_fields})
            for one in worst
        ),
    )
