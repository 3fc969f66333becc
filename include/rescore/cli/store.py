"""Commands on Rescore's own tables."""

from __future__ import annotations

import sys

import typer

from rescore.cli.terminal import context, stdout

app = typer.Typer(help="Create, migrate and inspect Rescore's own tables.", no_args_is_help=True)


@app.command("migrate")
def store_migrate() -> None:
    """Create or upgrade Rescore's tables and views."""
    with context() as ctx:
        version = ctx.store.schema.migrate()
    stdout.print(f"store: schema {ctx.settings.store_schema} is at version {version}")


@app.command("ddl")
def store_ddl() -> None:
    """Print the SQL that ``migrate`` would run, for a database administrator."""
    with context() as ctx:
        sys.stdout.write(ctx.store.schema.ddl())


@app.command("roles")
def store_roles() -> None:
    """Create the recommended roles: extract, run, consumer, release."""
    with context() as ctx:
        ctx.store.roles.create()
    stdout.print("roles: rescore_extract, rescore_run, rescore_consumer, rescore_release")
