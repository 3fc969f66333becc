"""How ``rescore --help`` groups its commands, the examples it ends with, and what exit codes mean."""

from __future__ import annotations

from typer.models import CommandInfo

__all__ = ["ENDING", "EXAMPLES", "PANELS", "panel_of"]

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

#: Below the list of commands.
ENDING = "\n\n".join(
    [
        "[bold]Examples[/bold]",
        *(f"  rescore {command}  [dim]{what}[/dim]" for command, what in EXAMPLES),
        "[bold]Exit codes[/bold]",
        "  0 done   1 an error, or something that does not hold   2 wrong usage",
        "  3 status --check or alarms found something   130 interrupted",
        "Progress goes to standard error, results to standard output; --json is for scripts.",
    ]
)


def panel_of(command: CommandInfo) -> str:
    """The panel of a command."""
    function = "" if command.callback is None else command.callback.__name__
    name = command.name or function.replace("_", "-")
    return next((panel for panel, names in PANELS.items() if name in names), "Keep")
