"""Commands on scores: score, reproduce, and how every model stands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rescore.cli.selection import day_named, intervals_named, keys_named, moment
from rescore.cli.terminal import Json, ModelName, context, print_line, print_rows, print_table, stdout
from rescore.errors import ParameterError

if TYPE_CHECKING:
    from rescore.pipeline import Context, Reproduction, ScoreReproduction

app = typer.Typer()


@app.command()
def status(as_json: Json = False) -> None:
    """Show, per model: freshness, coverage, validation, drift verdict, pinned package, lost history."""
    from rescore import pipeline

    with context() as ctx:
        known = set(ctx.models())
        rows = pipeline.status_rows(ctx)
        for row in rows:  # a model may outlive its folder
            row["history"] = pipeline.history(ctx, row["model"]) if row["model"] in known else None
    print_rows(rows, as_json=as_json, title="models")


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
    columns = ["interval", "state", "verdict", "extracted", "scored", "package", "started", "run_id"]
    rows = [asdict(line) for line in lines]
    print_rows(rows, as_json=as_json, title=f"runs of {model} ({timezone})", columns=columns)
    if not as_json:
        for line in lines:
            if line.problem:
                print_line(f"{line.run_id}: {line.problem}")


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
            pipeline.score_interval(ctx, model, interval, known_by).to_dict() for interval in intervals
        ]
    shown = ["interval", "rows", "package_version", "verdict", "run_id"]
    print_rows(published, as_json=as_json, title=f"{model}: published", columns=shown)


@app.command()
def reproduce(
    model: Annotated[str | None, typer.Option(help="Every published run of this model.")] = None,
    run: Annotated[str | None, typer.Option(help="One run, by its id.")] = None,
    day: Annotated[
        str | None, typer.Option(help="With --model: its runs due on this day, in its time zone.")
    ] = None,
    package: Annotated[str | None, typer.Option(help="With --model: a package and its runs.")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="With --model: one score, as column=value; repeat it for each column."),
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="With --package: train it again, too.")] = False,
    as_json: Json = False,
) -> None:
    """Derive past scores again from their frozen input and package, and compare to the last bit."""
    from rescore import pipeline

    if train and package is None:
        raise ParameterError("--train needs --package", expected="the package to train again", fix="name it")
    if key:
        _reproduce_scores(_named(model, "--key"), key, day, as_json=as_json)
        return
    with context() as ctx:
        problem, trained = "", None
        if package is not None:
            whole = pipeline.reproduce_package(ctx, _named(model, "--package"), package)
            done, problem = whole.runs, whole.problem
            trained = pipeline.retrain_package(ctx, whole.model, whole.sha256) if train else None
        else:
            done = [pipeline.reproduce_run(ctx, run_id) for run_id in _run_ids(ctx, model, run, day)]
    shown = ["model", "interval", "rows", "verdict"]
    if any(one.reason for one in done):
        shown += ["run_id", "reason"]
    print_rows([one.row() for one in done], as_json=as_json, title="reproduced", columns=shown)
    if not as_json:
        _explain(done)
        if package is not None:
            holds = "file, golden rows and recorded metrics hold"
            stdout.print(f"package {package}: {holds if not problem else escape(problem)}", soft_wrap=True)
        if trained is not None:
            file = "the same file" if trained.proved else f"{trained.verdict}: {escape(trained.reason)}"
            stdout.print(f"trained again from its snapshot and sources: {file}", soft_wrap=True)
        stdout.print(f"reproduced bit for bit: {_identical(done)} of {len(done)}")
    if problem or (trained is not None and not trained.proved) or not all(one.proved for one in done):
        sys.exit(1)


def _reproduce_scores(model: str, keys: list[str], day: str | None, *, as_json: bool) -> None:
    """Derive single scores again, each from its row alone."""
    from rescore import pipeline

    with context() as ctx:
        spec = ctx.model(model).spec
        intervals = None if day is None else intervals_named(spec, None, None, day)
        done = [
            score
            for key in keys_named(spec, keys)
            for score in pipeline.reproduce_score(ctx, model, key, intervals=intervals)
        ]
    print_rows([score.row() for score in done], as_json=as_json, title="reproduced")
    if not as_json:
        stdout.print(f"reproduced bit for bit, each from its row alone: {_identical(done)} of {len(done)}")
    if any(score.verdict not in {"identical", "equal_within_ulp"} for score in done):
        sys.exit(1)


def _named(model: str | None, option: str) -> str:
    if model is None:
        raise ParameterError(f"{option} needs --model", expected="--model NAME", fix="name the model")
    return model


def _identical(done: Sequence[Reproduction | ScoreReproduction]) -> int:
    return sum(one.verdict == "identical" for one in done)


def _explain(done: Sequence[Reproduction]) -> None:
    """Show the first rows that differ, both values to the last digit, and how far apart they are."""
    rows = [
        {
            "key": ", ".join(f"{name}={value}" for name, value in difference.key.items()),
            "published": repr(difference.published),
            "derived again": repr(difference.rederived),
            "ulps": difference.ulps,
        }
        for one in done
        for difference in one.differences
    ]
    if rows:
        print_table(rows, "first rows that differ")


def _run_ids(ctx: Context, model: str | None, run: str | None, day: str | None) -> list[str]:
    """The runs that the options of ``reproduce`` name."""
    from rescore import pipeline

    if run is not None:
        return [run]
    if model is None:
        raise ParameterError("nothing is named", expected="--run or --model", fix="name one of them")
    return pipeline.published_run_ids(ctx, model, day=None if day is None else day_named(day))
