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

from rescore.errors import ParameterError

if TYPE_CHECKING:
    from datetime import datetime

    from rescore.interval import Interval
    from rescore.pipeline import Context
    from rescore.spec import ModelSpec

__all__ = [
    "Json",
    "ModelName",
    "Who",
    "context",
    "intervals_named",
    "moment",
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
Who = Annotated[str, typer.Option(help="Who does this; stored for ever.")]


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
        yield Context.from_environment(settings, progress=say)


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


def intervals_named(spec: ModelSpec, start: str | None, end: str | None, day: str | None) -> list[Interval]:
    """The schedule's intervals that the options name."""
    from datetime import date, datetime, timedelta
    from zoneinfo import ZoneInfo

    from rescore.interval import parse_moment

    schedule = spec.schedule.schedule()
    if day is not None:
        try:
            wall = datetime.combine(date.fromisoformat(day), datetime.min.time(), ZoneInfo(schedule.timezone))
        except ValueError:
            raise ParameterError(
                f"--day {day!r} is not a day", expected="YYYY-MM-DD", fix="write it like 2013-04-01"
            ) from None
        due = wall + timedelta(days=1)
        first = schedule.floor(parse_moment(wall))
        found = [i for i in schedule.intervals(first, parse_moment(due)) if i.end >= parse_moment(wall)]
    elif start is not None and end is not None:
        found = list(schedule.intervals(parse_moment(start, name="--start"), parse_moment(end, name="--end")))
    else:
        raise ParameterError(
            "no interval is named",
            expected="--day, or both --start and --end",
            fix="name the day on which the run is due, or both bounds",
        )
    if not found:
        raise ParameterError(
            "the schedule has no interval there",
            where=f"schedule '{schedule.cron}' in {schedule.timezone}",
            expected=f"a range from {spec.schedule.start} to {spec.schedule.end}",
            fix="choose other bounds",
        )
    return found


def moment(text: str | None, name: str) -> datetime | None:
    """The moment that option ``name`` gives, aware; None if it is not given."""
    from rescore.interval import parse_moment

    return None if text is None else parse_moment(text, name=name)
