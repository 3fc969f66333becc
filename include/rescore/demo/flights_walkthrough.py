"""The demo: the whole job on real flights, through real Airflow DAG runs, told as it goes.

Load a year of flights, train on the first quarter, pin, score seven days of April through a
backfill, meet a day without any weather, and derive every published score again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape

from rescore import pipeline
from rescore.demo import flights, result
from rescore.demo.shipped import bring_model
from rescore.demo.story import Story, indented
from rescore.errors import LocalStackError
from rescore.interval import Interval
from rescore.local import AirflowClient, DagRun, LocalStack, TaskState
from rescore.progress import Progress, as_time
from rescore.settings import Settings
from rescore.shown_text import number_of

__all__ = ["run_demo", "what_runs"]

MODEL = "flight_delay"
SCORE_DAG = f"score_{MODEL}"
NEW_YORK = ZoneInfo("America/New_York")
#: Labels known by then train the model; also the end of the last interval before the days scored.
TRAINED_AS_OF = datetime(2013, 4, 1, 4, tzinfo=NEW_YORK)
#: Runs are due at an interval's end: the flights of 1 April belong to the interval that starts on
#: 31 March at 04:00, which is also its logical date.
FIRST_DUE = datetime(2013, 4, 1, 4, tzinfo=NEW_YORK)
LAST_DUE = datetime(2013, 4, 7, 4, tzinfo=NEW_YORK)
OUTAGE_DUE = datetime(2013, 12, 31, 4, tzinfo=NEW_YORK)


def run_demo(out: Console, say: Progress) -> int:
    """Run the demo and print its result.

    Parameters
    ----------
    out : Console
        Where the result goes.
    say : callable
        Receives one line of progress per step.

    Returns
    -------
    int
        The exit status: 0 only if every step gave what it had to.

    Raises
    ------
    RescoreError
        A step failed; the stack is stopped all the same.
    """
    say("Will a flight arrive 15 minutes late or more? A model trains, scores, stops and proves itself.")
    story = Story(say)
    settings = Settings.from_environment()
    bring_model(settings.models, MODEL, say)  # no wheel carries it: it says so before anything is started
    stack = LocalStack(settings, progress=indented(say))
    with ExitStack() as running:
        with story.chapter("start"):
            running.enter_context(stack.session())
        problems = _run(out, say, stack, story)
    for problem in problems:
        out.print(f"[red]demo failed:[/red] {escape(problem)}")
    if not problems:
        out.print(
            f"\nEvery step gave what it had to, in {as_time(story.seconds)}. {what_runs(stack)}",
            soft_wrap=True,
        )
    return 1 if problems else 0


def what_runs(stack: LocalStack) -> str:
    """Whether the demo has left something running: it stops only what nobody else uses."""
    status = stack.status()
    kept = f"data stays in {stack.settings.home}"
    if not status.running:
        return f"All is stopped; {kept}."
    return (
        f"The local stack is {status.phase}: it ran before the demo, or another command uses it; "
        f"`make down` stops it; {kept}."
    )


def _run(out: Console, say: Progress, stack: LocalStack, story: Story) -> list[str]:
    settings = Settings.from_environment({**os.environ, **stack.environment()})
    ctx = pipeline.Context.from_environment(settings, progress=indented(say))
    client = stack.client()
    folder = ctx.model(MODEL)
    schedule = folder.spec.schedule.schedule()
    detail = indented(say)

    with story.chapter("load"):
        _load(ctx, stack, detail)
    with story.chapter("train"):
        _train(client, ctx, detail)
    first, last = schedule.interval_ending(FIRST_DUE), schedule.interval_ending(LAST_DUE)
    with story.chapter("score"):
        detail(f"{SCORE_DAG}, logical dates {first.start} to {last.start}")
        scored = _backfill(client, first, last, detail)
    outage = schedule.interval_ending(OUTAGE_DUE)
    with story.chapter("outage"):
        stopped = client.wait(
            SCORE_DAG,
            client.trigger(SCORE_DAG, conf=_by_hand(outage), run_id=_run_name("outage")).run_id,
            progress=_follow(detail),
        )

    problems = [
        f"{run.run_id} of {SCORE_DAG} ended as {run.state}" for run in scored if run.state != "success"
    ]
    if stopped.state != "failed":
        problems.append(f"the day without weather ended as {stopped.state}; it had to stop as an outage")
    intervals = list(schedule.intervals(first.start, last.end))
    with story.chapter("prove"):
        problems += result.show(out, detail, ctx, folder, intervals, outage)
    return problems


def _load(ctx: pipeline.Context, stack: LocalStack, say: Progress) -> None:
    """Make the store and the source tables, and let the model's runs read and write there."""
    folder = ctx.model(MODEL)
    ctx.store.schema.migrate()
    ours = (
        stack.settings.database_url is None
        and folder.spec.source.connection not in stack.settings.connections
    )
    owner_url = ctx.settings.owner_url if ours else None
    loaded = flights.load(owner_url or ctx.source_url(folder), progress=say)
    if ours:
        ctx.store.roles.create(source_schemas=[loaded.schema])
    pipeline.register_model(ctx, MODEL)
    rows = ", ".join(f"{count:,} {table}" for table, count in loaded.rows.items())
    say(f"{rows} rows in schema {loaded.schema}" + (", loaded before" if loaded.already else ""))


