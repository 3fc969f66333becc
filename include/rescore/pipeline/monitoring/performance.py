"""How good published scores turned out to be, once labels are known: by run, by week, and lately."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore import performance, source
from rescore.errors import NotFoundError, SpecError
from rescore.folder import ModelFolder
from rescore.pipeline.context import Context, utc_now
from rescore.store import ScoredRun

__all__ = ["latest_performance", "measure_due", "measure_run", "performance_by_run", "performance_by_week"]

#: What "lately" is, and how much further back it begins if the last runs have no labels yet.
LATELY, SLACK = timedelta(days=7), timedelta(days=7)

#: A run whose labels come at once is measured again not before it is this much older.
LEAST_AGE = timedelta(hours=1)


def measure_run(ctx: Context, run_id: str, as_of: datetime | None = None) -> dict[str, Any]:
    """Realised performance of a run from the labels known by ``as_of``; the result is stored.

    Parameters
    ----------
    ctx : Context
        Store and connections.
    run_id : str
        A run that was scored.
    as_of : datetime, optional
        Default: now.

    Returns
    -------
    dict
        Metrics with intervals, the number of rows scored and labelled; see
        :func:`rescore.performance.measure`.
    """
    run = ctx.store.runs.scored(run_id)
    folder = ctx.model(run.model)
    as_of = as_of or utc_now()
    rows = _outcomes(ctx, folder, [run], as_of)[0]
    measured = performance.measure(rows, folder.spec, _calibration(ctx, run))
    ctx.store.reports.record_performance(run_id, as_of, measured, label_coverage=measured["coverage"])
    return measured


def measure_due(ctx: Context, model_name: str, now: datetime) -> list[dict[str, Any]]:
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

    Returns
    -------
    list of dict
        Per measured run, oldest first: ``run_id``, ``interval_start``, ``interval_end`` and the metrics
        of :func:`rescore.performance.measure`.

    Raises
    ------
    SourceError, SpecError
        As :func:`rescore.source.labels`.
    """
    folder = ctx.model(model_name)
    ripe = _ripe(ctx, folder, now)
    before = {row["run_id"]: row for row in ctx.store.history.performance_by_run(model_name)}
    due = {run.run_id for run in ripe if _is_due(run, before.get(run.run_id), now)}
    measured = []
    for week, members in groupby(ripe, key=lambda run: _week(folder, run)):
        runs = list(members)
        wanted = [run for run in runs if run.run_id in due]
        if not wanted:
            continue
        ctx.progress(f"{model_name}: measuring {len(wanted)} of {len(runs)} runs of the week of {week}")
        rows = _outcomes(ctx, folder, runs, now)
        together = performance.measure(performance.pool(rows), folder.spec, _calibration(ctx, runs[-1]))
        bounds = {"interval_start": runs[0].interval.start, "interval_end": runs[-1].interval.end}
        whole = {"week": week, "runs": len(runs), **bounds, "metrics": together}
        for run, of_run in zip(runs, rows, strict=True):
            if run.run_id not in due:
                continue
            found = performance.measure(of_run, folder.spec, _calibration(ctx, run))
            document = found | ({"week": whole} if run is wanted[-1] else {})
            ctx.store.reports.record_performance(run.run_id, now, document, label_coverage=found["coverage"])
            bounds = {"interval_start": run.interval.start, "interval_end": run.interval.end}
            measured.append({"run_id": run.run_id, **bounds, **found})
    return measured


def performance_by_run(ctx: Context, model_name: str, last: int | None = None) -> list[dict[str, Any]]:
    """What :func:`measure_due` stored of each run; see ``store.history.performance_by_run``."""
    ctx.model(model_name)
    return ctx.store.history.performance_by_run(model_name, last)


def performance_by_week(ctx: Context, model_name: str, last: int | None = None) -> list[dict[str, Any]]:
    """What :func:`measure_due` stored of each week; see ``store.history.performance_by_week``."""
    ctx.model(model_name)
    return ctx.store.history.performance_by_week(model_name, last)


