"""Commands that show how a model is doing: drift, and performance."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from rescore.cli.terminal import Json, ModelName, context, print_rows, stdout
from rescore.errors import NotFoundError

if TYPE_CHECKING:
    from rescore.pipeline import Context

app = typer.Typer()

Save = Annotated[Path | None, typer.Option(help="Draw it into this file, PNG or SVG.")]

#: Effect (PSI) at which a sparkline is full, as in the heat map.
DARKEST = 0.5

#: Characters of a bar, and of a strip: a table has 120 for all.
WIDTH, STRIP = 24, 20

_MARKS = {"ok": "·", "drifted": "d", "consequential": "C", "outage": "X"}


@app.command()
def drift(
    model: ModelName,
    run: Annotated[str | None, typer.Option(help="This run, by its id; default: the latest window.")] = None,
    last: Annotated[int, typer.Option(min=1, help="So many windows in the small charts.")] = 30,
    feature: Annotated[str | None, typer.Option(help="Only this one, with its distribution.")] = None,
    save: Save = None,
    as_json: Json = False,
) -> None:
    """Show what a window differs in from training: verdict, and each feature's size of effect over time."""
    with context() as ctx:
        ctx.model(model)
        series = ctx.store.history.drift(model, None if run else last)
        if run is not None:
            series = _until(ctx, model, series, run)[-last:]
        if not series:
            raise NotFoundError(
                f"{model} has no drift report yet",
                expected="a run that was compared with training",
                fix=f"score an interval: rescore score {model}",
            )
        if save is not None:
            _draw_drift(ctx, model, series, feature, save)
    latest = series[-1]
    report = latest["report"]
    if as_json:
        shown = report if feature is None else _feature(report, feature)
        bounds = {name: latest[name] for name in ("run_id", "interval_start", "interval_end")}
        sys.stdout.write(json.dumps({**bounds, **shown}, default=str, indent=2) + "\n")
        return
    if feature is not None:
        _print_feature(model, report, feature)
        return
    start, end = latest["interval_start"], latest["interval_end"]
    title = f"{model}: {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {start:%Z}, run {latest['run_id']}"
    stdout.print(f"{title}\n", soft_wrap=True, markup=False)
    rows = [_drift_row(one, series) for one in _ranked(report["features"])]
    print_rows(rows, as_json=False, title=f"{report['rows']:,} rows", columns=[*rows[0]] if rows else None)
    marks = "".join(_MARKS[one["verdict"]] for one in series)
    said = f"{len(series)} window{'s' * (len(series) > 1)}"
    stdout.print(f"verdicts of {said}: {marks}   (· ok, d drifted, C consequential, X outage)", markup=False)
    stdout.print(f"{report['verdict']}: {report['sentence']}", soft_wrap=True, markup=False)
    for note in report["notes"]:
        stdout.print(f"note: {note}", soft_wrap=True, markup=False)


def _until(ctx: Context, model: str, series: Sequence[dict[str, Any]], run: str) -> list[dict[str, Any]]:
    """The windows up to the run's, which stands for its interval even if another was published."""
    found = ctx.store.runs.get(run)
    report = ctx.store.reports.drift_of(run)
    if report is None or found.model != model:
        raise NotFoundError(
            f"run {run} has no drift report of {model}",
            where=f"{found.model} {found.interval}, state {found.state}",
            expected="a run of this model that was compared with training",
            fix=f"rescore drift {model} shows the latest",
        )
    own = {
        "run_id": found.run_id,
        "interval_start": found.interval.start,
        "interval_end": found.interval.end,
        "verdict": report["verdict"],
        "report": report,
    }
    return [*(one for one in series if one["interval_end"] <= found.interval.start), own]


def _draw_drift(
    ctx: Context, model: str, series: Sequence[dict[str, Any]], feature: str | None, path: Path
) -> None:
    from rescore import report

    if feature is not None:
        run = str(series[-1]["run_id"])
        report.save(report.feature_distribution_of(ctx.store, model, feature, run), path)
    else:
        timezone = str(series[-1]["report"].get("timezone", "UTC"))
        report.save(report.drift_heatmap(series, title=f"{model}: drift", timezone=timezone), path)


