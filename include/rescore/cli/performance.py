"""The command that shows how scores came true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from rescore.cli.terminal import Json, ModelName, Save, context, print_json, print_line, print_table

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
    save: Save = None,
    as_json: Json = False,
) -> None:
    """Show how scores came true, with intervals, beside the estimate from the scores; by segment, too."""
    from rescore import pipeline, report

    with context() as ctx:
        ctx.model(model)
        if measure:
            pipeline.measure_due(ctx, model, datetime.now(UTC))
        metric, rows = report.performance_rows(ctx.store, model, last, by=by, metric=metric)
        of_latest = pipeline.performance_by_week if by == "week" else pipeline.performance_by_run
        latest = of_latest(ctx, model, 1)
        if save is not None:
            report.save(report.performance_of(ctx.store, model, last, by=by, metric=metric), save)
    if as_json:
        print_json(rows)
        return
    if not rows:
        print_line(f"{model}: nothing is measured yet; try --measure once labels are due")
        return
    _print_performance(model, by, metric, rows)
    for name, segments in (latest[-1]["metrics"].get("segments") or {}).items() if latest else ():
        print_table([_segment_row(segment, metric) for segment in segments], f"latest {by} by {name}")


def _print_performance(model: str, by: str, metric: str, rows: Sequence[dict[str, Any]]) -> None:
    from rescore.report import agreement, short, strip, with_interval

    names = ("value", "low", "high", "estimated")
    numbers = [row[name] for row in rows for name in names if row[name] is not None]
    least, most = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    shown = [
        {
            by: row.get("week") or f"{row['interval_start']:%Y-%m-%d %H:%M}",
            "labelled": _coverage(row),
            metric: with_interval(row["value"], row["low"], row["high"]),
            "estimated": with_interval(row["estimated"], row["estimated_low"], row["estimated_high"]),
            f"{short(least)} to {short(most)}": strip(
                *(row[name] for name in names), between=(least, most), width=WIDTH
            ),
            "came true": {True: "yes", False: "no", None: None}[row["within"]],
        }
        for row in rows
    ]
    columns = list(shown[0])
    if all(row["estimated"] is None for row in rows):
        columns = [column for column in columns if column not in {"estimated", "came true"}]
    print_table(shown, f"{model}: {escape(metric)} by {by}, with 95 % intervals", columns)
    if agreed := agreement(rows):
        print_line(
            f"The estimate came true within its band in {agreed['within']} of {agreed['measured']} {by}s; "
            f"the median difference was {agreed['typical']:.3g}."
        )


def _segment_row(segment: Mapping[str, Any], metric: str) -> dict[str, Any]:
    from rescore.report import with_interval

    bounds = (segment.get(f"{metric}{end}") for end in ("", "_low", "_high"))
    return {"value": segment["value"], "labelled": _coverage(segment), metric: with_interval(*bounds)}


def _coverage(row: Mapping[str, Any]) -> str:
    from rescore.report import percent

    return f"{percent(row['coverage'])} of {row['rows']:,}" if row["coverage"] is not None else ""
