"""Commands that score: an interval, a backfill."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rescore.cli.selection import intervals_named, moment
from rescore.cli.terminal import Json, ModelName, context, print_json, print_line, print_rows, say
from rescore.errors import HeldError
from rescore.progress import counted

if TYPE_CHECKING:
    from rescore.interval import Interval
    from rescore.pipeline import Context

app = typer.Typer()


@app.command()
def score(
    model: ModelName,
    day: Annotated[
        str | None, typer.Option(help="Every run that is due on this day, in the model's time zone.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Start of the first interval, ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option(help="End of the last interval, ISO 8601.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Default: each interval's end.")] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="How many score shards beside each other (scoring.shard_rows).")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Score and publish every interval named, one run each.

    One that fails or is held ends it: what was published before is printed all the same.
    """
    from rescore.model import prepare_children

    prepare_children()  # before what is imported here
    from rescore import pipeline

    with context() as ctx:
        intervals = intervals_named(ctx.model(model).spec, start, end, day)
        known_by = moment(as_of, "--as-of")
        published: list[dict[str, Any]] = []
        try:
            for interval in counted(intervals, model, say):
                done = pipeline.score_interval(ctx, model, interval, known_by, processes=processes)
                published.append(done.to_dict())
        finally:
            if published:
                columns = ["interval", "rows", "package_version", "verdict", "run_id"]
                print_rows(published, as_json=as_json, title=f"{model}: published", columns=columns)
            for interval in intervals[len(published) + 1 :]:
                say(f"{model}: {interval} was not begun")


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
        _print_problems([row for row in rows if row.get("problem")])
    if any(row.get("problem") for row in rows):
        sys.exit(1)


def _print_problems(rows: list[dict[str, Any]]) -> None:
    """What kept intervals from being scored, each problem once."""
    alike: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        alike.setdefault(row["problem"].replace(row["interval"], ""), []).append(row)
    for first, *more in alike.values():
        print_line(f"{first['interval']}: {first['problem']}")
        if more:
            print_line(f"the same of {len(more):,} more, the last {more[-1]['interval']}")


def _backfilled(ctx: Context, model: str, intervals: list[Interval]) -> Iterator[dict[str, Any]]:
    """What became of each interval, as a row; says how far it is and how long the rest may take."""
    from rescore import pipeline

    told = counted(intervals, model, say)
    for _, done in zip(told, pipeline.backfill(ctx, model, intervals), strict=True):
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