def _ranked(features: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Broken ones first, then flagged ones, then by importance; the score last of its kind."""
    return sorted(
        features,
        key=lambda one: (not one["outage"], not one["flagged"], -(one["importance"] or 0), one["name"]),
    )


def _drift_row(one: Mapping[str, Any], series: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    from rescore.report import sparkline

    history = [_effect(window["report"], one["name"]) for window in series]
    gone = one["distance"] is None or one["missing"] == 1
    moved = "" if gone else f"{one['distance']:.3g} {one['unit']}".strip()
    if one["unit"] == "share of rows" and not gone:
        moved = f"{100 * one['distance']:.1f} % of rows"
    state = "outage" if one["outage"] else "flagged" if one["flagged"] else ""
    return {
        "feature": one["name"],
        "importance": "" if one["kind"] == "score" else f"{100 * (one['importance'] or 0):.0f} %",
        "effect": f"{one['effect']:.3f}" if one["effect"] is not None else "∞",
        "over time": sparkline(history, most=DARKEST),
        "moved by": moved,
        "missing": "" if not one["missing"] else f"{100 * one['missing']:.1f} %",
        "p": "" if one["p_value"] is None else f"{one['p_value']:.3f}",
        "": state,
    }


def _effect(report: Mapping[str, Any], name: str) -> float | None:
    for one in report["features"]:
        if one["name"] == name:
            return DARKEST if one["outage"] or one["effect"] is None else float(one["effect"])
    return None


def _feature(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = next((one for one in report["features"] if one["name"] == name), None)
    if found is None:
        raise NotFoundError(
            f"the drift report has no feature {name!r}",
            expected=", ".join(one["name"] for one in report["features"]),
            fix="name one of these",
        )
    return {**found, "bars": report.get("bars", {}).get(name)}


def _print_feature(model: str, report: Mapping[str, Any], name: str) -> None:
    from rescore.report import bar

    found = _feature(report, name)
    bars = found.pop("bars")
    print_rows([found], as_json=False, title=name)
    if bars is None:
        stdout.print(f"{model} keeps no distribution of {name} with this report", markup=False)
        return
    before, now = max(sum(bars["reference"]), 1), max(sum(bars["live"]), 1)
    shares = [
        (cell, reference / before, live / now)
        for cell, reference, live in zip(bars["names"], bars["reference"], bars["live"], strict=True)
    ]
    most = max(max(reference, live) for _, reference, live in shares)
    rows = [
        {
            "value": cell,
            "training": f"{100 * reference:.1f} %",
            f"{before:,} rows": bar(reference, most=most, width=WIDTH),
            "now": f"{100 * live:.1f} %",
            f"{now:,} rows ": bar(live, most=most, width=WIDTH),
        }
        for cell, reference, live in shares
    ]
    unit = f", in {found['unit']}" if found["unit"] not in {"", "share of rows"} else ""
    print_rows(rows, as_json=False, title=f"{name}{unit}", columns=[*rows[0]])


@app.command()
def performance(
    model: ModelName,
    by: Annotated[Literal["week", "run"], typer.Option(help="A line per week or per run.")] = "week",
    metric: Annotated[str | None, typer.Option(help="Default: auc, accuracy or rmse.")] = None,
    last: Annotated[int, typer.Option(min=1, help="So many weeks or runs, the latest.")] = 30,
    measure: Annotated[bool, typer.Option(help="First measure the runs whose labels are due now.")] = False,
    save: Save = None,
    as_json: Json = False,
) -> None:
    """Show how scores came true, with intervals, beside what they let expect; by declared segment, too."""
    from rescore import pipeline, report

    with context() as ctx:
        ctx.model(model)
        if measure:
            pipeline.measure_due(ctx, model, datetime.now(UTC))
        metric, rows = report.performance_rows(ctx.store, model, last, by=by, metric=metric)
        measured = (
            pipeline.performance_by_week(ctx, model, 1)
            if by == "week"
            else pipeline.performance_by_run(ctx, model, 1)
        )
        if save is not None:
            drawn = report.performance_of(ctx.store, model, last, by=by, metric=metric)
            report.save(drawn, save)
    if as_json:
        print_rows(rows, as_json=True, title=metric)
        return
    if not rows:
        stdout.print(f"{model}: nothing is measured yet; try --measure once labels are due", markup=False)
        return
    _print_performance(model, by, metric, rows)
    for name, parts in (measured[-1]["metrics"].get("segments") or {}).items() if measured else ():
        shown = [_segment_row(part, metric) for part in parts]
        print_rows(shown, as_json=False, title=f"latest {by} by {name}", columns=[*shown[0]])


def _print_performance(model: str, by: str, metric: str, rows: Sequence[dict[str, Any]]) -> None:
    from rescore import report
    from rescore.report import strip

    names = ("value", "low", "high", "estimated")
    numbers = [row[name] for row in rows for name in names if row[name] is not None]
    between = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    shown = [
        {
            by: row.get("week") or f"{row['interval_start']:%Y-%m-%d %H:%M}",
            "labelled": _coverage(row),
            metric: _interval(row["value"], row["low"], row["high"]),
            "estimated": _interval(row["estimated"], row["estimated_low"], row["estimated_high"]),
            f"{_short(between[0])} to {_short(between[1])}": strip(
                *(row[name] for name in names), between=between, width=STRIP
            ),
            "came true": {True: "yes", False: "no", None: None}[row["within"]],
        }
        for row in rows
    ]
    if all(row["estimated"] is None for row in rows):
        shown = [{k: v for k, v in row.items() if k not in {"estimated", "came true"}} for row in shown]
    title = f"{model}: {escape(metric)} by {by}, with 95 % intervals"
    print_rows(shown, as_json=False, title=title, columns=[*shown[0]])
    if found := report.agreement(rows):
        stdout.print(
            f"The estimate came true within its band in {found['within']} of {found['measured']} {by}s; "
            f"it was off by {found['typical']:.3g} in the middle.",
            soft_wrap=True,
        )


def _segment_row(part: Mapping[str, Any], metric: str) -> dict[str, Any]:
    return {
        "value": part["value"],
        "labelled": _coverage(part),
        metric: _interval(part.get(metric), part.get(f"{metric}_low"), part.get(f"{metric}_high")),
    }


def _coverage(row: Mapping[str, Any]) -> str | None:
    return None if row["coverage"] is None else f"{100 * row['coverage']:.0f} % of {row['rows']:,}"


def _interval(value: float | None, low: float | None, high: float | None) -> str | None:
    if value is None:
        return None
    return (
        _short(value) if low is None or high is None else f"{_short(value)} ({_short(low)} – {_short(high)})"
    )


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}"
