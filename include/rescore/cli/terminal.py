"""What every command needs: the context, printing for people and for scripts, options."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from rescore.who import system_user

if TYPE_CHECKING:
    from rescore.pipeline import Context

__all__ = [
    "Json",
    "ModelName",
    "Save",
    "Who",
    "context",
    "print_json",
    "print_line",
    "print_rows",
    "print_table",
    "say",
    "stderr",
    "stdout",
]

# Wide enough for the tables where nobody says how wide it is: a file, a pipe, CI.
stdout = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
stderr = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def completed_names(incomplete: str) -> list[str]:
    """Model folders for completion; whatever is wrong there is no reason to fail while somebody types."""
    from rescore.folder import find_models
    from rescore.settings import Settings

    try:
        return [
            name for name in find_models(Settings.from_environment().models) if name.startswith(incomplete)
        ]
    except Exception:
        return []


ModelName = Annotated[
    str, typer.Argument(help="The model: the name of its folder.", autocompletion=completed_names)
]
Save = Annotated[Path | None, typer.Option(help="Draw it into this file, PNG or SVG.")]


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


def print_json(value: Any) -> None:
    """Print a value for a script; NaN and the infinities, which JSON lacks, as these words."""
    finite = json.loads(json.dumps(value, default=str), parse_constant=str)
    sys.stdout.write(json.dumps(finite, indent=2, allow_nan=False) + "\n")


def print_line(line: str) -> None:
    """Print a line for people as it is: no markup, no break."""
    stdout.print(line, soft_wrap=True, markup=False)


def print_rows(
    rows: list[dict[str, Any]], *, as_json: bool, title: str, columns: Sequence[str] | None = None
) -> None:
    """Print rows: as JSON for a script; for people as a table of ``columns``, or one fact a line."""
    if as_json:
        print_json(rows)
    elif not rows:
        stdout.print(f"{title}: nothing yet")
    elif columns is not None:
        print_table(rows, title, columns)
    else:
        for row in rows:
            width = max(map(len, row))
            for name, value in row.items():
                if value is not None:
                    print_line(f"{name:<{width}}  {_text(value)}")
            stdout.print()


def print_table(rows: Sequence[dict[str, Any]], title: str, columns: Sequence[str] | None = None) -> None:
    """Print rows as a table, by default of all columns that the first row has.

    Columns that a narrow terminal has no room for are left out, the last ones first, and named below.
    """
    columns = [*rows[0]] if columns is None else [*columns]
    kept = columns
    table = _table(rows, title, kept)
    while len(kept) > 1 and _width(table) > stdout.width:
        kept = kept[:-1]
        table = _table(rows, title, kept)
    stdout.print(table)
    if left_out := columns[len(kept) :]:
        names = ", ".join(name.replace("_", " ") for name in left_out if name)
        stdout.print(
            f"for lack of room without {names}: widen the terminal, or use --json",
            style="dim",
            soft_wrap=True,
        )


def _width(table: Table) -> int:
    """How many characters a table takes if nothing of it is cut."""
    return Measurement.get(stdout, stdout.options.update(max_width=10_000), table).maximum


def _table(rows: Sequence[dict[str, Any]], title: str, columns: Sequence[str]) -> Table:
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for column in columns:
        numeric = all(isinstance(row.get(column), int | float | None) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(_text(row.get(column))) for column in columns))
    return table


def _text(value: Any) -> str:
    from rescore.report import plain

    return "" if value is None else plain(value)


def _named_or_user(named: str) -> str:
    return named or system_user()


#: Empty as default: the user of the system.
Who = Annotated[
    str,
    typer.Option(callback=_named_or_user, help="Who does this; stored for ever. Default: the system's user."),
]
