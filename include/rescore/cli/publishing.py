"""The command that publishes what is held or was stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from rescore.cli.terminal import Json, Who, context, print_rows

app = typer.Typer()


@app.command()
def publish(
    run: Annotated[str, typer.Argument(help="The run's id, as `rescore runs MODEL` lists it.")],
    reason: Annotated[str, typer.Option(help="Why; shown beside the scores for ever.")],
    who: Who = "",
    as_json: Json = False,
) -> None:
    """Publish a run that is held, or was stopped as an outage; broken integrity can't be overridden."""
    from rescore import pipeline

    with context() as ctx:
        released = pipeline.release_run(ctx, run, who, reason)
    shown = ["interval", "rows", "verdict", "released_by", "reason"]
    print_rows([released.to_dict()], as_json=as_json, title=f"{released.model}: published", columns=shown)
