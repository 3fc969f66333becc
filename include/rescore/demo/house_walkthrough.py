"""The second demo: what houses will be sold for, month by month, told as it goes; without Airflow.

Load 2,930 sales, train on those of 2006 and 2007 as they were known on 1 March 2008, pin, score the months
since, and compare with the prices when they are known: weeks after the month has ended.
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import psycopg2
from psycopg2 import sql
from rich import box
from rich.console import Console
from rich.table import Table

from rescore import pipeline, source
from rescore.demo import houses
from rescore.demo.shipped import bring_model
from rescore.demo.story import HOUSE_CHAPTERS, Story, indented, try_next
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.progress import Progress, as_time, silent, time_left
from rescore.shown_text import number_of
from rescore.store import Run

__all__ = ["run_house_price"]

MODEL = "house_price"
IOWA = ZoneInfo("America/Chicago")
#: Labels known by then train the model: the deeds of December 2007 are recorded by mid-February.
TRAINED_AS_OF = datetime(2008, 3, 1, 6, tzinfo=IOWA)
#: The run of 1 January 2008 scores the houses that are sold in that month.
FIRST_DUE = datetime(2008, 1, 1, 6, tzinfo=IOWA)
LAST_DUE = datetime(2010, 5, 1, 6, tzinfo=IOWA)
#: June and July are left for the lesson. All deeds are recorded by KNOWN.
KNOWN = datetime(2011, 1, 1, tzinfo=UTC)

NEXT = {
    "runs house_price": "the months again, each with its verdict and what moved",
    "drift house_price": "what differs from training now, feature by feature",
    "performance house_price --measure": "how the prices came true, month by month",
}
LESSON = {"docs/lesson-house-price.md": "goes on from here: late prices, a broken feed, a proof"}


def run_house_price(ctx: pipeline.Context, out: Console, say: Progress) -> int:
    """Run the demo and print its result.

    Parameters
    ----------
    ctx : Context
        The store, and how the source is reached.
    out : Console
        Where the result goes.
    say : callable
        Receives one line of progress per step.

    Returns
    -------
    int
        The exit status: 0 only if every month was published and the first is reproduced bit for bit.
    """
    say("What will a house be sold for? A model trains, scores month by month and proves itself.")
    story = Story(say, HOUSE_CHAPTERS)
    bring_model(ctx.settings.models, MODEL, say)
    folder, detailed = ctx.model(MODEL), replace(ctx, progress=indented(say))
    schedule = folder.spec.schedule.schedule()
    months = list(
        schedule.intervals(schedule.interval_ending(FIRST_DUE).start, schedule.interval_ending(LAST_DUE).end)
    )
    with story.chapter("load"):
        _load(ctx, folder, say)
    with story.chapter("train"):
        if ctx.store.pins.current(MODEL) is None:
            package = pipeline.train_model(detailed, MODEL, as_of=TRAINED_AS_OF)
            pipeline.pin(ctx, MODEL, package.version, who="the demo", why="first package of the demo")
    with story.chapter("score"):
        _score(ctx, pipeline.without_scores(ctx, MODEL, months), say)
    with story.chapter("prove"):
        runs = [run for month in months for run in ctx.store.runs.published(MODEL, month)[-1:]]
        again = pipeline.reproduce_run(detailed, runs[0].run_id).verdict if runs else "nothing to reproduce"
    out.print()
    out.print(_table(_errors(ctx, folder, months)))
    out.print(
        "An error of .05 is 12 percent of the price. Prices are known up to 75 days after a month's end."
    )
    if runs:
        _print_found(out, runs)
    out.print(
        f"\npublished: {len(runs)} of {number_of(len(months), 'month')}; the first, scored again: {again}"
    )
    out.print(f"All of it took {as_time(story.seconds)}.\n")
    try_next(out, {f"{_program()} {command}": what for command, what in NEXT.items()} | LESSON)
    return 0 if len(runs) == len(months) and again == "identical" else 1


def _score(ctx: pipeline.Context, months: list[Interval], say: Progress) -> None:
    """Score month by month, in a line each: what else a run says would bury the story."""
    began = time.monotonic()
    for number, done in enumerate(pipeline.backfill(replace(ctx, progress=silent), MODEL, months), start=1):
        if done.published is None:
            said = str(done.error).partition("\n")[0]
        else:
            said = f"{done.published.rows} houses, {done.published.verdict}"
        left = time_left(number, len(months), time.monotonic() - began)
        say(f"   {_month(done.interval)}: {said}{left and '; '}{left}")


def _print_found(out: Console, runs: Sequence[Run]) -> None:
    """What the comparisons with training said, all and the last one."""
    verdicts = Counter(run.verdict for run in runs)
    out.print(f"\nVerdicts: {', '.join(f'{count} {verdict}' for verdict, count in verdicts.most_common())}.")
    out.print(f"That of {_month(runs[-1].interval)} in its own words:")
    out.print(f"  {runs[-1].sentence}", soft_wrap=True, markup=False)


def _program() -> str:
    """How the shell that runs this finds it."""
    return "rescore" if shutil.which("rescore") else sys.argv[0]


def _load(ctx: pipeline.Context, folder: ModelFolder, say: Progress) -> None:
    """Make the store and the source tables, and let the model's runs read and write there."""
    ctx.store.schema.migrate()
    owner = ctx.settings.owner_url
    loaded = houses.load(owner or ctx.source_url(folder), progress=lambda line: say(f"   {line}"))
    if owner:
        ctx.store.roles.create(source_schemas=[loaded.schema])
    pipeline.register_model(ctx, MODEL)
    rows = ", ".join(f"{count:,} {table}" for table, count in loaded.rows.items())
    say(f"   {rows} rows in schema {loaded.schema}" + (", loaded before" if loaded.already else ""))


def _month(interval: Interval) -> str:
    """In which the run is due, and the houses may be sold; they were listed in the month before."""
    return f"{interval.end.astimezone(IOWA):%B %Y}"


def _errors(
    ctx: pipeline.Context, folder: ModelFolder, months: Sequence[Interval]
) -> Mapping[str, list[float]]:
    """The error of each published price, as log10 of the ratio, by the half-year of the sale."""
    connection = psycopg2.connect(ctx.store.database.libpq_url)
    try:
        with connection.cursor() as cursor:
            table = sql.Identifier(ctx.settings.consumer_schema, MODEL)
            cursor.execute(sql.SQL("SELECT listing_id, interval_end, score FROM {}").format(table))
            scores = cursor.fetchall()
    finally:
        connection.close()
    labels = source.labels(ctx.source_url(folder), folder, months, KNOWN)
    prices = dict(zip(labels["listing_id"].to_pylist(), labels["price"].to_pylist(), strict=True))
    errors: dict[str, list[float]] = defaultdict(list)
    for listing, due, score in sorted(scores):
        sold = due.astimezone(IOWA)  # in the month that begins when its run is due
        if listing in prices:
            half = f"{sold.year}, {'January to June' if sold.month <= 6 else 'July to December'}"
            errors[half].append(math.log10(score / prices[listing]))
    return dict(sorted(errors.items()))


def _table(errors: Mapping[str, list[float]]) -> Table:
    table = Table(
        title="Houses of Ames, Iowa: expected and real price", title_justify="left", box=box.SIMPLE_HEAD,
        pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for heading in ("sold", "houses", "RMSE (log10)"):
        table.add_column(heading, justify="left" if heading == "sold" else "right")
    for half, each in errors.items():
        rmse = math.sqrt(sum(error * error for error in each) / len(each))
        table.add_row(half, f"{len(each):,}", f"{rmse:.4f}")
    return table
