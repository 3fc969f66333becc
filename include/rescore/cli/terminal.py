"""What every command needs: the context, printing for people and for scripts, options."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from rescore.pipeline import Context

__all__ = [
    "Json",
    "ModelName",
    "Who",
    "context",
    "print_rows",
    "say",
    "stderr",
    "stdout",
]

# Wide enough for the tables where nobody says how wide it is: a file, a pipe, CI.
stdout = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
stderr = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
ModelName = Annotated[str, typer.Argument(help="The model: the name of its folder.")]
Who = Annotated[str, typer.Option(help="Who does this; stored for ever. Default: the system's user.")]


def say(line: str) -> None:
    """Show progress, apart from what a script reads."""
    stderr.print(escape(line), style="dim", soft_wrap=True)


@contextmanager
def context() -> Iterator[Context]:
    """The context of the configured database, or of the local Postgres for as long as it is used."""
    from rescore.local import LocalStack
    from rescore.pipeline import Context
    from rescore.settings import Settings

    with LocalStack(Settings.from_environment()).session(airflow=False) as stack:
        settings = Settings.from_environment({**os.environ, **stack.environment()})
        with Context.from_environment(settings, progress=say) as ctx:
            yield ctx


def print_rows(
    rows: list[dict[str, Any]], *, as_json: bool, title: str, columns: Sequence[str] | None = None
) -> None:
    """Print rows: all of them as JSON for a script; for people ``columns``, or one fact a line."""
    if as_json:
        sys.stdout.write(json.dumps(rows, default=str, indent=2) + "\n")
        return
    if not rows:
        stdout.print(f"{title}: nothing yet")
        return
    if columns is None:
        for row in rows:
            width = max(map(len, row))
            for name, value in row.items():
                if value is not None:
                    stdout.print(f"{name:<{width}}  {escape(_text(value))}", soft_wrap=True)
            stdout.print()
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        numeric = all(isinstance(row.get(column), int | float | None) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*("" if row.get(name) is None else escape(_text(row[name])) for name in columns))
    stdout.print(table)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
