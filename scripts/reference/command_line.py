"""The page on the command line: each command with its arguments and options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from rescore.cli import app
from rescore.cli.examples import EXAMPLE_OF
from rescore.cli.help_panels import EXAMPLES, EXIT_CODES
from scripts.reference.markdown import code, prose, table

__all__ = ["command_line", "commands"]

#: What a value is called, by what its type is called.
_TYPES = {"str": "TEXT", "int": "INTEGER", "float": "NUMBER", "Path": "PATH"}


def command_line() -> str:
    """The page."""
    root: Any = get_command(app)
    parts = [
        "# Command line",
        "What `rescore --help` and `rescore COMMAND --help` say. Results go to standard output, progress "
        "to standard error; `--json` is for scripts.",
        table(["Exit code", "Means"], [[str(number), meaning] for number, meaning in EXIT_CODES.items()]),
        "```\n" + "\n".join(f"rescore {words}  # {what}" for words, what in EXAMPLES) + "\n```",
    ]
    panels: dict[str, list[str]] = {}
    for path, command in commands(root):
        panels.setdefault(command.rich_help_panel or _panel_of(root, path), []).append(
            _section(path, command)
        )
    for panel, sections in panels.items():
        parts += [f"## {panel}", *sections]
    return "\n\n".join(parts) + "\n"


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command that does something, with the words it is called by."""
    for name, one in getattr(command, "commands", {}).items():
        if hasattr(one, "commands"):
            yield from commands(one, (*path, name))
        elif not one.hidden:
            yield (*path, name), one


def _panel_of(root: Any, path: tuple[str, ...]) -> str:
    return str(root.commands[path[0]].rich_help_panel)


def _section(path: tuple[str, ...], command: Any) -> str:
    arguments = [one for one in command.params if not one.opts[0].startswith("-")]
    options = [one for one in command.params if one.opts[0].startswith("-")]
    usage = [
        "rescore",
        *path,
        *(one.name.upper() if one.required else f"[{one.name.upper()}]" for one in arguments),
    ]
    lines = [" ".join([*usage, "[OPTIONS]"] if options else usage)]
    if (example := EXAMPLE_OF.get(" ".join(path))) and f"rescore {example}" != lines[0]:
        lines.append(f"rescore {example}")
    parts = [f"### rescore {' '.join(path)}", prose(command.help), "```\n" + "\n".join(lines) + "\n```"]
    rows = [
        [_written(one), "needed" if one.required else _default(one.default), one.help or ""]
        for one in (*arguments, *options)
    ]
    if rows:
        parts.append(table(["Argument or option", "Default", "Meaning"], rows))
    return "\n\n".join(parts)


def _written(parameter: Any) -> str:
    if not parameter.opts[0].startswith("-"):
        return code(parameter.name.upper())
    words = " ".join(code(one) for one in (*parameter.opts, *parameter.secondary_opts))
    if parameter.is_flag:
        return words
    annotation = parameter.type_descriptor.annotation
    if members := getattr(annotation, "__members__", None):
        return f"{words} {' or '.join(code(one.value) for one in members.values())}"
    kind = next((shown for name, shown in _TYPES.items() if name in str(annotation)), "VALUE")
    return f"{words} {kind}"


def _default(value: Any) -> str:
    if value is None or value is False or value in ([], ()):
        return ""
    return "on" if value is True else code(getattr(value, "value", value))
