"""How good published scores turned out to be, once labels are known: by run, by week, and of late."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore import drift, performance, source
from rescore.errors import NotFoundError, SpecError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.performance import LatestPerformance, PerformanceReport, PerformanceWeek
from rescore.pipeline.context import Context, utc_now
from rescore.pipeline.monitoring.performance_bounds import judged_by_package
from rescore.pipeline.monitoring.performance_evidence import (
    evidence_after,
    kept_of_runs,
    kept_performance,
    with_evidence,
)
from rescore.shown_text import number_of
from rescore.store import ScoredRun

__all__ = [
    "MeasuredRun",
    "labels_of_runs",
    "latest_performance",
    "measure_due",
    "measure_run",
    "performance_by_run",
    "performance_by_week",
]

#: The span of the latest performance; it begins this much earlier if the last runs have no labels yet.
SPAN, SLACK = timedelta(days=7), timedelta(days=7)

#: A run whose labels come at once is measured again not before it is this much older.
MIN_AGE = timedelta(hours=1)

#: So many runs are measured in one call.
MAX_DUE = 400


@dataclass(frozen=True)
class MeasuredRun:
    """A run, and how its scores came true by the labels known when it was measured."""

    run_id: str
    interval: Interval
    performance: PerformanceReport


def measure_run(ctx: Context, run_id: str, as_of: datetime | None = None) -> PerformanceReport:
    """Realised performance of a run from the labels known by ``as_of``; the result is stored.

    Parameters
    ----------
    ctx : Context
        Store and connections.
    run_id : str
        A run that was scored.
    as_of : datetime, optional
        Default: now.

    Raises
    ------
    SourceError, SpecError, DriftError
        As :func:`rescore.source.labels` and :func:`rescore.performance.outcomes`.
    """
    run = ctx.store.runs.scored(run_id)
    folder = ctx.model(run.model)
    as_of = as_of or utc_now()
    rows = _outcomes(ctx, folder, [run], as_of)[0]
    kept = {"alarm_limit": ctx.evidence_limit(run.model, run.interval.end)}
    kept |= kept_of_runs(ctx, run.model, [run_id]).get(run_id, {})
    measured = _measure(ctx, folder, run, rows).model_copy(update=kept)
    _record(ctx, run_id, as_of, measured)
    return measured


def measure_due(ctx: Context, model_name: str, now: datetime, *, again: bool = False) -> list[MeasuredRun]:
    """Measure every published run whose labels are due by ``now``; runs and their weeks are stored.

    A run is due when the target's delay after its interval has passed. While some of its rows have no
    label it is measured again each time its age has doubled: labels that come late are counted, and a
    row that never gets one costs ever less. Weeks begin on Monday, on the schedule's clock, by the
    start of the runs' intervals; a week's metrics are of its rows together, not a mean of its runs'.

    Parameters
    ----------
    ctx : Context
        Store, archive (for segments) and connections.
    model_name : str
        The model.
    now : datetime
        Aware; labels known by then count.
    again : bool
        Measure the latest runs again although they have all their labels: these may have been restated.

    Returns
    -------
    list of MeasuredRun
        Oldest first; of many that are due at once (a backfill) the latest :data:`MAX_DUE`, so that what is
        read has a bound. The next call measures the others.

    Raises
    ------
    SourceError, SpecError, DriftError
        As :func:`rescore.source.labels` and :func:`rescore.performance.outcomes`.
    """
    folder = ctx.model(model_name)
    ripe_by = now - folder.spec.target.delay
    before = kept_performance(ctx, model_name)
    due = ctx.store.history.due_for_measuring(
        model_name, ended_by=ripe_by, now=now, min_age=MIN_AGE, last=MAX_DUE, again=again
    )
    due_ids = {one.run_id for one in due}
    of_runs = kept_of_runs(ctx, model_name, due_ids)
    limit = ctx.evidence_limit(model_name, due[-1].interval.end) if due else math.nan
    measured: list[MeasuredRun] = []
    read: dict[str, performance.Outcomes] = {}
    last: MeasuredRun | None = None  # recorded with the verdict: until both stand, it is due
    for monday in sorted({_monday(folder, one.interval) for one in due}):
        runs = ctx.store.runs.published(model_name, ended_by=ripe_by, started_in=_week_from(folder, monday))
        for one in _measure_week(ctx, folder, monday.isoformat(), runs, due_ids, now, read):
            if last is not None:
                _record(ctx, last.run_id, now, last.performance)
            kept = {"alarm_limit": limit, **of_runs.get(one.run_id, {})}
            last = replace(one, performance=one.performance.model_copy(update=kept))
            measured.append(last)
    if last is not None:
        _keep_verdict(ctx, folder, now, before, last, read)
    return measured


def _keep_verdict(
    ctx: Context,
    folder: ModelFolder,
    now: datetime,
    before: LatestPerformance | None,
    last: MeasuredRun,
    read: Mapping[str, performance.Outcomes],
) -> None:
    """Record the last run with the verdict on the last days, where ``rescore status`` finds it."""
    try:
        latest = latest_performance(ctx, folder.name, now, read=read)
    except SpecError:  # of a metric that scores can't give; whoever asks for the metric itself is told
        latest = None
    if latest is not None:
        ripe_by = now - folder.spec.target.delay
        found = evidence_after(ctx, folder.name, ripe_by, also={last.run_id: last.performance})
        latest = with_evidence(latest, found, before)
    verdict = {"latest": latest}
    for row in ctx.store.history.performance_by_run(folder.name, 1):
        if row.interval.start > last.interval.start:  # an earlier run was measured again
            newest = PerformanceReport.from_dict(row.report).model_copy(update=verdict)
            _record(ctx, row.run_id, row.as_of, newest)
            verdict = {}
    _record(ctx, last.run_id, now, last.performance.model_copy(update=verdict))


def _measure_week(
    ctx: Context,
    folder: ModelFolder,
    week: str,
    runs: Sequence[ScoredRun],
    due: set[str],
    now: datetime,
    read: dict[str, performance.Outcomes],
) -> list[MeasuredRun]:
    """Measure the runs of a week that are due; the last of them has the metrics of the whole week.

    What came of each run's rows is put into ``read``.
    """
    wanted = [run for run in runs if run.run_id in due]
    ctx.progress(
        f"{folder.name}: measuring {len(wanted)} of {number_of(len(runs), 'run')} of the week of {week}"
    )
    rows = _outcomes(ctx, folder, runs, now)
    read.update({run.run_id: one for run, one in zip(runs, rows, strict=True)})
    whole = PerformanceWeek(
        week=week,
        runs=len(runs),
        interval_start=runs[0].interval.start,
        interval_end=runs[-1].interval.end,
        metrics=_measure(ctx, folder, runs[-1], performance.pool(rows)),
    )
    measured = []
    for run, of_run in zip(runs, rows, strict=True):
        if run.run_id in due:
            found = _measure(ctx, folder, run, of_run)
            found = found.model_copy(update={"week": whole}) if run is wanted[-1] else found
            measured.append(MeasuredRun(run.run_id, run.interval, found))
    return measured


def _record(ctx: Context, run_id: str, as_of: datetime, found: PerformanceReport) -> None:
    ctx.store.reports.record_performance(run_id, as_of, found.to_dict(), label_coverage=found.coverage)


def performance_by_run(ctx: Context, model_name: str, last: int | None = None) -> list[MeasuredRun]:
    """The latest that :func:`measure_due` stored of each published run, oldest interval first."""
    ctx.model(model_name)
    return [
        MeasuredRun(row.run_id, row.interval, PerformanceReport.from_dict(row.report))
        for row in ctx.store.history.performance_by_run(model_name, last)
    ]


def performance_by_week(ctx: Context, model_name: str, last: int | None = None) -> list[PerformanceWeek]:
    """The latest that :func:`measure_due` stored of each week, oldest first."""
    ctx.model(model_name)
    weeks = ctx.store.history.performance_by_week(model_name, last)
    return [PerformanceWeek.from_dict(row.report) for row in weeks]


def latest_performance(
    ctx: Context, model_name: str, now: datetime, *, read: Mapping[str, performance.Outcomes] | None = None
) -> LatestPerformance | None:
    """How well the model did in the last 7 days of labelled scores, by what was known at ``now``.

    Read from the source, not from what was stored, so that a backfill decides as the scheduled run
    would have. The metric is ``promotion.metric``, else ``auc``, ``accuracy`` or ``rmse``. Runs that are in
    ``read``, by what was known at ``now`` too, are not read again.

    Returns
    -------
    LatestPerformance or None
        None if no label is known, or the metric is not defined for those that are. Its value is None if
        some labels are ones that training never saw: a metric of the others would be of a part that nobody
        chose, so nothing acts on it.

    Raises
    ------
    SpecError
        The declared metric can't be measured from what is published.
    """
    folder = ctx.model(model_name)
    ripe_by = now - folder.spec.target.delay
    newest = next(iter(ctx.store.runs.published(model_name, ended_by=ripe_by, last=1)), None)
    if newest is None:
        return None
    rows, until = dict(read or {}), None
    for first in (newest.interval.end - SPAN, newest.interval.end - SPAN - SLACK):
        recent = ctx.store.runs.published(model_name, ended_by=ripe_by, ended_after=first)
        unread = [run for run in recent if run.run_id not in rows]
        found_now = _outcomes(ctx, folder, unread, now, segments=False)
        rows |= {run.run_id: one for run, one in zip(unread, found_now, strict=True)}
        ends = [run.interval.end for run in recent if rows[run.run_id].labelled or rows[run.run_id].unknown]
        until = max(ends, default=None)
        if until == newest.interval.end:
            break
    if until is None:
        return None
    pooled = performance.pool(
        replace(rows[run.run_id], segments={}) for run in recent if until - SPAN < run.interval.end <= until
    )
    found = performance.measure(pooled, folder.spec)
    metric = performance.realised_metric(folder.spec)
    measure = found.measure(metric)
    if not found.unknown_labels:
        if metric not in found.metrics:
            raise SpecError(
                f"{metric} can't be measured from published scores of a {folder.spec.target.kind} model",
                where=f"{folder.path / 'model.yaml'}: promotion.metric",
                expected=", ".join(found.metrics),
                fix="declare one of these",
            )
        if measure.value is None:
            return None
    latest = LatestPerformance(
        metric=metric,
        **({} if found.unknown_labels else dict(measure)),
        rows=found.labelled,
        until=until,
        unknown_labels=found.unknown_labels,
    )
    return judged_by_package(ctx, folder, recent[-1], latest, before=until - SPAN)


def _measure(
    ctx: Context, folder: ModelFolder, run: ScoredRun, rows: performance.Outcomes
) -> PerformanceReport:
    """Measure a run's outcomes, or a week's by its last run: its drift report keeps what scores meant."""
    stored = ctx.store.reports.drift_of(run)
    report = None if stored is None else drift.DriftReport.from_dict(stored)
    calibration = None if report is None else report.score_calibration
    # What a regression's errors should be is known of this run's rows, not of those of its week.
    expected = report.estimated if report is not None and rows.score.size == run.rows_scored else None
    found = performance.measure(rows, folder.spec, calibration, expected)
    outside = report is not None and report.outside and bool(found.estimated)
    return found.model_copy(update={"outside": True}) if outside else found


def _monday(folder: ModelFolder, interval: Interval) -> date:
    """The Monday before the interval's start, on the schedule's clock."""
    there = interval.start.astimezone(ZoneInfo(folder.spec.schedule.timezone)).date()
    return there - timedelta(days=there.weekday())


def _week_from(folder: ModelFolder, monday: date) -> Interval:
    zone = ZoneInfo(folder.spec.schedule.timezone)
    bounds = (datetime.combine(day, time.min, zone) for day in (monday, monday + timedelta(days=7)))
    return Interval(*(bound.astimezone(UTC) for bound in bounds))


def _outcomes(
    ctx: Context, folder: ModelFolder, runs: Sequence[ScoredRun], as_of: datetime, *, segments: bool = True
) -> list[performance.Outcomes]:
    """Scores beside the labels known by ``as_of``, of each of some runs of different intervals."""
    if not runs:
        return []
    found = []
    trained_on = {run.package_sha256: _trained_on(ctx, run) for run in runs}
    for run, labels in zip(runs, labels_of_runs(ctx, folder, runs, as_of), strict=True):
        rows = _scored_rows(ctx, folder, run) if segments and folder.spec.segments else None
        scores, seen = ctx.store.scores.of_run(run), trained_on[run.package_sha256]
        found.append(performance.outcomes(scores, labels, folder.spec, rows, trained_on=seen))
    return found


def labels_of_runs(
    ctx: Context, folder: ModelFolder, runs: Sequence[ScoredRun], as_of: datetime
) -> Iterator[pa.Table]:
    """The labels known by ``as_of`` of each of some runs of different intervals, at least one."""
    known = source.labels(ctx.source_url(folder), folder, [run.interval for run in runs], as_of)
    starts = known["interval_start"].cast(pa.int64()).to_numpy()
    for run in runs:
        micros = round(run.interval.start.timestamp() * 1e6)
        first, after = np.searchsorted(starts, [micros, micros + 1])
        labels = known.slice(int(first), int(after - first))
        yield labels.filter(
            pc.equal(labels["interval_end"], pa.scalar(run.interval.end, labels["interval_end"].type))
        )


def _trained_on(ctx: Context, run: ScoredRun) -> Sequence[str] | None:
    """The class labels that the run's package was trained on; None of a regression."""
    return ctx.store.packages.find(run.model, run.package_sha256).manifest.target.labels or None


def _scored_rows(ctx: Context, folder: ModelFolder, run: ScoredRun) -> pa.Table | None:
    """The segment columns of the rows that were scored; None if the frozen input is gone."""
    try:
        rows = ctx.kept_rows(run)
    except NotFoundError:
        return None
    return rows.select([name for name in folder.spec.segments if name in rows.column_names])
