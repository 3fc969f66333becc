"""The command that shows what a window differs in from training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rescore.cli.terminal import (
    Json,
    ModelName,
    Save,
    context,
    print_json,
    print_line,
    print_rows,
    print_table,
)
from rescore.errors import NotFoundError
from rescore.interval import Interval

if TYPE_CHECKING:
    from rescore.pipeline import Context

app = typer.Typer()

#: Effect (PSI) at which a sparkline is full, as in the heat map.
DARKEST = 0.5

#: Characters of a bar.
WIDTH = 24

_MARKS = {"ok": "·", "drifted": "d", "consequential": "C", "outage": "X"}


@app.command()
def drift(
    model: ModelName,
    run: Annotated[str | None, typer.Option(help="This run, by its id; default: the latest window.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many windows the small charts show.")] = 30,
    feature: Annotated[str | None, typer.Option(help="Only this feature, with its distribution.")] = None,
    save: Save = None,
    as_json: Json = False,
) -> None:
    """Show what a window differs in from training: verdict, and each feature's size of effect over time."""
    with context() as ctx:
        ctx.model(model)
        windows = ctx.store.history.drift(model, None if run else last)
        if run is not None:
            windows = _windows_until(ctx, model, windows, run)[-last:]
        if not windows:
            raise NotFoundError(
                f"{model} has no drift report yet",
                expected="a run that was compared with training",
                fix=f"score an interval: rescore score {model} --day DAY",
            )
        if save is not None:
            _draw(ctx, model, windows, feature, save)
    latest = windows[-1]
    report = latest["report"]
    if as_json:
        bounds = {name: latest[name] for name in ("run_id", "interval_start", "interval_end")}
        print_json({**bounds, **(report if feature is None else _feature(report, feature))})
    elif feature is not None:
        _print_feature(model, report, feature)
    else:
        _print_windows(model, windows)


def _windows_until(
    ctx: Context, model: str, windows: Sequence[dict[str, Any]], run_id: str
) -> list[dict[str, Any]]:
    """The windows up to the run's, which stands for its interval even if another run was published."""
    run = ctx.store.runs.get(run_id)
    report = ctx.store.reports.drift_of(run_id)
    if report is None or run.model != model:
        raise NotFoundError(
            f"run {run_id} has no drift report of {model}",
            where=f"{run.model} {run.interval}, state {run.state}",
            expected="a run of this model that was compared with training",
            fix=f"rescore drift {model} shows the latest",
        )
    own = {
        "run_id": run.run_id,
        "interval_start": run.interval.start,
        "interval_end": run.interval.end,
        "verdict": report["verdict"],
        "report": report,
    }
    return [*(window for window in windows if window["interval_end"] <= run.interval.start), own]


def _draw(
    ctx: Context, model: str, windows: Sequence[dict[str, Any]], feature: str | None, path: Path
) -> None:
    from rescore import report

    if feature is not None:
        run_id = str(windows[-1]["run_id"])
        report.save(report.feature_distribution_of(ctx.store, model, feature, run_id), path)
    else:
        timezone = str(windows[-1]["report"].get("timezone", "UTC"))
        report.save(report.drift_heatmap(windows, title=f"{model}: drift", timezone=timezone), path)


def _print_windows(model: str, windows: Sequence[dict[str, Any]]) -> None:
    from rescore.report import span

    latest, report = windows[-1], windows[-1]["report"]
    interval = Interval(latest["interval_start"], latest["interval_end"])
    print_line(f"{model}: {span(interval)} UTC, run {latest['run_id']}\n")
    rows = [_feature_row(feature, windows) for feature in _ranked(report["features"])]
    print_rows(rows, as_json=False, title=f"{report['rows']:,} rows", columns=[*rows[0]] if rows else None)
    marks = "".join(_MARKS[window["verdict"]] for window in windows)
    shown = f"{len(windows)} window{'s' * (len(windows) > 1)}"
    print_line(f"verdicts of {shown}: {marks}   (· ok, d drifted, C consequential, X outage)")
    print_line(f"{report['verdict']}: {report['sentence']}")
    for note in report["notes"]:
        print_line(f"note: {note}")


def _ranked(features: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Features with an outage first, then flagged ones, then by importance."""
    return sorted(
        features,
        key=lambda one: (not one["outage"], not one["flagged"], -(one["importance"] or 0), one["name"]),
    )


def _feature_row(feature: Mapping[str, Any], windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    from rescore.report import percent, sparkline

    history = [_effect(window["report"], feature["name"]) for window in windows]
    moved = ""
    if feature["distance"] is not None and feature["missing"] != 1:
        moved = f"{feature['distance']:.3g} {feature['unit']}".strip()
        if feature["unit"] == "share of rows":
            moved = f"{percent(feature['distance'], 1)} of rows"
    return {
        "feature": feature["name"],
        "importance": "" if feature["kind"] == "score" else percent(feature["importance"] or 0),
        "effect": f"{feature['effect']:.3f}" if feature["effect"] is not None else "∞",
        "over time": sparkline(history, most=DARKEST),
        "moved by": moved,
        "missing": percent(feature["missing"] or None, 1),
        "p": "" if feature["p_value"] is None else f"{feature['p_value']:.3f}",
        "": "outage" if feature["outage"] else "flagged" if feature["flagged"] else "",
    }


def _effect(report: Mapping[str, Any], name: str) -> float | None:
    for feature in report["features"]:
        if feature["name"] == name:
            return DARKEST if feature["outage"] or feature["effect"] is None else float(feature["effect"])
    return None


def _feature(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    for feature in report["features"]:
        if feature["name"] == name:
            return {**feature, "bars": report.get("bars", {}).get(name)}
    raise NotFoundError(
        f"the drift report has no feature {name!r}",
        expected=", ".join(feature["name"] for feature in report["features"]),
        fix="name one of these",
    )


def _print_feature(model: str, report: Mapping[str, Any], name: str) -> None:
    from rescore.report import bar, percent

    feature = _feature(report, name)
    bars = feature.pop("bars")
    print_rows([feature], as_json=False, title=name)
    if bars is None:
        print_line(f"{model} keeps no distribution of {name} with this report")
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
            "training": percent(reference, 1),
            f"{before:,} rows": bar(reference, most=most, width=WIDTH),
            "now": percent(live, 1),
            f"{now:,} rows ": bar(live, most=most, width=WIDTH),
        }
        for cell, reference, live in shares
    ]
    unit = f", in {feature['unit']}" if feature["unit"] not in {"", "share of rows"} else ""
    print_table(rows, f"{name}{unit}")
