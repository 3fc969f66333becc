"""Commands that show how everything stands: every model, its runs, the page, the set-up."""

from __future__ import annotations

import sys
import webbrowser
from datetime import UTC, datetime, timedelta
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rescore.cli.terminal import (
    Json,
    ModelName,
    context,
    print_json,
    print_line,
    print_rows,
    print_table,
    stdout,
)
from rescore.errors import LocalStackError, RescoreError
from rescore.runbooks import runbook
from rescore.shown_text import number_of

if TYPE_CHECKING:
    from rescore.report import ModelState

app = typer.Typer()

_MARKS = {"ok": "ok     ", "warning": "warning", "fault": "FAULT  "}

#: The exit code of ``status --check`` and ``alarms`` if they find anything; 1 is an error, 2 wrong usage.
ALARMED = 3


@app.command()
def models(
    concern: Annotated[
        str | None, typer.Option("--only", help="Only models with this: late, outage, held, alarm, …")
    ] = None,
    as_json: Json = False,
) -> None:
    """List every model, the worst first: state, verdict, how far scores reach, what is due, package."""
    from rescore.report import concerns_said, read_model_states

    with context() as ctx:
        declared: dict[str, Any] = {}
        for name in ctx.models():
            try:
                declared[name] = ctx.model(name).spec
            except RescoreError as error:
                declared[name] = error
        now = datetime.now(UTC)
        found = read_model_states(ctx.store, declared, now=now)
    shown = [one for one in found if concern is None or concern in one.concerns]
    rows = [_row(one, now) for one in shown]
    if as_json:
        print_json(
            [
                {
                    **row,
                    "concerns": one.concerns,
                    "owner": one.owner,
                    "sentence": one.sentence,
                    "alarms": one.alarms,
                    "problem": one.problem,
                }
                for row, one in zip(rows, shown, strict=True)
            ]
        )
        return
    said = ", ".join(f"{count} {said}" for _, count, said in concerns_said(found)) or "all ok"
    print_line(fill(f"{number_of(len(found), 'model')}: {said}", stdout.width))
    if rows:
        print_table([_for_people(row) for row in rows], "times are on each model's own clock")
    for one in shown:
        if one.problem:
            print_line(f"{one.name}: {one.problem}")


def _row(one: ModelState, now: datetime) -> dict[str, Any]:
    return {
        "model": one.name,
        "state": one.state,
        "verdict": one.verdict or None,
        "scores_until": None if one.last_published is None else one.last_published.interval.end.isoformat(),
        "due_at": None if one.due_at is None else one.due_at.isoformat(),
        "late": one.late,
        "usable": one.usable,
        "why": one.why,
        "package_version": None if one.pin is None else one.pin.version,
        "held": one.held,
        "timezone": one.timezone,
    }


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "state": row["state"],
        "model": row["model"],
        "scores reach": _local(row["scores_until"], row["timezone"]),
        "due": "late" if row["late"] else _local(row["due_at"], row["timezone"]),
        "package": row["package_version"],
        "held": row["held"] or None,
        "verdict": row["verdict"],
    }


def _local(moment: str | None, timezone: str) -> str:
    from zoneinfo import ZoneInfo

    if moment is None:
        return ""
    local = datetime.fromisoformat(moment).astimezone(ZoneInfo(timezone))
    near = abs(datetime.now(UTC) - local) < timedelta(days=300)
    return f"{local:%d %b %H:%M}" if near else f"{local:%d %b %Y}"


