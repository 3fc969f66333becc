"""The evidence that a model's windows have given so far, put into the report of the last one."""

from __future__ import annotations

from rescore import drift, evidence
from rescore.pipeline.context import Context
from rescore.store import ScoredRun

__all__ = ["with_alarm"]

#: The model's latest windows that are looked at, of which those of the package count: more would be read for
#: each run.
LAST_WINDOWS = 400


def with_alarm(ctx: Context, run: ScoredRun, report: drift.DriftReport) -> drift.DriftReport:
    """The report with the evidence of all windows of its package up to its own, in order of time.

    Windows that are outages, and those that could not be compared, say nothing about drift and are left out:
    after one, evidence stands as it stood before, and so does an alarm. A window that is scored again counts
    once; one that is later in time than this one does not count.
    """
    looks = []
    for past in ctx.store.history.drift(run.model, LAST_WINDOWS):
        if past.package_version != run.package_version or past.interval.start >= run.interval.start:
            continue
        before = drift.DriftReport.from_dict(past.report)
        if _tells(before):
            looks.append(_look(past.interval.start.isoformat(), before))
    if _tells(report):
        looks.append(_look(run.interval.start.isoformat(), report))
    if not looks:
        return report
    alarm = evidence.accumulate(looks, ctx.evidence_limit(run.interval.duration))
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
    return evidence.Look(start, statistic, report.reference_statistics, named)
