"""How ``rescore --help`` groups its commands, the examples it ends with, and what exit codes mean."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape
from typer.models import CommandInfo

from rescore.cli.examples import EXAMPLE_OF

__all__ = ["ENDING", "EXAMPLES", "EXIT_CODES", "PANELS", "arranged"]

#: The panel of groups of commands, and of commands that no other one names.
_REST = "Keep"

#: Panel to the commands in it; groups of commands and what is not named here stand under ``Keep``.
PANELS = {
    "Try": ("demo", "up", "open", "down", "doctor"),
    "Make": ("new", "check", "train", "retrain", "compare", "pin"),
    "Score": ("score", "backfill", "publish", "reproduce"),
    "Look": ("models", "status", "alarms", "runs", "drift", "performance"),
}

#: What follows ``rescore``, and what it is for.
EXAMPLES = (
    ("train loans", "make a package; nothing scores with it yet"),
    ("models --only late", "who is late"),
    ("backfill loans --start 2024-01-01T00:00Z --end 2024-02-01T00:00Z", "score what is missing"),
    ("reproduce --model loans --day 2024-01-05", "prove a day's scores"),
)

#: What the code that a command ends with says.
EXIT_CODES = {
    0: "done",
    1: "an error, or something that does not hold",
    2: "wrong usage",
    3: "status --check or alarms found something",
    130: "interrupted",
}

#: Below the list of commands.
ENDING = "\n\n".join(
    [
        "[bold]Examples[/bold]",
        *(f"  rescore {command}\n\n    [dim]{what}[/dim]" for command, what in EXAMPLES),
        "[bold]Exit codes[/bold]",
        *(f"  {code}  {meaning}" for code, meaning in EXIT_CODES.items()),
        "Progress goes to standard error, results to standard output; --json is for scripts.",
    ]
)


def arranged(commands: Iterable[CommandInfo], group: str = "") -> list[CommandInfo]:
    """Commands in the order of their panels, each with its panel and its example.

    Parameters
    ----------
    commands : iterable of CommandInfo
        Those of one Typer app.
    group : str
        What is typed before their names: ``packages``; empty for those that follow ``rescore`` directly.
    """
    listed = [(panel, name) for panel, names in PANELS.items() for name in names]
    found = []
    for command in commands:
        name = _name(command)
        place = next((place for place, (_, one) in enumerate(listed) if one == name), len(listed))
        if not group:
            command.rich_help_panel = listed[place][0] if place < len(listed) else _REST
        if example := EXAMPLE_OF.get(f"{group} {name}".strip()):
            command.epilog = f"[bold]Example[/bold]\n\n  rescore {escape(example)}"
        found.append((0 if group else place, command))
    return [command for _, command in sorted(found, key=lambda one: one[0])]


def _name(command: CommandInfo) -> str:
    function = "" if command.callback is None else command.callback.__name__
    return command.name or function.replace("_", "-")
