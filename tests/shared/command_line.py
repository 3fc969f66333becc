"""The command line's own parser, for commands that are written somewhere."""

from __future__ import annotations

from typing import Any

import typer

from rescore.cli import app

__all__ = ["PLACEHOLDERS", "ROOT", "accepted"]

ROOT: Any = typer.main.get_command(app)

#: What stands for a value that is known only then.
PLACEHOLDERS = {
    "DAY": "2024-01-05",
    "ID": "1",
    "RUN": "00000000-0000-0000-0000-000000000000",
    "VERSION": "1.0.0",
    "…": "2024-01-05T00:00Z",
}


def accepted(arguments: list[str]) -> None:
    """Parse arguments as the command line does, without running anything.

    Raises
    ------
    TyperException
        It would refuse them.
    """
    command = ROOT
    while hasattr(command, "commands"):
        if not arguments:
            return
        command, arguments = command.commands[arguments[0]], arguments[1:]
    command.make_context(command.name, list(arguments))
