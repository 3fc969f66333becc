"""Commands on the environments that packages run in."""

from __future__ import annotations

from typing import Annotated

import typer

from rescore.cli.terminal import Json, context, print_rows

app = typer.Typer(help="Build environments of packages that need other versions.", no_args_is_help=True)


@app.callback()
def environments() -> None:
    """Build environments of packages that need other versions than are installed here."""


@app.command("build")
def environments_build(
    package: Annotated[
        str | None, typer.Argument(help="A model (its pinned package) or a wheel; default: every model.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="Another version than the pinned one.")] = None,
    as_json: Json = False,
) -> None:
    """Build what packages need, with hashes required; scoring then needs no package index."""
    from rescore import pipeline

    with context() as ctx:
        rows = pipeline.build_environments(ctx, package, version)
    columns = ["package", "version", "runs_in"]
    print_rows(rows, as_json=as_json, title="environments", columns=columns)
