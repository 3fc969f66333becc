"""One run: its way from the source to consumers, and one feature of its window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rescore.drift import FeatureDrift
from rescore.errors import NotFoundError
from rescore.report import drift_report_of, drift_windows, run_lines_of
from rescore.validation import ValidationReport
from rescore_airflow.page.plots import effect_plot

if TYPE_CHECKING:
    from rescore.pipeline import Context
    from rescore.spec import ModelSpec
    from rescore.store import Run

__all__ = ["feature_values", "run_values"]

#: Features listed with a run, and windows over which one is drawn.
FEATURES, WINDOWS = 8, 60

#: What each state stands for, in the words of somebody who follows the rows.
_STEPS = {
    "claimed": "claimed the interval",
    "extracted": "froze its input",
    "validated": "validated the rows",
    "scored": "scored them",
    "checked": "compared them with training",
    "published": "published the scores",
    "failed": "failed",
    "stopped": "was stopped",
}


@dataclass(frozen=True)
class Step:
    """One step of a run: what it did, when, and whether it went well."""

    name: str
    at: datetime
    ended: bool


def run_values(ctx: Context, spec: ModelSpec, run_id: str, *, now: datetime) -> dict[str, Any]:
    """What the template shows of a run.

    Raises
    ------
    NotFoundError
        The model has no such run.
    """
    run = _run_of(ctx, spec, run_id)
    stored = ctx.store.reports.validation_of(run)
    report = drift_report_of(ctx.store, run)
    attempts = [
        one for one in ctx.store.runs.latest(spec.name, interval=run.interval) if one.run_id != run.run_id
    ]
    [line, *others] = run_lines_of(ctx.store, [run, *attempts], timezone=spec.schedule.timezone, now=now)
    return {
        "spec": spec,
        "run": run,
        "line": line,
        "steps": [
            Step(_STEPS[state], at, state in {"failed", "stopped"}) for state, at in run.states.items()
        ],
        "validation": None if stored is None else _validation(stored),
        "report": report,
        "features": [] if report is None else report.worst_first[:FEATURES],
        "proofs": ctx.store.reports.reproductions(run)[::-1],
        "attempts": others,
        "error": (run.error or {}).get("message", ""),
    }


def _run_of(ctx: Context, spec: ModelSpec, run_id: str) -> Run:
    run = ctx.store.runs.get(run_id)
    if run.model != spec.name:  # the right to read one model is none to read another's
        raise NotFoundError(f"{spec.name} has no run {run_id}", fix=f"`rescore runs {spec.name}` lists them")
    return run


def _validation(stored: dict[str, Any]) -> ValidationReport | None:
    """The report, if it is whole: an earlier release kept less."""
    return ValidationReport.from_dict(stored) if "summary" in stored else None


def feature_values(ctx: Context, spec: ModelSpec, feature: str, run_id: str | None) -> dict[str, Any]:
    """What the template shows of a feature in one run's window; in the latest, if none is named.

    Raises
    ------
    NotFoundError
        The model has no such run, or its drift report no such feature.
    """
    windows = drift_windows(ctx.store, spec.name, WINDOWS)
    if run_id is None:
        if not windows:
            raise NotFoundError(
                f"{spec.name} has no drift report yet", fix=f"`rescore score {spec.name} --day DAY` makes one"
            )
        run_id, report = windows[-1].run_id, windows[-1].report
        interval = (windows[-1].interval_start, windows[-1].interval_end)
    else:
        run = _run_of(ctx, spec, run_id)
        found_report = drift_report_of(ctx.store, run)
        if found_report is None:
            raise NotFoundError(
                f"run {run_id} has no drift report", where=f"{run.interval}, state {run.state}"
            )
        report, interval = found_report, (run.interval.start, run.interval.end)
    found = report.feature(feature)
    if found is None:
        raise NotFoundError(
            f"the drift report of run {run_id} has no feature {feature!r}",
            expected=", ".join(one.name for one in report.features),
        )
    declared = next((one for one in spec.features if one.name == feature), None)
    histogram = report.histograms.get(feature)
    largest = max((share for bar in histogram.shares for share in bar[1:]), default=1.0) if histogram else 1.0
    return {
        "spec": spec,
        "feature": found,
        "declared": declared,
        "report": report,
        "run_id": run_id,
        "interval": interval,
        "bars": [] if histogram is None else histogram.shares,
        "largest": largest or 1.0,
        "counts": None if histogram is None else (sum(histogram.reference), sum(histogram.live)),
        "plot": effect_plot(windows, feature, report.effect_floor),
        "neighbours": _neighbours(report.features, feature),
    }


def _neighbours(features: Sequence[FeatureDrift], name: str) -> tuple[str | None, str | None]:
    names = [one.name for one in features]
    place = names.index(name)
    return names[place - 1] if place else None, names[place + 1] if place + 1 < len(names) else None