@app.command()
def status(
    model: Annotated[str | None, typer.Argument(help="Only this model.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say only what waits for a person; exit 3 if anything does.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show, per model: whether its scores may be used and why, freshness, verdicts, package, lost history."""
    from rescore import pipeline

    if check:
        _check(model, as_json)
        return
    with context() as ctx:
        known = set(ctx.models())
        rows = [row for row in pipeline.status_rows(ctx) if model in (None, row["model"])]
        if model is not None and not rows:
            ctx.model(model)
        for row in rows:  # a model may outlive its folder
            row["history"] = pipeline.history(ctx, row["model"]) if row["model"] in known else None
            if row["model"] in known and (
                beside := pipeline.shadows_of(ctx, row["model"], datetime.now(UTC))
            ):
                row["shadow"] = "; ".join(one.sentence for one in beside)
    print_rows(rows, as_json=as_json, title="models")


def _check(model: str | None, as_json: bool) -> None:
    """Print every alarm; a script reads the exit code, also while no Airflow runs."""
    from rescore import pipeline

    with context() as ctx:
        found = pipeline.alarms(ctx, model)
    if as_json:
        print_json([alarm.to_dict() for alarm in found])
    else:
        for alarm in found:
            print_line(f"{alarm.model}  {alarm.kind}  {alarm.sentence}")
        for kind in dict.fromkeys(alarm.kind for alarm in found):
            print_line(f"{kind}: what to do stands in {runbook(kind)}")
        if not found:
            print_line("nothing waits for a person")
    if found:
        raise typer.Exit(ALARMED)


@app.command()
def alarms(as_json: Json = False) -> None:
    """Show the alarms that stand, about drift and performance; exit with 3 if there are any."""
    from rescore import pipeline

    with context() as ctx:
        incidents = pipeline.standing_alarms(ctx)
    rows = [
        {
            "incident": number,
            "model": one.model,
            "of": one.of,
            "since": one.alarm.since,
            "evidence": f"{one.alarm.evidence or 0:.3g} of {one.alarm.limit:.3g}",
            "least delay": number_of(one.alarm.fastest, "window"),
            "unusual": ", ".join(one.alarm.features),
            "shared": ", ".join(incident.shared),
        }
        for number, incident in enumerate(incidents, 1)
        for one in incident.alarms
    ]
    print_rows(rows, as_json=as_json, title="alarms that stand")
    if rows:
        if not as_json:
            for word in dict.fromkeys("alarm" if row["of"] == "drift" else "performance" for row in rows):
                print_line(f"what to do stands in {runbook(word)}")
        raise typer.Exit(ALARMED)


@app.command()
def runs(
    model: ModelName,
    last: Annotated[int, typer.Option(min=1, help="How many runs, the latest.")] = 20,
    as_json: Json = False,
) -> None:
    """List a model's last runs, newest first, with their ids: published, held, failed or abandoned ones."""
    from dataclasses import asdict

    from rescore.report import run_lines

    with context() as ctx:
        timezone = ctx.model(model).spec.schedule.timezone
        lines = run_lines(ctx.store, model, last, timezone=timezone, now=datetime.now(UTC))
    columns = ["due", "state", "verdict", "run_id", "scored", "package", "started", "set_aside"]
    rows = [{**asdict(line), "due": _due(line.interval)} for line in lines]
    print_rows(rows, as_json=as_json, title=f"runs of {model} ({timezone})", columns=columns)
    if not as_json:
        for line in lines:
            if line.problem:
                print_line(f"{line.run_id}: {line.problem}")


def _due(interval: str) -> str:
    """When a run was due: the end of its interval, without this year's number, so that ids have room."""
    return interval.rpartition(" to ")[2].removeprefix(f"{datetime.now(UTC).year}-")


@app.command("open")
def open_page(
    model: Annotated[str | None, typer.Argument(help="A model; default: the page of all models.")] = None,
    show: Annotated[bool, typer.Option("--print", help="Only print the address.")] = False,
) -> None:
    """Open the console of the local Airflow in a browser, and print its address and login."""
    from rescore.local import LocalStack
    from rescore.settings import Settings

    stack = LocalStack(Settings.from_environment())
    status = stack.status()
    if not status.running or status.airflow is None:
        raise LocalStackError(
            "no local Airflow is running",
            where=str(stack.settings.home),
            expected="one that `rescore up` has started",
            fix="start it: `rescore up`",
        )
    address = f"{status.airflow.rstrip('/')}/rescore/" + (f"score_{model}" if model else "")
    user, password = stack.airflow().login()
    stdout.print(f"{address}  (user {user}, password {password})", soft_wrap=True, markup=False)
    if not show and not webbrowser.open(address):
        stdout.print("no browser here: open the address yourself")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look at the whole set-up: versions, store, rights, models, sources, archive; exits 1 on a fault."""
    from rescore import pipeline

    found = []
    with context() as ctx:
        for finding in pipeline.examine(ctx):
            found.append(finding)
            if not as_json:
                print_line(f"{_MARKS[finding.state]}  {finding.about}: {finding.said}")
                if finding.fix:
                    print_line(f"         {finding.fix}")
    faults = sum(finding.state == "fault" for finding in found)
    if as_json:
        print_json([vars(finding) for finding in found])
    else:
        warnings = sum(finding.state == "warning" for finding in found)
        said = f"{number_of(faults, 'fault')}, {number_of(warnings, 'warning')}"
        print_line(f"{number_of(len(found), 'check')}: {said}")
    if faults:
        sys.exit(1)
