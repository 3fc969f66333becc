"""Commands on model folders: draft a new one, check one."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape

from rescore.cli.selection import intervals_named
from rescore.cli.terminal import Json, ModelName, context, print_json, print_line, stdout

app = typer.Typer()


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The new model's name; its folder gets it.")],
    table: Annotated[str, typer.Option(help="The table or view to draft it from: schema.table.")],
    connection: Annotated[str, typer.Option(help="The source connection's id.")] = "source",
    key: Annotated[list[str] | None, typer.Option(help="A key column; several times for several.")] = None,
    event_time: Annotated[str | None, typer.Option(help="The column that says when a row is about.")] = None,
    target: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
    labels_from: Annotated[
        str | None, typer.Option(help="Another table that has the target, by the same key: schema.table.")
    ] = None,
    estimator: Annotated[
        str,
        typer.Option(
            help="What it learns with: boosted, forest, logistic, ridge, lightgbm, xgboost, catboost."
        ),
    ] = "boosted",
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A column to keep though it may be known too late; several times for several."),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help='When scores are due, as cron in UTC: "0 6 1 * *".')
    ] = None,
) -> None:
    """Look at a table and write the folder of a new model, with DECIDE where a person must."""
    from rescore import authoring

    with context() as ctx:
        folder, draft = authoring.new_model(
            ctx,
            name,
            table,
            connection=connection,
            key=key or (),
            event_time=event_time,
            target=target,
            labels_from=labels_from,
            estimator=estimator,
            keep=keep or (),
            schedule=schedule,
        )
    print_line(f"{name}: written to {folder.path}")
    if draft.still_to_come:
        print_line(f"still to come: {draft.still_to_come}")
    print_line("to decide (each is marked DECIDE):")
    for decision in draft.decide:
        print_line(f"  - {decision}")
    print_line(f"then: `rescore check {name}`")


@app.command()
def check(
    model: ModelName,
    day: Annotated[
        str | None,
        typer.Option(help="Check the last run that is due on this day; default: the last with rows."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Lint a model folder, run it on a small interval, its tests, and the test for leakage."""
    from rescore import authoring

    with context() as ctx:
        interval = None if day is None else intervals_named(ctx.model(model).spec, None, None, day)[-1]
        results = authoring.check_model(ctx, model, interval)
    if as_json:
        print_json([result.to_dict() for result in results])
    for result in () if as_json else results:
        style = {"ok": "green", "failed": "red"}.get(result.status, "yellow")
        line = f"[{style}]{result.status:<8}[/{style}]{result.name}: {escape(result.what)}"
        stdout.print(line, soft_wrap=True)
        if result.fix:
            print_line(f"        fix: {result.fix}")
    if any(result.status == "failed" for result in results):
        sys.exit(1)
