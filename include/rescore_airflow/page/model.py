"""One model: its calendar, its drift, its performance, its runs, packages and pins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rescore.errors import ParameterError
from rescore.manifest import Manifest
from rescore.performance import METRICS
from rescore.report import (
    Day,
    ModelState,
    concerns_said,
    days_of,
    drift_windows,
    heat_rows,
    heat_said,
    performance_rows,
    read_model_states,
    run_lines,
)
from rescore_airflow.page.plots import performance_plot, score_plot

if TYPE_CHECKING:
    from rescore.pipeline import Context
    from rescore.spec import ModelSpec
    from rescore.store import Outcome

__all__ = ["MANY", "model_values"]

#: Runs listed, and features in the heat map, unless all are asked for.
FEW, MANY = 12, 100
#: Windows in pictures over time.
WINDOWS = 60
#: Days of the calendar, in whole weeks.
CALENDAR_DAYS = 371


@dataclass(frozen=True)
class Calendar:
    """A year of days in columns of weeks, from a Monday on.

    Attributes
    ----------
    days : tuple of Day
        Oldest first.
    months : tuple of (str, int)
        Above the columns: name, and in which column it begins.
    stopped : bool
        Whether no run is of the last year, so that these are the days up to the last published one.
    """

    days: tuple[Day, ...]
    months: tuple[tuple[str, int], ...]
    stopped: bool


def model_values(
    ctx: Context, spec: ModelSpec, *, now: datetime, approvals: Mapping[str, int], everything: bool
) -> dict[str, Any]:
    """What the template shows of a model.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    spec : ModelSpec
        The model.
    now : datetime
        Aware.
    approvals : mapping of str to int
        As for :func:`rescore.report.read_model_states`.
    everything : bool
        All features and many runs instead of few.
    """
    from rescore.pipeline import history, shadows_of

    [state] = read_model_states(ctx.store, {spec.name: spec}, now=now, approvals=approvals)
    windows = drift_windows(ctx.store, spec.name, WINDOWS)
    rows, features = heat_rows(windows, None if everything else FEW)
    packages = ctx.store.packages.of_model(spec.name)[::-1]
    pinned = state.pin
    manifest = next((one.manifest for one in packages if pinned and one.sha256 == pinned.sha256), Manifest())
    plots = [_performance(ctx, spec.name, manifest, by, windows) for by in ("week", "run")]
    comparisons = ctx.store.comparisons.of_model(spec.name)
    most = 1.0 if spec.target.kind != "regression" else None  # a probability
    return {
        "model": state,
        "spec": spec,
        "now": now,
        "concerns": [said for _, _, said in concerns_said([state])],
        "history": history(ctx, spec.name, last=0),  # a page that is only looked at leaves the source alone
        "calendar": _calendar(ctx, spec, state, now),
        "windows": windows,
        "heat": rows,
        "heat_said": heat_said(rows),
        "features": features,
        "plots": [
            plot for plot in (*plots, score_plot(windows, spec.output.unit, most=most)) if plot is not None
        ],
        "runs": run_lines(
            ctx.store, spec.name, MANY if everything else FEW, timezone=spec.schedule.timezone, now=now
        ),
        "packages": packages,
        "metrics": [*dict.fromkeys(name for one in packages for name in one.manifest.metrics)][:4],
        "uses": ctx.store.overview.uses(spec.name),
        "pins": ctx.store.pins.of_model(spec.name),
        "beside": shadows_of(ctx, spec.name, now),
        "comparisons": comparisons[: MANY if everything else FEW],
        "everything": everything,
    }


def _calendar(ctx: Context, spec: ModelSpec, state: ModelState, now: datetime) -> Calendar:
    schedule = spec.schedule.schedule()
    zone = ZoneInfo(spec.schedule.timezone)
    last = state.days[-1].day
    last = max(last, now.astimezone(zone).date()) if schedule.end is None else last
    outcomes = _year_of_outcomes(ctx, spec.name, last, zone)
    stopped = not outcomes and state.last_published is not None
    if stopped and state.last_published is not None:
        last = state.last_published.interval.end.astimezone(zone).date()
        outcomes = _year_of_outcomes(ctx, spec.name, last, zone)
    end_of_week = last + timedelta(days=6 - last.weekday())
    days = days_of(
        schedule, outcomes, last=end_of_week, count=CALENDAR_DAYS, now=now, within=spec.publish_within
    )
    months = [
        (f"{one.day:%b}", number // 7)
        for number, one in enumerate(days)
        if one.day.day <= 7 and one.day.weekday() == 0
    ]
    return Calendar(tuple(one for one in days if one.day <= last), tuple(months), stopped)


def _year_of_outcomes(ctx: Context, name: str, last: date, zone: ZoneInfo) -> list[Outcome]:
    since = datetime(last.year, last.month, last.day, tzinfo=zone) - timedelta(days=CALENDAR_DAYS + 1)
    return ctx.store.overview.outcomes({name: since})[name]


def _performance(ctx: Context, name: str, manifest: Manifest, by: str, windows: list[Any]) -> Any:
    try:
        metric, points = performance_rows(ctx.store, name, WINDOWS, by=by, windows=windows)
    except ParameterError:
        return None
    expected = manifest.metrics.get(metric)
    label = METRICS[metric].label
    return performance_plot(
        label, points, f"Performance by {by}: {label}", expected, most=METRICS[metric].most
    )
