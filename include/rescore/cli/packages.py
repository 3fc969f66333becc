"""Commands on model packages."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from rescore.cli.terminal import Json, ModelName, context, print_rows

app = typer.Typer(help="List and show model packages.", no_args_is_help=True)


@app.command("list")
def packages_list(model: ModelName, as_json: Json = False) -> None:
    """List a model's packages, newest first, with what is pinned."""
    from rescore import pipeline

    with context() as ctx:
        rows = pipeline.package_rows(ctx, model)
    print_rows(rows, as_json=as_json, title=f"packages of {model}", columns=[*rows[0]][:-1] if rows else None)


@app.command("show")
def packages_show(
    model: ModelName,
    version: Annotated[str, typer.Argument(help="The package's version or sha256.")],
) -> None:
    """Print a package's manifest: what made it, from what, with what result."""
    with context() as ctx:
        package = ctx.store.find_package(model, version)
    sys.stdout.write(json.dumps(package.manifest, indent=2, sort_keys=True) + "\n")
