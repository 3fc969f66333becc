"""The command that shows how scores came true."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from rescore.cli.terminal import Json, ModelName, Save, context, print_json, print_line, print_table
from rescore.shown_text import number_of

if TYPE_CHECKING:
    from rescore.performance import Segment
    from rescore.report import PerformancePoint

app = typer.Typer()

#: Characters of a strip: a table has 120 for all.
WIDTH = 20


@app.command()
def performance(
    model: ModelName,
    by: Annotated[Literal["week", "run"], typer.Option(help="A line per week or per run.")] = "week",
    metric: Annotated[str | None, typer.Option(help="Default: auc, accuracy or rmse.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many weeks or runs, the latest.")] = 30,
    measure: Annotated[bool, typer.Option(help="First measure the runs whose labels are due now.")] = False,
    again: Annotated[
        bool, typer.Option(help="Measure the last 400 runs again: labels that were there have changed.")
    ] = False,
    save: Save = None,
    as_json: Json = False,
) -> None:
    """Show how scores came true, with intervals, beside the estimate from the scores; by segment, too."""
    from rescore import pipeline, report

    with context() as ctx:
        ctx.model(model)
        if measure or again:
            pipeline.measure_due(ctx, model, datetime.now(UTC), again=again)
            pipeline.follow_shadows(ctx, model, datetime.now(UTC))
        metric, points = report.performance_rows(ctx.store, model, last, by=by, metric=metric)
        latest = report.latest_performance_of(ctx.store, model, by=by)
        if save is not None:
            report.save(report.performance_of(ctx.store, model, last, by=by, metric=metric), save)
    if as_json:
        print_json([vars(point) for point in points])
        return
    if not points:
        print_line(f"{model}: nothing is measured yet; try --measure once labels are due")
        return
    _print_performance(model, by, metric, points)
    for name, segments in latest.segments.items() if latest else ():
        print_table([_segment_row(segment, metric) for segment in segments], f"latest {by} by {name}")
    if latest and (warning := latest.unknown_label_warning()):
        print_line(f"latest {by}: {warning}")
    if latest and (contradiction := latest.contradiction()):
        print_line(f"latest {by}: {contradiction}")


def _print_performance(model: str, by: str, metric: str, points: Sequence[PerformancePoint]) -> None:
    from rescore.report import agreement, short, strip, with_interval

    values = [(point.value, point.low, point.high, point.estimated) for point in points]
    numbers = [number for row in values for number in row if number is not None]
    least, most = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    shown = [
        {
            by: point.week or f"{point.interval_start:%Y-%m-%d %H:%M}",
            "labelled": _coverage(point.rows, point.coverage),
            metric: with_interval(point.value, point.low, point.high),
            "estimated": _estimated(point),
            f"{short(least)} to {short(most)}": strip(*row, between=(least, most), width=WIDTH),
            "came true": {True: "yes", False: "no", None: None}[point.within],
            "unknown labels": number_of(point.unknown_labels, "row") if point.unknown_labels else None,
        }
        for point, row in zip(points, values, strict=True)
    ]
    left_out = {"estimated", "came true"} if all(point.estimated is None for point in points) else set()
    left_out |= set() if any(point.unknown_labels for point in points) else {"unknown labels"}
    columns = [column for column in shown[0] if column not in left_out]
    print_table(shown, f"{model}: {escape(metric)} by {by}, with 95 % intervals", columns)
    if agreed := agreement(points):
        print_line(
            f"The estimate came true within its band in {agreed['within']} of {agreed['measured']} {by}s; "
            f"the median difference was {agreed['typical']:.3g}."
        )
        if agreed["warning"]:
            print_line(agreed["warning"])


def _estimated(point: PerformancePoint) -> str | None:
    from rescore.report import with_interval

    said = with_interval(point.estimated, point.estimated_low, point.estimated_high)
    return f"{said}, outside what training saw" if said and point.outside else said


def _segment_row(segment: Segment, metric: str) -> dict[str, Any]:
    from rescore.report import with_interval

    found = segment.measure(metric)
    return {
        "value": segment.value,
        "labelled": _coverage(segment.rows, segment.coverage),
        metric: with_interval(found.value, found.low, found.high),
    }


def _coverage(rows: int | None, coverage: float | None) -> str:
    from rescore.report import percent

    return "" if coverage is None else f"{percent(coverage)} of {rows:,}"
