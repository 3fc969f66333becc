"""Commands that make packages and choose the one that scores."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from rescore.cli.terminal import Json, ModelName, Who, context, moment, print_rows, stdout

app = typer.Typer()


@app.command()
def train(
    model: ModelName,
    as_of: Annotated[str | None, typer.Option(help="Labels known by then are used; ISO 8601.")] = None,
    start: Annotated[str | None, typer.Option(help="Start of the first interval.")] = None,
    end: Annotated[str | None, typer.Option(help="End of the last interval.")] = None,
    as_json: Json = False,
) -> None:
    """Snapshot the training window, fit twice, compare the bytes, and keep the package."""
    from rescore import pipeline

    with context() as ctx:
        trained = pipeline.train_model(
            ctx,
            model,
            as_of=moment(as_of, "--as-of"),
            start=moment(start, "--start"),
            end=moment(end, "--end"),
        )
    print_rows([trained], as_json=as_json, title="package")


@app.command()
def pin(
    model: ModelName,
    to: Annotated[str, typer.Option(help="The package's version or sha256.")],
    reason: Annotated[str, typer.Option(help="Why; stored for ever.")],
    who: Who = "",
) -> None:
    """Make a package the one that scores; rolling back is a new pin."""
    from rescore import pipeline

    with context() as ctx:
        pipeline.pin(ctx, model, to, who=who or getpass.getuser(), why=reason)
    stdout.print(f"{model}: {to} is pinned")
