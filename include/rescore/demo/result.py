"""What the demo ends with: a table per day, what consumers read, and what to try next."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg2
from rich import box
from rich.console import Console
from rich.table import Table

from rescore import pipeline
from rescore.demo.story import try_next
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.progress import Progress
from rescore.report import drift_report_of
from rescore.shown_text import number_of
from rescore.store import Run

__all__ = ["show"]

#: What a consumer would run; its real output is shown.
CONSUMER_SQL = """\
SELECT carrier, flight, event_time, round(score::numeric, 4) AS score, package_version, verdict
FROM scores.flight_delay
WHERE interval_end = '2013-04-01 08:00+00'
ORDER BY score DESC LIMIT 5"""


NEXT = {
    "make up": "Airflow, with the console under Rescore",
    ".venv/bin/rescore models": "how the model stands",
    ".venv/bin/rescore score flight_delay --day 2013-04-08": "one more day",
}


def show(
    out: Console,
    say: Progress,
    ctx: pipeline.Context,
    folder: ModelFolder,
    intervals: list[Interval],
    outage: Interval,
) -> list[str]:
    """Print the result and return what did not hold.

    Every published run is measured against its labels and derived again here.
    """
    table = _empty_table()
    published = identical = 0
    problems: list[str] = []
    for interval in intervals:
        runs = ctx.store.runs.published(folder.name, interval)
        if not runs:
            problems.append(f"nothing was published for {interval}")
            continue
        say(f"deriving {_day(folder, interval)} again")
        again = pipeline.reproduce_run(ctx, runs[-1].run_id).verdict
        published += 1
        identical += again == "identical"
        table.add_row(*_published_cells(ctx, folder, runs[-1]), again.replace("_", " "))
    if identical != len(intervals):
        problems.append(
            f"only {identical} of {number_of(len(intervals), 'run was', 'runs were')} reproduced bit for bit"
        )
    stopped = ctx.store.runs.latest(folder.name, limit=1, interval=outage)[0]
    table.add_row(
        *_counts(folder, stopped), stopped.verdict or "", _most_drifted(ctx, stopped), "", stopped.state
    )
    if stopped.verdict != "outage" or stopped.publication is not None:
        problems.append(
            f"31 December is {stopped.state} with verdict {stopped.verdict}, not a stopped outage"
        )

    out.print()
    out.print(table)
    out.print("AUC is measured with the labels known two days later. 31 December in its own words:")
    out.print(f"  {stopped.sentence}", soft_wrap=True, markup=False)
    out.print(f"\nreproduced bit for bit: {identical} of {published}\n")
    out.print("What a consumer reads:\n")
    out.print(CONSUMER_SQL, markup=False, soft_wrap=True)
    out.print(_consumer_table(ctx))
    try_next(out, NEXT)
    return problems


def _empty_table() -> Table:
    title = "Flights of New York, April 2013: will each arrive 15 minutes late or more?"
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    numbers = {"rows", "set aside", "AUC"}
    for heading in ("day", "rows", "set aside", "verdict", "moved most", "AUC", "scored again"):
        table.add_column(heading, justify="right" if heading in numbers else "left")
    return table


def _published_cells(ctx: pipeline.Context, folder: ModelFolder, run: Run) -> list[str]:
    """A run's row of the table, up to its AUC; that is measured here, with the labels of two days later."""
    measured = pipeline.measure_run(ctx, run.run_id, run.interval.end + timedelta(days=2))
    auc = measured.measure("auc").value
    return [
        *_counts(folder, run),
        run.verdict or "",
        _most_drifted(ctx, run),
        "" if auc is None else f"{auc:.3f}",
    ]


def _day(folder: ModelFolder, interval: Interval) -> str:
    """The day the run is about, as people there write it."""
    return f"{interval.end.astimezone(ZoneInfo(folder.spec.schedule.timezone)):%d %b}"


def _counts(folder: ModelFolder, run: Run) -> list[str]:
    numbers = (run.rows_extracted, run.rows_quarantined + run.rows_rejected)
    return [_day(folder, run.interval), *(f"{number or 0:,}" for number in numbers)]


def _most_drifted(ctx: pipeline.Context, run: Run, count: int = 1) -> str:
    report = drift_report_of(ctx.store, run)
    if report is None:
        return ""
    broken = [feature.name for feature in report.worst_first if feature.outage]
    names = ", ".join(broken[:count] or [feature.name for feature in report.worst_first[:count]])
    more = len(broken) - count
    return f"{names} and {more} more" if more > 0 else names


def _consumer_table(ctx: pipeline.Context) -> Table:
    """The query's rows, read as a plain client would."""
    connection = psycopg2.connect(ctx.store.database.libpq_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(CONSUMER_SQL)
            names = [column.name for column in cursor.description or ()]
            rows: list[tuple[Any, ...]] = cursor.fetchall()
    finally:
        connection.close()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*(str(value) for value in row))
    return table
