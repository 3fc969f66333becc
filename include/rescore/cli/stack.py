"""Commands that start and stop things: the demo, the local Postgres and Airflow."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from rescore.cli.terminal import context, say, stdout
from rescore.errors import RescoreError

if TYPE_CHECKING:
    from rescore.pipeline import Context

app = typer.Typer()


class Story(StrEnum):
    """Which demo."""

    FLIGHTS = "flight_delay"
    HOUSES = "house_price"


@app.command()
def demo(
    story: Annotated[
        Story, typer.Argument(help="flight_delay, through Airflow; house_price, monthly, without it.")
    ] = Story.FLIGHTS,
) -> None:
    """Run the whole job on real data: load, train, pin, score, reproduce."""
    from rescore.demo import run_demo, run_house_price

    if story is Story.FLIGHTS:
        sys.exit(run_demo(stdout, say))
    with context() as ctx:
        code = run_house_price(ctx, stdout, say)
    sys.exit(code)


@app.command()
def up(
    detach: Annotated[bool, typer.Option(help="Return once all is healthy; else run until Ctrl-C.")] = True,
) -> None:
    """Start the local Postgres and Airflow, and keep them running."""
    from rescore.local import LocalStack
    from rescore.settings import Settings

    stack = LocalStack(Settings.from_environment(), progress=say)
    started = stack.up(detach=detach)
    with context() as ctx:
        ctx.store.schema.migrate()
        if stack.settings.database_url is None:
            ctx.store.roles.create()
            _register(ctx)
    user, password = stack.airflow().login()
    stdout.print(f"Airflow: {started.airflow}  (user {user}, password {password})", soft_wrap=True)
    stdout.print(f"store:   {ctx.store.database.where}", soft_wrap=True)
    if detach:
        stdout.print("stop with: make down")
        return
    stdout.print("stop with Ctrl-C")
    try:
        stack.wait()
    finally:
        stack.release()


def _register(ctx: Context) -> None:
    """Make the tables of all models whose source can be read by now."""
    from rescore import pipeline

    for model in ctx.models():
        try:
            pipeline.register_model(ctx, model)
        except RescoreError as error:
            say(f"{model} is left out for now: {error.what}")
            say(f"   later: `rescore store register {model}`")


@app.command()
def down() -> None:
    """Stop what `up` started; data stays under var/."""
    from rescore.local import LocalStack
    from rescore.settings import Settings

    stopped = LocalStack(Settings.from_environment(), progress=say).down()
    stdout.print("stopped; data stays under var/" if stopped else "nothing was running")