def _train(client: AirflowClient, ctx: pipeline.Context, say: Progress) -> None:
    """Train on January to March through the DAG and pin the package, unless that very one is pinned."""
    pinned = ctx.store.pins.current(MODEL)
    if pinned is not None:
        say(f"package {pinned.version} is pinned already")
        return
    dag = f"train_{MODEL}"
    say(f"{dag}: labels known on 1 April 04:00 New York")
    client.wait_for_dag(dag)
    client.unpause(dag)
    conf = {"as_of": TRAINED_AS_OF.isoformat(), "approve": "now", "reason": "first package of the demo"}
    run = client.trigger(dag, conf=conf, run_id=_run_name("train"))
    done = client.wait(dag, run.run_id, progress=_follow(say))
    if done.state != "success":
        raise _failed(client, done)


def _backfill(client: AirflowClient, first: Interval, last: Interval, say: Progress) -> list[DagRun]:
    client.wait_for_dag(SCORE_DAG)
    client.unpause(SCORE_DAG)
    runs = client.backfill(SCORE_DAG, first.start, last.start, max_active_runs=2, reprocess="completed")
    said = ""

    def follow(latest: list[DagRun], tasks: Mapping[str, list[TaskState]]) -> None:
        nonlocal said
        finished = sum(run.finished for run in latest)
        running = {
            task.task_id
            for run in latest
            for task in tasks[run.run_id]
            if task.state == "running" and not run.finished
        }
        line = f"  {finished} of {number_of(len(latest), 'day')} done"
        line += f"; running: {', '.join(sorted(running))}" if running else ""
        if not said.startswith(line):  # between two tasks nothing runs: no line for that
            said = line
            say(line)

    done = client.wait_all(runs, progress=follow)
    for run in done:
        if run.state != "success":
            raise _failed(client, run)
    return done


def _follow(say: Progress) -> Callable[[DagRun, list[TaskState]], None]:
    """Say each task's end once."""
    said: set[tuple[str, str]] = set()

    def follow(run: DagRun, tasks: list[TaskState]) -> None:
        for task in tasks:
            if task.state in {"success", "failed"} and (task.task_id, task.state) not in said:
                said.add((task.task_id, task.state))
                seconds = f" in {task.seconds:.0f} s" if task.seconds is not None else ""
                say(f"  {run.dag_id}.{task.task_id}: {task.state}{seconds}")

    return follow


def _failed(client: AirflowClient, run: DagRun) -> LocalStackError:
    """The failed task's own words, from the end of its log."""
    failed = [task for task in client.tasks(run.dag_id, run.run_id) if task.state == "failed"]
    lines: list[str] = []
    for task in failed[:1]:
        lines = client.task_log(run.dag_id, run.run_id, task.task_id).splitlines()[-12:]
    return LocalStackError(
        f"{run.dag_id} {run.run_id} ended as {run.state}",
        where=", ".join(task.task_id for task in failed) or "no task ran",
        expected="success",
        fix="read the task's log below, or in the Airflow page (make up)",
        examples=["\n" + "\n".join(lines)],
    )


def _by_hand(interval: Interval) -> dict[str, str]:
    """The Params of a run by hand: Airflow takes a logical date once only, and the same Params again."""
    return {"interval_start": interval.start.isoformat(), "interval_end": interval.end.isoformat()}


def _run_name(what: str) -> str:
    """A run id of its own per demo: a second demo is a second run."""
    return f"demo_{what}_{datetime.now(UTC):%Y%m%dT%H%M%S}"
