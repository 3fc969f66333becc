"""The command ``rescore``: a thin shell over :mod:`rescore.pipeline`, for people and for scripts.

Nothing is decided here. Heavy libraries load inside the command that needs them, so that
``rescore --help`` answers at once. Each module holds the commands of one subject.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from rescore.cli import (
    audit,
    authoring,
    drift,
    environments,
    erasure,
    overview,
    packages,
    performance,
    publishing,
    reproduce,
    retention,
    scoring,
    stack,
    store,
    training,
)
from rescore.cli.help_panels import ENDING, arranged
from rescore.cli.terminal import stderr, stdout
from rescore.disk import disk_errors
from rescore.errors import RescoreError

__all__ = ["app", "main"]

app = typer.Typer(
    name="rescore",
    help="Batch scoring in which every score stands up to being scored again.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=ENDING,
)
_UNGROUPED = (
    *(stack, authoring, training, scoring, overview),
    *(drift, performance, publishing, reproduce, erasure),
)
app.registered_commands = arranged(one for module in _UNGROUPED for one in module.app.registered_commands)
_GROUPS = {
    "packages": packages.app,
    "env": environments.app,
    "store": store.app,
    "audit": audit.app,
    "subject": erasure.subject,
    "retention": retention.app,
}
for _name, _group in _GROUPS.items():
    _group.registered_commands = arranged(_group.registered_commands, _name)
    app.add_typer(_group, name=_name, rich_help_panel="Keep")


def _print_version(wanted: bool) -> None:
    if wanted:
        stdout.print(f"rescore {importlib.metadata.version('rescore')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; an error of ours is printed whole, without a traceback, and exits 1."""
    # What is logged for Airflow's sake stands in the progress that people see here: not twice.
    logging.getLogger("rescore").addHandler(logging.NullHandler())
    try:
        with disk_errors([Path(os.environ.get("RESCORE_HOME") or "var")]):
            app(args=list(argv) if argv is not None else None)
    except RescoreError as error:
        stderr.print(f"error: {escape(str(error))}", style="red", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        stderr.print("interrupted")
        sys.exit(130)
