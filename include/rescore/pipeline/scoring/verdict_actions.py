"""What a verdict does to its run, as the model declares it: stop it, hold it, or warn.

:mod:`rescore.pipeline.training.retraining` asks for a training because of one;
``rescore_airflow.notify.verdicts`` tells people.
"""

from __future__ import annotations

import logging

from rescore.drift import DriftReport
from rescore.errors import HeldError, OutageError
from rescore.pipeline.context import Context
from rescore.shown_text import number_of
from rescore.store import RunHandle, ScoredRun

__all__ = ["act_on_verdict", "reason_to_publish"]

_log = logging.getLogger(__name__)


def act_on_verdict(ctx: Context, attempt: RunHandle, run: ScoredRun, report: DriftReport) -> None:
    """Stop an outage if ``drift.on_outage`` says so; warn of drift or hold it as ``drift.on_drift`` says.

    Raises
    ------
    OutageError
        The run is stopped; a person can release it.
    """
    declared = ctx.model(run.model).spec.drift
    if report.verdict == "outage" and declared.on_outage == "stop":
        raise OutageError(
            f"{run.model} {run.interval} is an outage: {report.sentence}",
            where=f"run {run.run_id}, {number_of(report.rows, 'row')}, against package {run.package_version}",
            expected="live features as in training; nothing was published",
            fix=f"{report.remedy}, or `rescore publish {run.run_id} --reason WHY`",
            data={"features": list(report.outages)},
        )
    alarm = report.alarm is not None and report.alarm.raised
    if declared.acts_at(report.verdict, alarm=alarm):
        _log.warning("%s %s is %s: %s", run.model, run.interval, report.verdict, report.sentence)
        if declared.on_drift == "hold":
            ctx.store.runs.hold(attempt, HeldError(f"{report.verdict}: {report.sentence}"))


def reason_to_publish(ctx: Context, run: ScoredRun) -> str | None:
    """What stands beside scores that are published although their verdict is an outage; else None."""
    if run.verdict == "outage" and ctx.model(run.model).spec.drift.on_outage == "publish_flagged":
        return "drift.on_outage: publish_flagged is declared"
    return None
