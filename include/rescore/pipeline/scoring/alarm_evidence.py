"""The evidence that a model's windows have given so far, put into the report of the last one."""

from __future__ import annotations

from dataclasses import replace

from rescore import drift, evidence
from rescore.interval import Interval
from rescore.pipeline.context import Context
from rescore.store import ScoredRun

__all__ = ["with_alarm"]

#: The model's latest windows that are looked at, of which those of the package count: more would be read for
#: each run.
LAST_WINDOWS = 400


def with_alarm(
    ctx: Context, run: ScoredRun, report: drift.DriftReport, trained_on: Interval | None
) -> drift.DriftReport:
    """The report with the evidence of all windows of its package up to its own, in order of time.

    Windows that are outages, and those that could not be compared, say nothing about drift and are left out:
    after one, evidence stands as it stood before, and so does an alarm. A window that is scored again counts
    once; one that is later in time than this one does not count, and none that begins before training ended:
    that an earlier season differs says nothing of today.
    """
    after = None if trained_on is None else trained_on.end
    looks, again = [], False
    for past in ctx.store.history.drift(run.model, LAST_WINDOWS):
        start = past.interval.start
        if past.package_version != run.package_version or start > run.interval.start:
            continue
        before = ctx.read_stored(drift.DriftReport, past.report, f"{run.model}: the drift of {past.interval}")
        if before is None:
            continue
        if start == run.interval.start:
            again = before.alarm is not None and before.alarm.raised
        elif _tells(before) and (after is None or start >= after):
            looks.append(_look(start.isoformat(), before))
    if _tells(report) and (after is None or run.interval.start >= after):
        looks.append(replace(_look(run.interval.start.isoformat(), report), told=again))
    if not looks:
        return report
    alarm = evidence.accumulate(looks, ctx.evidence_limit(run.model, run.interval.end))
    if not _tells(report):
        alarm = alarm.model_copy(update={"new": False})
    sentence = f"{report.sentence}. {alarm}" if alarm.raised else report.sentence
    return report.model_copy(update={"alarm": alarm, "sentence": sentence})


def _tells(report: drift.DriftReport) -> bool:
    return report.statistic is not None and report.verdict != "outage"


def _look(start: str, report: drift.DriftReport) -> evidence.Look:
    named = tuple(one.name for one in report.worst_first if one.flagged)
    if report.volume is not None and report.volume.flagged:
        named = (*named, "number of rows")
    statistic = 0.0 if report.statistic is None else report.statistic
    kept = report.alarm
    return evidence.Look(
        start,
        statistic,
        report.reference_statistics,
        named,
        limit=None if kept is None else kept.limit,
        told=kept is not None and kept.raised,
    )
