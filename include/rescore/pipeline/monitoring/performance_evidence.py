"""The evidence that a model's outcomes give: whether it does worse than its training promised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rescore import drift, evidence, performance
from rescore.errors import RescoreError
from rescore.evidence import Alarm
from rescore.performance import LatestPerformance, PerformanceReport
from rescore.pipeline.context import Context
from rescore.pipeline.packages.opening import open_package
from rescore.store import RunPerformance, ScoredRun

__all__ = ["PerformanceEvidence", "evidence_after", "kept_of_runs", "kept_performance", "with_evidence"]

#: The model's latest windows that are looked at, of which those of the package count: more would be read for
#: each measurement.
LAST_WINDOWS = 400


@dataclass(frozen=True)
class PerformanceEvidence:
    """What all measured windows of a package say together.

    Attributes
    ----------
    alarm : Alarm or None
        None if nothing was measured, or the package does not know how its training's windows came true: it
        was trained before that was kept, or adopted, or too few of them have labels.
    lacking : str
        Why the last window says nothing yet; empty if it counts.
    package : str or None
        The package's sha256.
    """

    alarm: Alarm | None = None
    lacking: str = ""
    package: str | None = None


def kept_performance(
    ctx: Context, model_name: str, as_of: datetime | None = None
) -> LatestPerformance | None:
    """What the last measurement said of the model's last days, from the store alone.

    With ``as_of``, only if it was made of what was known by then.
    """
    for row in ctx.store.history.performance_by_run(model_name, 1):
        if as_of in (None, row.as_of):
            report = _report(ctx, model_name, row)
            return None if report is None else report.latest
    return None


def kept_of_runs(ctx: Context, model_name: str, run_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What stays of each of these runs when it is measured again.

    The evidence that raised an alarm when it was first measured: an alarm neither ends nor begins because
    other models came or went since. And what challengers in the shadow would have made of it.
    """
    rows = ctx.store.history.performance_of_runs(run_ids)
    every = ((row.run_id, _report(ctx, model_name, row)) for row in rows)
    kept: dict[str, dict[str, Any]] = {}
    for run_id, one in every:
        if one is not None:
            limit = {} if one.alarm_limit is None else {"alarm_limit": one.alarm_limit}
            kept[run_id] = {**limit, "shadow": one.shadow}
    return kept


def evidence_after(
    ctx: Context,
    model_name: str,
    ended_by: datetime,
    *,
    of: str | None = None,
    also: Mapping[str, PerformanceReport] | None = None,
) -> PerformanceEvidence:
    """The evidence of all measured windows of a package, in order of time.

    A window counts once, by its latest measurement; one whose labels are too few, fewer than training's
    windows have, or of unknown codes says nothing.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    model_name : str
        The model.
    ended_by : datetime
        Aware; windows that ended later do not count.
    of : str, optional
        The package's sha256; by default of the one that scored the last measured window.
    also : mapping of str to PerformanceReport, optional
        Measurements that are not stored yet, by run.
    """
    runs = {
        run.run_id: run for run in ctx.store.runs.published(model_name, ended_by=ended_by, last=LAST_WINDOWS)
    }
    rows = ctx.store.history.performance_by_run(model_name, LAST_WINDOWS)
    reports = dict(also or {})
    for row in rows:
        kept = _report(ctx, model_name, row)
        if kept is not None:
            reports.setdefault(row.run_id, kept)
    measured = [(run, reports[run_id]) for run_id, run in runs.items() if run_id in reports]
    measured = [one for one in measured if one[0].package_sha256 == (of or measured[-1][0].package_sha256)]
    if not measured:
        return PerformanceEvidence()
    last = measured[-1][0]
    trained = _trained(ctx, last)
    if trained is None:
        return PerformanceEvidence()
    looks, lacking = [], ""
    for run, report in measured:
        lacking = trained.lacking_labels(report)
        found = None if lacking else performance.unusual(trained, performance.watched(report))
        if found is not None:
            start = run.interval.start.isoformat()
            looks.append(
                evidence.Look(
                    start, found.statistic, found.reference, found.measures, limit=report.alarm_limit
                )
            )
    if not looks:
        return PerformanceEvidence(lacking=lacking)
    limit = ctx.evidence_limit(model_name, last.interval.end)
    return PerformanceEvidence(evidence.accumulate(looks, limit), lacking, last.package_sha256)


def with_evidence(
    latest: LatestPerformance, found: PerformanceEvidence, before: LatestPerformance | None
) -> LatestPerformance:
    """The same performance with its alarm, which is new unless it stood already when last measured.

    One of the package before it is another alarm.
    """
    if found.lacking:
        latest = latest.model_copy(update={"sentence": f"{latest.sentence}; {found.lacking}"})
    if found.alarm is None:
        return latest
    alarm = found.alarm
    stood = False
    if before is not None and before.alarm is not None and before.alarm.raised:
        stood = before.alarm_of in (None, found.package)
    alarm = alarm.model_copy(update={"new": alarm.raised and not stood})
    # In front: the metric alone may be within its bound.
    sentence = f"does worse than in training: {alarm}. {latest.sentence}" if alarm.raised else latest.sentence
    return latest.model_copy(update={"alarm": alarm, "alarm_of": found.package, "sentence": sentence})


def _report(ctx: Context, model_name: str, row: RunPerformance) -> PerformanceReport | None:
    return ctx.read_stored(PerformanceReport, row.report, f"{model_name}: the performance of {row.interval}")


def _trained(ctx: Context, run: ScoredRun) -> performance.CameTrue | None:
    try:
        package = open_package(ctx, run.model, run.package_sha256)
    except RescoreError as error:  # what is measured is worth keeping without it
        ctx.progress(f"{run.model}: no evidence about performance: {error.what}")
        return None
    return drift.came_true_of(package.reference_profile())
