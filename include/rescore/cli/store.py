"""Commands on Rescore's own tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rescore.cli.terminal import Who, context, say, stdout
from rescore.errors import ConfigError, SourceError, SpecError, UnknownModelError
from rescore.shown_text import shown

if TYPE_CHECKING:
    from rescore.pipeline import Context

app = typer.Typer(help="Create, migrate and inspect Rescore's own tables.", no_args_is_help=True)


SourceSchemas = Annotated[
    list[str] | None,
    typer.Option("--source-schema", help="A schema that rescore_extract may read; repeat it for more."),
]


@app.command("migrate")
def store_migrate() -> None:
    """Create or upgrade Rescore's tables and views, and renew the rights of roles that had them."""
    from rescore.settings import Settings

    with context() as ctx:
        version = ctx.store.schema.migrate()
        if Settings.from_environment().database_url is None:  # the local server's roles are ours to make
            ctx.store.roles.create()
        if ctx.store.roles.renew() or ctx.settings.owner_url is None:
            for name in ctx.models():
                _declare_timetable(ctx, name)
        else:
            say("no role has rights here yet: `rescore store roles` gives them")
    stdout.print(f"store: schema {ctx.settings.store_schema} is at version {version}")


def _declare_timetable(ctx: Context, name: str) -> None:
    """Tell the store when the model's scores are due; a folder that is wrong is left to ``rescore check``."""
    from rescore.pipeline import declare_timetable

    try:
        declare_timetable(ctx, ctx.model(name))
    except (SpecError, UnknownModelError) as error:
        say(f"{name}: when its scores are due is not known: {error.what}")


@app.command("ddl")
def store_ddl(source_schema: SourceSchemas = None) -> None:
    """Print the SQL of `migrate` and `roles` for a new database, for a database administrator."""
    with context() as ctx:
        sys.stdout.write(ctx.store.schema.ddl())
        # One transaction: where the tables were refused there is nothing to grant, so no role stays either.
        sys.stdout.write("BEGIN;\n")
        for statement in ctx.store.roles.statements(source_schemas=source_schema or ()):
            sys.stdout.write(f"{statement};\n")
        sys.stdout.write("COMMIT;\n")


@app.command("url")
def store_url(
    owner: Annotated[
        bool, typer.Option("--owner", help="As the owner, who may make tables of a source there.")
    ] = False,
) -> None:
    """Print the URL of the store's database, with its password, for psql and other clients."""
    with context() as ctx:
        url = (owner and ctx.settings.owner_url) or ctx.store.database.url
        sys.stdout.write(f"{url}\n")


@app.command("register")
def store_register(
    models: Annotated[list[str] | None, typer.Argument(help="Default: all model folders.")] = None,
) -> None:
    """Make the tables and views of models, as the owner of the store; a model needs it once."""
    from rescore import pipeline

    with context() as ctx:
        broken = {} if models else dict(ctx.folders().broken)
        for model in models or ctx.folders().read:
            try:
                pipeline.register_model(ctx, model)
            except (ConfigError, SourceError) as error:  # of this model: the others are registered
                if len(models or ()) == 1:
                    raise
                broken[model] = error
            else:
                stdout.print(f"{model}: registered")
    for name, why in broken.items():
        say(f"{shown(name)} is not registered: {why}")
    if broken:
        raise typer.Exit(1)


@app.command("retire")
def store_retire(
    model: Annotated[str, typer.Argument(help="A model that the store knows; its folder may be gone.")],
    reason: Annotated[str, typer.Option(help="Why; stored for ever, and shown to consumers.")],
    who: Who = "",
) -> None:
    """Let a model score no more: nothing of it is due, no run begins. `store register` takes it back."""
    with context() as ctx:
        ctx.store.retirements.retire(model, who=who, why=reason)
    stdout.print(f"{model}: retired; what was published stays")


@app.command("roles")
def store_roles(source_schema: SourceSchemas = None) -> None:
    """Create the recommended roles: extract, run, consumer, release."""
    with context() as ctx:
        ctx.store.roles.create(source_schemas=source_schema or ())
    stdout.print("roles: rescore_extract, rescore_run, rescore_consumer, rescore_release")
