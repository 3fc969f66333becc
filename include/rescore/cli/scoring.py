"""Commands on scores: score, reproduce, and how every model stands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rescore.cli.terminal import Json, ModelName, context, intervals_named, moment, print_rows, stdout
from rescore.errors import ParameterError

if TYPE_CHECKING:
    from rescore.pipeline import Context

app = typer.Typer()


@app.command()
def status(as_json: Json = False) -> None:
    """Show, per model: freshness, coverage, validation, drift verdict, pinned package."""
    with context() as ctx:
        print_rows(ctx.store.status(), as_json=as_json, title="models")


@app.command()
def score(
    model: ModelName,
    day: Annotated[str | None, typer.Option(help="The day on which the run is due, local time.")] = None,
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
        published = [pipeline.score_interval(ctx, model, interval, known_by) for interval in intervals]
    shown = ["interval", "rows", "package_version", "verdict", "run_id"]
    print_rows(published, as_json=as_json, title=f"{model}: published", columns=shown)


@app.command()
def reproduce(
    model: Annotated[str | None, typer.Option(help="Every published run of this model.")] = None,
    run: Annotated[str | None, typer.Option(help="One run, by its id.")] = None,
    day: Annotated[str | None, typer.Option(help="With --model: runs due on that day.")] = None,
    as_json: Json = False,
) -> None:
    """Score past runs again from their frozen input and package, and compare to the last bit."""
    from rescore import pipeline

    with context() as ctx:
        done = [pipeline.reproduce_run(ctx, run_id) for run_id in _run_ids(ctx, model, run, day)]
    shown = ["model", "interval", "rows", "verdict"]
    if any(one.reason for one in done):
        shown += ["run_id", "reason"]
    print_rows([one.row() for one in done], as_json=as_json, title="reproduced", columns=shown)
    identical = sum(one.verdict == "identical" for one in done)
    if not as_json:
        stdout.print(f"reproduced bit for bit: {identical} of {len(done)}")
    if identical != len(done):
        sys.exit(1)


def _run_ids(ctx: Context, model: str | None, run: str | None, day: str | None) -> list[str]:
    """The runs that the options of ``reproduce`` name."""
    if run is not None:
        return [run]
    if model is None:
        raise ParameterError("nothing is named", expected="--run or --model", fix="name one of them")
    spec = ctx.model(model).spec
    intervals = None if day is None else intervals_named(spec, None, None, day)
    runs = ctx.store.published_runs(model)
    return [one.run_id for one in runs if intervals is None or one.interval in intervals]