def latest_performance(ctx: Context, model_name: str, now: datetime) -> dict[str, Any] | None:
    """How well the model did in the last 7 days of labelled scores, by what was known at ``now``.

    Read from the source, not from what was stored, so that a backfill decides as the scheduled run
    would have. The metric is ``promotion.metric``, else ``auc``, ``accuracy`` or ``rmse``.

    Returns
    -------
    dict or None
        ``metric``, ``value``, its 95 % interval ``low`` and ``high`` (None where the metric has none),
        ``rows`` (labelled ones) and ``until`` (end of the last interval with labels). None if no label
        is known, or the metric is not defined for those that are.

    Raises
    ------
    SpecError
        The declared metric can't be measured from what is published.
    """
    folder = ctx.model(model_name)
    ripe = _ripe(ctx, folder, now)
    if not ripe:
        return None
    first = ripe[-1].interval.end - LATELY - SLACK
    recent = [run for run in ripe if run.interval.end > first]
    rows = _outcomes(ctx, folder, recent, now, segments=False)
    labelled = [run.interval.end for run, one in zip(recent, rows, strict=True) if one.labelled]
    if not labelled:
        return None
    until = labelled[-1]
    chosen = [
        one for run, one in zip(recent, rows, strict=True) if until - LATELY < run.interval.end <= until
    ]
    found = performance.measure(performance.pool(chosen), folder.spec)
    metric = performance.main_metric(folder.spec)
    if metric not in found:
        raise SpecError(
            f"{metric} can't be measured from published scores of a {folder.spec.target.kind} model",
            where=f"{folder.path / 'model.yaml'}: promotion.metric",
            expected=", ".join(name for name, value in found.items() if isinstance(value, float)),
            fix="declare one of these",
        )
    if found[metric] is None:
        return None
    return {
        "metric": metric,
        "value": found[metric],
        "low": found.get(f"{metric}_low"),
        "high": found.get(f"{metric}_high"),
        "rows": found["labelled"],
        "until": until,
    }


def _calibration(ctx: Context, run: ScoredRun) -> performance.ScoreCalibration | None:
    """What scores of the run's package meant in training; its drift report keeps it."""
    stored = (ctx.store.reports.drift_of(run) or {}).get("score_calibration")
    return None if stored is None else performance.ScoreCalibration.from_dict(stored)


def _ripe(ctx: Context, folder: ModelFolder, now: datetime) -> list[ScoredRun]:
    """The published runs whose labels should be known by ``now``, by interval."""
    return ctx.store.runs.published(folder.name, ended_by=now - folder.spec.target.delay)


def _is_due(run: ScoredRun, before: dict[str, Any] | None, now: datetime) -> bool:
    if before is None:
        return True
    if before["label_coverage"] == 1:
        return False
    measured_at: datetime = before["as_of"]
    return now - measured_at >= max(measured_at - run.interval.end, LEAST_AGE)


def _week(folder: ModelFolder, run: ScoredRun) -> str:
    there = run.interval.start.astimezone(ZoneInfo(folder.spec.schedule.timezone)).date()
    return (there - timedelta(days=there.weekday())).isoformat()


def _outcomes(
    ctx: Context, folder: ModelFolder, runs: Sequence[ScoredRun], as_of: datetime, *, segments: bool = True
) -> list[performance.Outcomes]:
    """Scores beside the labels known by ``as_of``, of each of some runs of different intervals."""
    known = source.labels(ctx.source_url(folder), folder, [run.interval for run in runs], as_of)
    starts = known["interval_start"].cast(pa.int64()).to_numpy()
    found = []
    for run in runs:
        micros = round(run.interval.start.timestamp() * 1e6)
        first, after = np.searchsorted(starts, [micros, micros + 1])
        rows = _scored_rows(ctx, folder, run) if segments and folder.spec.segments else None
        labels = known.slice(int(first), int(after - first))
        labels = labels.filter(
            pc.equal(labels["interval_end"], pa.scalar(run.interval.end, labels["interval_end"].type))
        )
        found.append(performance.outcomes(ctx.store.scores.of_run(run), labels, folder.spec, rows))
    return found


def _scored_rows(ctx: Context, folder: ModelFolder, run: ScoredRun) -> pa.Table | None:
    """The segment columns of the rows that were scored; None if the frozen input is gone."""
    try:
        rows = ctx.kept_rows(run)
    except NotFoundError:
        return None
    return rows.select([name for name in folder.spec.segments if name in rows.column_names])
