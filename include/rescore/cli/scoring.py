"""Commands that score, list runs, and show how every model stands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rescore.cli.selection import intervals_named, moment
from rescore.cli.terminal import Json, ModelName, context, counted, print_json, print_line, print_rows
from rescore.errors import HeldError

if TYPE_CHECKING:
    from rescore.interval import Interval
    from rescore.pipeline import Context

app = typer.Typer()

#: The exit code of ``status --check`` if anything waits for a person; 1 is an error, 2 a wrong command.
ALARMED = 3


@app.command()
def status(
    model: Annotated[str | None, typer.Argument(help="Only this model.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say only what waits for a person; exit 3 if anything does.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show, per model: whether its scores may be used and why, freshness, verdicts, package, lost history."""
    from rescore import pipeline

    if check:
        _check(model, as_json)
        return
    with context() as ctx:
        known = set(ctx.models())
        if model is not None:
            ctx.model(model)
        rows = [row for row in pipeline.status_rows(ctx) if model in (None, row["model"])]
        for row in rows:  # a model may outlive its folder
            row["history"] = pipeline.history(ctx, row["model"]) if row["model"] in known else None
    print_rows(rows, as_json=as_json, title="models")


def _check(model: str | None, as_json: bool) -> None:
    """Print every alarm; a script reads the exit code, also while no Airflow runs."""
    from dataclasses import asdict

    from rescore import pipeline

    with context() as ctx:
        found = pipeline.alarms(ctx, model)
    if as_json:
        print_json([asdict(alarm) for alarm in found])
    else:
        for alarm in found:
            print_line(f"{alarm.model}  {alarm.kind}  {alarm.sentence}")
        if not found:
            print_line("nothing waits for a person")
    if found:
        raise typer.Exit(ALARMED)


@app.command()
def alarms(as_json: Json = False) -> None:
    """Show the alarms about drift that stand, those of one cause together; exit with 1 if there are any."""
    from rescore import pipeline

    with context() as ctx:
        incidents = pipeline.standing_alarms(ctx)
    rows = [
        {
            "incident": number,
            "model": one.model,
            "since": one.alarm.since,
            "evidence": f"{one.alarm.evidence or 0:.3g} of {one.alarm.limit:.3g}",
            "features": ", ".join(one.alarm.features),
            "shared": ", ".join(incident.shared),
        }
        for number, incident in enumerate(incidents, 1)
        for one in incident.alarms
    ]
    print_rows(rows, as_json=as_json, title="alarms that stand")
    if rows:
        raise typer.Exit(1)


@app.command()
def runs(
    model: ModelName,
    last: Annotated[int, typer.Option(min=1, help="How many runs, the latest.")] = 20,
    as_json: Json = False,
) -> None:
    """List a model's last runs, newest first, with their ids: published, held, failed or abandoned ones."""
    from dataclasses import asdict

    from rescore.report import run_lines

    with context() as ctx:
        timezone = ctx.model(model).spec.schedule.timezone
        lines = run_lines(ctx.store, model, last, timezone=timezone, now=datetime.now(UTC))
    columns = ["due", "state", "verdict", "run_id", "scored", "package", "started", "set_aside"]
    rows = [{**asdict(line), "due": _due(line.interval)} for line in lines]
    print_rows(rows, as_json=as_json, title=f"runs of {model} ({timezone})", columns=columns)
    if not as_json:
        for line in lines:
            if line.problem:
                print_line(f"{line.run_id}: {line.problem}")


def _due(interval: str) -> str:
    """When a run was due: the end of its interval, without this year's number, so that ids have room."""
    return interval.rpartition(" to ")[2].removeprefix(f"{datetime.now(UTC).year}-")


@app.command()
def score(
    model: ModelName,
    day: Annotated[
        str | None, typer.Option(help="Every run that is due on this day, in the model's time zone.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Start of the first interval, ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option(help="End of the last interval, ISO 8601.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Default: each interval's end.")] = None,
    as_json: Json = False,
) -> None:
    """Score and publish every interval named, one run each."""
    from rescore import pipeline

    with context() as ctx:
        intervals = intervals_named(ctx.model(model).spec, start, end, day)
        known_by = moment(as_of, "--as-of")
        published = [
            pipeline.score_interval(ctx, model, interval, known_by).to_dict()
            for interval in counted(intervals, model)
        ]
    columns = ["interval", "rows", "package_version", "verdict", "run_id"]
    print_rows(published, as_json=as_json, title=f"{model}: published", columns=columns)


@app.command()
def backfill(
    model: ModelName,
    start: Annotated[str, typer.Option(help="Start of the first interval, ISO 8601.")],
    end: Annotated[str, typer.Option(help="End of the last interval, ISO 8601.")],
    again: Annotated[
        bool, typer.Option("--again", help="Also intervals that have scores: they are superseded.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the intervals.")] = False,
    as_json: Json = False,
) -> None:
    """Score every interval of a window that has no scores, as its scheduled run would have.

    One that fails does not keep the next from it; exits 1 if any did.
    """
    from rescore import pipeline

    rows: list[dict[str, Any]] = []
    with context() as ctx:
        intervals = intervals_named(ctx.model(model).spec, start, end, None)
        if not again:
            intervals = pipeline.without_scores(ctx, model, intervals)
        if dry_run:
            rows = [{"interval": str(interval)} for interval in intervals]
        else:
            rows = list(_backfilled(ctx, model, intervals))
    columns = ["interval"] if dry_run else ["interval", "state", "rows", "verdict", "package", "run_id"]
    if as_json:
        print_json(rows)
    elif not rows:
        print_line(f"{model}: every interval of the window has scores")
    else:
        print_rows(
            rows, as_json=False, title=f"{model}: {'to score' if dry_run else 'scored'}", columns=columns
        )
        for row in rows:
            if row.get("problem"):
                print_line(f"{row['interval']}: {row['problem']}")
    if any(row.get("problem") for row in rows):
        sys.exit(1)


def _backfilled(ctx: Context, model: str, intervals: list[Interval]) -> Iterator[dict[str, Any]]:
    """What became of each interval, as a row; says how far it is and how long the rest may take."""
    from rescore import pipeline

    for _, done in zip(counted(intervals, model), pipeline.backfill(ctx, model, intervals), strict=True):
        row: dict[str, Any] = {"interval": str(done.interval)}
        if done.published is not None:
            one = done.published
            yield row | {
                "state": "published",
                "rows": one.rows,
                "verdict": one.verdict,
                "package": one.package_version,
                "run_id": one.run_id,
            }
        else:
            state = "held" if isinstance(done.error, HeldError) else "failed"
            yield row | {"state": state, "problem": str(done.error)}
