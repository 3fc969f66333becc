"""The command that derives past scores again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rescore.cli.selection import day_named, intervals_named, keys_named
from rescore.cli.terminal import Json, context, print_json, print_line, print_rows, print_table, say
from rescore.errors import ParameterError
from rescore.progress import counted

if TYPE_CHECKING:
    from rescore.pipeline import Context, Reproduction, ScoreReproduction

app = typer.Typer()


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

    _refuse_together({"--run": run, "--package": package, "--key": key})
    _refuse_together({"--run": run, "--package": package, "--day": day})
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
            done = [
                pipeline.reproduce_run(ctx, run_id)
                for run_id in counted(_run_ids(ctx, model, run, day), "reproduce", say)
            ]
    columns = ["model", "interval", "rows", "verdict"]
    if any(run.reason for run in done):
        columns.append("run_id")
    rows = [run.row() for run in done]
    if as_json and package is not None:
        made = None if trained is None else {"verdict": trained.verdict, "reason": trained.reason}
        print_json({"runs": rows, "package": {"holds": not problem, "problem": problem}, "trained": made})
    else:
        print_rows(rows, as_json=as_json, title="reproduced", columns=columns)
    if not as_json:
        _print_reasons(done)
        _print_differences(done)
        if package is not None:
            print_line(f"package {package}: {problem or 'file, golden rows and recorded metrics hold'}")
        if trained is not None:
            file = "the same file" if trained.proved else f"{trained.verdict}: {trained.reason}"
            print_line(f"trained again from its snapshot and sources: {file}")
        print_line(f"reproduced bit for bit: {_identical(done)} of {len(done)}")
    if problem or not all(derived.proved for derived in (*done, *([trained] if trained else ()))):
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
    columns = ["key", "score", "label", "verdict", "package_version", "interval", "run_id"]
    print_rows([score.row() for score in done], as_json=as_json, title="reproduced", columns=columns)
    if not as_json:
        _print_reasons(done)
        print_line(f"reproduced bit for bit, each from its row alone: {_identical(done)} of {len(done)}")
    if any(score.verdict not in {"identical", "equal_within_ulp"} for score in done):
        sys.exit(1)


def _refuse_together(options: dict[str, str | list[str] | None]) -> None:
    """Each of them says which runs are meant: of two, one would be left unheard."""
    given = [option for option, value in options.items() if value]
    if len(given) > 1:
        raise ParameterError(
            f"{' and '.join(given)} are given at once",
            expected=f"one of {', '.join(options)}",
            fix="leave the others out",
        )


def _named(model: str | None, option: str) -> str:
    if model is None:
        raise ParameterError(f"{option} needs --model", expected="--model NAME", fix="name the model")
    return model


def _identical(done: Sequence[Reproduction | ScoreReproduction]) -> int:
    return sum(derived.verdict == "identical" for derived in done)


def _print_reasons(done: Sequence[Reproduction | ScoreReproduction]) -> None:
    """Say why, below the table, whose last columns a narrow terminal has no room for."""
    for derived in done:
        if derived.reason:
            print_line(f"{derived.run_id}: {derived.reason}")


def _print_differences(done: Sequence[Reproduction]) -> None:
    """Show the first rows that differ, both values to the last digit, and how far apart they are."""
    rows = [
        {
            "key": ", ".join(f"{name}={value}" for name, value in difference.key.items()),
            "published": repr(difference.published),
            "derived again": repr(difference.rederived),
            "ulps": difference.ulps,
        }
        for run in done
        for difference in run.differences
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
