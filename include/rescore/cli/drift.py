"""The command that shows what a window differs in from training."""

from __future__ import annotations

from collections.abc import Sequence
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
from rescore.shown_text import number_of

if TYPE_CHECKING:
    from rescore.drift import DriftReport, FeatureDrift
    from rescore.pipeline import Context
    from rescore.report import DriftWindow

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
    from rescore.report import drift_windows

    with context() as ctx:
        ctx.model(model)
        windows = drift_windows(ctx.store, model, None if run else last)
        if run is not None:
            windows = _windows_until(ctx, model, windows, run)[-last:]
        if not windows:
            raise NotFoundError(
                f"{model} has no drift report yet",
                expected="a run that was compared with training",
                fix=f"score an interval: `rescore score {model} --day DAY`",
            )
        if save is not None:
            _draw(ctx, model, windows, feature, save)
    latest = windows[-1]
    report = latest.report
    if as_json:
        bounds = {name: getattr(latest, name) for name in ("run_id", "interval_start", "interval_end")}
        print_json(
            {**bounds, **(report.to_dict() if feature is None else _feature_document(report, feature))}
        )
    elif feature is not None:
        _print_feature(model, report, feature)
    else:
        _print_windows(model, windows)


def _windows_until(
    ctx: Context, model: str, windows: Sequence[DriftWindow], run_id: str
) -> list[DriftWindow]:
    """The windows up to the run's, which stands for its interval even if another run was published."""
    from rescore.report import DriftWindow, drift_report_of

    run = ctx.store.runs.get(run_id)
    report = drift_report_of(ctx.store, run_id)
    if report is None or run.model != model:
        raise NotFoundError(
            f"run {run_id} has no drift report of {model}",
            where=f"{run.model} {run.interval}, state {run.state}",
            expected="a run of this model that was compared with training",
            fix=f"`rescore drift {model}` shows the latest",
        )
    start, end = run.interval.start, run.interval.end
    own = DriftWindow(run.run_id, start, end, published=run.publication is not None, report=report)
    return [*(window for window in windows if window.interval_end <= start), own]


def _draw(ctx: Context, model: str, windows: Sequence[DriftWindow], feature: str | None, path: Path) -> None:
    from rescore import report

    latest = windows[-1]
    if feature is not None:
        report.save(report.feature_distribution_of(ctx.store, model, feature, latest.run_id), path)
    else:
        timezone = latest.report.timezone
        report.save(report.drift_heatmap(windows, title=f"{model}: drift", timezone=timezone), path)


def _print_windows(model: str, windows: Sequence[DriftWindow]) -> None:
    from rescore.report import span

    latest, report = windows[-1], windows[-1].report
    interval = Interval(latest.interval_start, latest.interval_end)
    print_line(f"{model}: {span(interval)} UTC, run {latest.run_id}\n")
    rows = [_feature_row(feature, windows) for feature in report.worth_a_look]
    print_rows(rows, as_json=False, title=number_of(report.rows, "row"), columns=[*rows[0]] if rows else None)
    marks = "".join(_MARKS[window.report.verdict] for window in windows)
    print_line(
        f"verdicts of {number_of(len(windows), 'window')}: {marks}   (· ok, d drifted, C "
        "consequential, X outage)"
    )
    print_line(f"{report.verdict}: {report.sentence}")
    for note in report.notes:
        print_line(f"note: {note}")


def _feature_row(feature: FeatureDrift, windows: Sequence[DriftWindow]) -> dict[str, Any]:
    from rescore.report import percent, sparkline

    history = [_effect(window.report, feature.name) for window in windows]
    moved = ""
    if feature.distance is not None and feature.missing != 1:
        in_unit = f"{feature.distance:.3g} {feature.own_unit}".strip()
        moved = f"{percent(feature.distance, 1)} of rows" if feature.of_levels else in_unit
    return {
        "feature": feature.name,
        "importance": "" if feature.kind == "score" else percent(feature.importance),
        "effect": f"{feature.effect:.3f}",
        "over time": sparkline(history, most=DARKEST),
        "moved by": moved,
        "missing": _missing(feature),
        "p": f"{feature.p_value:.3f}",
        "": "outage" if feature.outage else "flagged" if feature.flagged else "",
    }


def _missing(feature: FeatureDrift) -> str:
    """The share missing now; beside training's if less is missing than in any of its windows."""
    from rescore.report import percent

    least = feature.missing_reference_min
    if feature.missing is not None and least is not None and least >= max(0.01, 1.5 * feature.missing):
        return f"{percent(feature.missing, 1)} (training {percent(least)} or more)"
    return percent(feature.missing or None, 1)


def _effect(report: DriftReport, name: str) -> float | None:
    feature = report.feature(name)
    return None if feature is None else DARKEST if feature.outage else feature.effect


def _feature(report: DriftReport, name: str) -> FeatureDrift:
    feature = report.feature(name)
    if feature is None:
        raise NotFoundError(
            f"the drift report has no feature {name!r}",
            expected=", ".join(feature.name for feature in report.features),
            fix="name one of these",
        )
    return feature


def _feature_document(report: DriftReport, name: str) -> dict[str, Any]:
    feature, histogram = _feature(report, name), report.histograms.get(name)
    return {**feature.to_dict(), "histogram": None if histogram is None else histogram.to_dict()}


def _print_feature(model: str, report: DriftReport, name: str) -> None:
    from rescore.report import bar, percent

    feature, histogram = _feature(report, name), report.histograms.get(name)
    print_rows([feature.to_dict()], as_json=False, title=name)
    if histogram is None:
        print_line(f"{model} keeps no distribution of {name} with this report")
        return
    most = max(max(reference, live) for _, reference, live in histogram.shares)
    rows = [
        {
            "value": value,
            "training": percent(reference, 1),
            number_of(sum(histogram.reference), "row"): bar(reference, most=most, width=WIDTH),
            "now": percent(live, 1),
            f"{number_of(sum(histogram.live), 'row')} ": bar(live, most=most, width=WIDTH),
        }
        for value, reference, live in histogram.shares
    ]
    print_table(rows, f"{name}, in {feature.own_unit}" if feature.own_unit else name)
