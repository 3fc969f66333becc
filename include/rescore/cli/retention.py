"""Commands that delete what is past its time, and that keep what must not be."""

from __future__ import annotations

from typing import Annotated

import typer

from rescore.cli.selection import moment
from rescore.cli.terminal import Json, ModelName, Who, context, print_line, print_rows

app = typer.Typer(
    help="Delete what models' retention declares; place and lift legal holds.", no_args_is_help=True
)


@app.command("run")
def retention_run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing; say what would be.")] = False,
    who: Who = "",
    as_json: Json = False,
) -> None:
    """Delete what is past its time and not needed; each deletion is a row and enters the chain."""
    from rescore import pipeline

    with context() as ctx:
        swept = pipeline.sweep(ctx, who=who, dry_run=dry_run)
    print_rows(
        [one.to_dict() for one in swept],
        as_json=as_json,
        title="would be deleted" if dry_run else "deleted",
        columns=["model", "what", "interval", "rows", "bytes", "rule"],
    )


@app.command("log")
def retention_log(
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None, as_json: Json = False
) -> None:
    """List what was deleted, when, by which rule."""
    with context() as ctx:
        rows = [dict(vars(one)) for one in ctx.store.deletions.all(model)]
    columns = ["at", "model", "what", "rows", "bytes", "rule", "done_by"]
    print_rows(rows, as_json=as_json, title="deleted", columns=columns)


@app.command("hold")
def retention_hold(
    model: ModelName,
    reason: Annotated[str, typer.Option(help="Why; stored for ever.")],
    start: Annotated[str | None, typer.Option(help="From this moment on; with --end. ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option(help="Up to this moment. Default: every interval.")] = None,
    who: Who = "",
) -> None:
    """Keep all of a model, or of a range of its intervals, until `rescore retention lift`."""
    from rescore.interval import Interval

    first, last = moment(start, "--start"), moment(end, "--end")
    if (first is None) != (last is None):
        raise typer.BadParameter("give --start and --end, or neither")
    with context() as ctx:
        ctx.model(model)
        hold = ctx.store.holds.place(
            who=who,
            reason=reason,
            model=model,
            interval=Interval(first, last) if first is not None and last is not None else None,
        )
    print_line(f"legal hold {hold} keeps {model}{'' if first is None else f' {start} to {end}'}")


@app.command("lift")
def retention_lift(
    hold: Annotated[int, typer.Argument(help="The hold's id, as `rescore retention holds` lists it.")],
    reason: Annotated[str, typer.Option(help="Why; stored for ever.")],
    who: Who = "",
) -> None:
    """Let retention act again on what a legal hold covers."""
    with context() as ctx:
        ctx.store.holds.lift(hold, who=who, reason=reason)
    print_line(f"legal hold {hold} is lifted")


@app.command("holds")
def retention_holds(as_json: Json = False) -> None:
    """List the legal holds, lifted ones, too."""
    with context() as ctx:
        rows = [
            {**vars(one), "interval": one.interval and str(one.interval)} for one in ctx.store.holds.all()
        ]
    columns = ["hold_id", "model", "interval", "placed_by", "reason", "placed_at", "lifted_by", "lifted_at"]
    print_rows(rows, as_json=as_json, title="legal holds", columns=columns)
