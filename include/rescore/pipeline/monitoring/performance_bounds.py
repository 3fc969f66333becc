"""With what a model's realised metric is compared: what is declared, else what its package gives."""

from __future__ import annotations

from datetime import datetime

from rescore import performance
from rescore.folder import ModelFolder
from rescore.performance import LatestPerformance, OwnBound, PerformanceReport
from rescore.pipeline.context import Context
from rescore.store import ScoredRun

__all__ = ["judged_by_package"]

#: An adopted package's windows of fewer labelled rows say little of what is usual.
_MIN_LABELLED = 20
#: So many of its windows are read to find the first that do.
_READ = 40


def judged_by_package(
    ctx: Context, folder: ModelFolder, run: ScoredRun, latest: LatestPerformance, *, before: datetime
) -> LatestPerformance:
    """The same performance with its verdict, by ``performance.alarm_at`` or the package of a run.

    Of a package that was adopted, windows count that had ended ``before`` the judged days began.
    """
    manifest = ctx.store.packages.find(run.model, run.package_sha256).manifest
    declared = folder.spec.performance.alarm_at
    if not manifest.training.reproducible:
        own = None if declared is not None else _adopted(ctx, run, latest.metric, before)
        found = performance.judged(latest, declared, (), own)
        if found.value is None or found.bound is not None:
            return found
        said = found.sentence.removesuffix("no bound is declared, and training gives none")
        why = (
            "nothing is declared, and an adopted package gives a bound once three of its windows have labels"
        )
        return found.model_copy(update={"sentence": said + why})
    measured = [manifest.metrics, *(fold.metrics for fold in manifest.evaluation.folds)]
    trained = [float(value) for one in measured if (value := one.get(latest.metric)) is not None]
    return performance.judged(latest, declared, trained)


def _adopted(ctx: Context, run: ScoredRun, metric: str, before: datetime) -> OwnBound | None:
    rows = ctx.store.history.first_performance(run.model, run.package_sha256, ended_by=before, first=_READ)
    first = []
    for row in rows:
        what = f"{run.model}: the performance of {row.interval}"
        report = ctx.read_stored(PerformanceReport, row.report, what)
        if report is None or report.labelled < _MIN_LABELLED or report.unknown_labels:
            continue
        if (value := report.measure(metric).value) is not None:
            first.append(value)
    manifest = ctx.store.packages.find(run.model, run.package_sha256).manifest
    return performance.adopted_bound(metric, manifest.metrics, first)
