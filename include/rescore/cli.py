"""The command ``rescore``: a thin shell over :mod:`rescore.pipeline`, for people and for scripts.

Nothing is decided here. Heavy libraries load inside the command that needs them, so that
``rescore --help`` answers at once.
"""

from __future__ import annotations

import getpass
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

from rescore.errors import ParameterError, RescoreError

if TYPE_CHECKING:
    from datetime import datetime

    from rescore.interval import Interval
    from rescore.pipeline import Context
    from rescore.spec import ModelSpec

__all__ = ["app", "main"]

app = typer.Typer(
    name="rescore",
    help="Batch scoring in which every score stands up to being scored again.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
packages_app = typer.Typer(help="List and show model packages.", no_args_is_help=True)
store_app = typer.Typer(help="Create, migrate and inspect Rescore's own tables.", no_args_is_help=True)
app.add_typer(packages_app, name="packages")
app.add_typer(store_app, name="store")

# Wide enough for the tables where nobody says how wide it is: a file, a pipe, CI.
_out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
_err = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
ModelName = Annotated[str, typer.Argument(help="The model: the name of its folder.")]
Who = Annotated[str, typer.Option(help="Who does this; stored for ever.")]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; an error of ours is printed whole, without a traceback, and exits 1."""
    try:
        app(args=list(argv) if argv is not None else None)
    except RescoreError as error:
        _err.print(f"error: {escape(str(error))}", style="red", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        _err.print("interrupted")
        sys.exit(130)


def _say(line: str) -> None:
    _err.print(escape(line), style="dim", soft_wrap=True)


@contextmanager
def _context() -> Iterator[Context]:
    """The context of the configured database, or of the local Postgres for as long as it is used."""
    from rescore.local.stack import LocalStack
    from rescore.pipeline import Context
    from rescore.settings import Settings

    with LocalStack(Settings.from_environment()).session(airflow=False) as stack:
        settings = Settings.from_environment({**os.environ, **stack.environment()})
        yield Context.from_environment(settings, progress=_say)


def _print(
    rows: list[dict[str, Any]], *, as_json: bool, title: str, columns: Sequence[str] | None = None
) -> None:
    """Print rows: all of them as JSON for a script; for people ``columns``, or one fact a line."""
    if as_json:
        sys.stdout.write(json.dumps(rows, default=str, indent=2) + "\n")
        return
    if not rows:
        _out.print(f"{title}: nothing yet")
        return
    if columns is None:
        for row in rows:
            width = max(map(len, row))
            for name, value in row.items():
                if value is not None:
                    _out.print(f"{name:<{width}}  {escape(_text(value))}", soft_wrap=True)
            _out.print()
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        numeric = all(isinstance(row.get(column), int | float | None) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*("" if row.get(name) is None else escape(_text(row[name])) for name in columns))
    _out.print(table)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _intervals(spec: ModelSpec, start: str | None, end: str | None, day: str | None) -> list[Interval]:
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


@app.command()
def demo() -> None:
    """Run the whole job on real flights: load, train, pin, score, stop an outage, reproduce."""
    from rescore.demo.run import run_demo

    sys.exit(run_demo(_out, _say))


@app.command()
def up(
    detach: Annotated[bool, typer.Option(help="Return once all is healthy; else run until Ctrl-C.")] = True,
) -> None:
    """Start the local Postgres and Airflow, and keep them running."""
    from rescore.local.stack import LocalStack
    from rescore.settings import Settings

    stack = LocalStack(Settings.from_environment(), progress=_say)
    started = stack.up(detach=detach)
    with _context() as ctx:
        ctx.store.migrate()
    user, password = stack.airflow().login()
    _out.print(f"Airflow: {started.airflow}  (user {user}, password {password})", soft_wrap=True)
    _out.print(f"store:   {ctx.store.where}", soft_wrap=True)
    if detach:
        _out.print("stop with: make down")
        return
    _out.print("stop with Ctrl-C")
    try:
        stack.wait()
    finally:
        stack.release()


@app.command()
def down() -> None:
    """Stop what ``up`` started; data stays under var/."""
    from rescore.local.stack import LocalStack
    from rescore.settings import Settings

    stopped = LocalStack(Settings.from_environment(), progress=_say).down()
    _out.print("stopped; data stays under var/" if stopped else "nothing was running")


@app.command()
def status(as_json: Json = False) -> None:
    """Show, per model: freshness, coverage, validation, drift verdict, pinned package."""
    with _context() as ctx:
        _print(ctx.store.status(), as_json=as_json, title="models")


@app.command()
def train(
    model: ModelName,
    as_of: Annotated[str | None, typer.Option(help="Labels known by then are used; ISO 8601.")] = None,
    start: Annotated[str | None, typer.Option(help="Start of the first interval.")] = None,
    end: Annotated[str | None, typer.Option(help="End of the last interval.")] = None,
    as_json: Json = False,
) -> None:
    """Snapshot the training window, fit twice, compare the bytes, and keep the package."""
    from rescore import pipeline

    with _context() as ctx:
        trained = pipeline.train_model(
            ctx,
            model,
            as_of=_moment(as_of, "--as-of"),
            start=_moment(start, "--start"),
            end=_moment(end, "--end"),
        )
    _print([trained], as_json=as_json, title="package")


@app.command()
def score(
    model: ModelName,
    day: Annotated[str | None, typer.Option(help="The day on which the run is due, local time.")] = None,
    start: Annotated[str | None, typer.Option(help="Start of the first interval, ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option(help="End of the last interval, ISO 8601.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Default: each interval's end.")] = None,
    as_json: Json = False,
) -> None:
    """Score and publish every interval named, one run each."""
    from rescore import pipeline

    with _context() as ctx:
        intervals = _intervals(ctx.model(model).spec, start, end, day)
        moment = _moment(as_of, "--as-of")
        published = [pipeline.score_interval(ctx, model, interval, moment) for interval in intervals]
    shown = ["interval", "rows", "package_version", "verdict", "run_id"]
    _print(published, as_json=as_json, title=f"{model}: published", columns=shown)


@app.command()
def pin(
    model: ModelName,
    to: Annotated[str, typer.Option(help="The package's version or sha256.")],
    reason: Annotated[str, typer.Option(help="Why; stored for ever.")],
    who: Who = "",
) -> None:
    """Make a package the one that scores; rolling back is a new pin."""
    from rescore import pipeline

    with _context() as ctx:
        pipeline.pin(ctx, model, to, who=who or getpass.getuser(), why=reason)
    _out.print(f"{model}: {to} is pinned")


@app.command()
def reproduce(
    model: Annotated[str | None, typer.Option(help="Every published run of this model.")] = None,
    run: Annotated[str | None, typer.Option(help="One run, by its id.")] = None,
    day: Annotated[str | None, typer.Option(help="With --model: runs due on that day.")] = None,
    as_json: Json = False,
) -> None:
    """Score past runs again from their frozen input and package, and compare to the last bit."""
    from rescore import pipeline

    with _context() as ctx:
        done = [pipeline.reproduce_run(ctx, run_id) for run_id in _run_ids(ctx, model, run, day)]
    shown = ["model", "interval", "rows", "verdict"]
    if any(one.reason for one in done):
        shown += ["run_id", "reason"]
    _print([one.row() for one in done], as_json=as_json, title="reproduced", columns=shown)
    identical = sum(one.verdict == "identical" for one in done)
    if not as_json:
        _out.print(f"reproduced bit for bit: {identical} of {len(done)}")
    if identical != len(done):
        sys.exit(1)


def _run_ids(ctx: Context, model: str | None, run: str | None, day: str | None) -> list[str]:
    """The runs that the options of ``reproduce`` name."""
    if run is not None:
        return [run]
    if model is None:
        raise ParameterError("nothing is named", expected="--run or --model", fix="name one of them")
    spec = ctx.model(model).spec
    intervals = None if day is None else _intervals(spec, None, None, day)
    runs = ctx.store.published_runs(model)
    return [one.run_id for one in runs if intervals is None or one.interval in intervals]


def _moment(text: str | None, name: str) -> datetime | None:
    from rescore.interval import parse_moment

    return None if text is None else parse_moment(text, name=name)


@packages_app.command("list")
def packages_list(model: ModelName, as_json: Json = False) -> None:
    """List a model's packages, newest first, with what is pinned."""
    from rescore import pipeline

    with _context() as ctx:
        rows = pipeline.package_rows(ctx, model)
    _print(rows, as_json=as_json, title=f"packages of {model}", columns=[*rows[0]][:-1] if rows else None)


@packages_app.command("show")
def packages_show(
    model: ModelName,
    version: Annotated[str, typer.Argument(help="The package's version or sha256.")],
) -> None:
    """Print a package's manifest: what made it, from what, with what result."""
    with _context() as ctx:
        package = ctx.store.find_package(model, version)
    sys.stdout.write(json.dumps(package.manifest, indent=2, sort_keys=True) + "\n")


@store_app.command("migrate")
def store_migrate() -> None:
    """Create or upgrade Rescore's tables and views."""
    with _context() as ctx:
        version = ctx.store.migrate()
    _out.print(f"store: schema {ctx.settings.store_schema} is at version {version}")


@store_app.command("ddl")
def store_ddl() -> None:
    """Print the SQL that ``migrate`` would run, for a database administrator."""
    with _context() as ctx:
        sys.stdout.write(ctx.store.ddl())


@store_app.command("roles")
def store_roles() -> None:
    """Create the recommended roles: extract, run, consumer."""
    with _context() as ctx:
        ctx.store.create_roles()
    _out.print("roles: rescore_extract, rescore_run, rescore_consumer")


if __name__ == "__main__":
    main()
