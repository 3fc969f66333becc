"""Score one interval: extract, validate, score, compare with training, publish.

Each stage takes and returns ids only, so that a DAG task, a command and a notebook call the same
functions. Each call is an attempt with a fence of its own: whatever an earlier attempt at the stage
still does is refused. A stage that finds its run already past it (a cleared task) forks the run: the
fork inherits the frozen input.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import Any

from rescore import drift, model, source, validation
from rescore.errors import StoreError
from rescore.interval import Interval
from rescore.pipeline.build_facts import code_revision
from rescore.pipeline.context import Context, utc_now
from rescore.pipeline.due_times import declare_timetable
from rescore.pipeline.packages.opening import open_package
from rescore.pipeline.scoring.alarm_evidence import with_alarm
from rescore.pipeline.scoring.failures import recorded
from rescore.pipeline.scoring.joint_drift_rows import training_rows
from rescore.pipeline.scoring.predicting import begin_attempt, pinned_package, predict_run
from rescore.pipeline.scoring.publishing import Published, publish_run
from rescore.pipeline.scoring.rows_before import rows_before
from rescore.pipeline.scoring.scores_at_hand import ScoresAtHand
from rescore.pipeline.scoring.shards import join_shards, plan_shards, score_shards
from rescore.pipeline.scoring.source_notes import source_notes, untimed_details
from rescore.pipeline.scoring.verdict_actions import act_on_verdict
from rescore.store import ShardHandle

__all__ = [
    "begin_extract",
    "drift_run",
    "score_interval",
    "score_run",
    "split_run",
    "validate_run",
]


#: What is said of so many features besides the verdict, such as levels that training never saw.
MAX_NOTES = 5


def begin_extract(
    ctx: Context,
    model_name: str,
    interval: Interval,
    as_of: datetime | None = None,
    *,
    airflow: Mapping[str, Any] | None = None,
) -> str:
    """Claim the interval and freeze its rows as known by ``as_of``.

    Parameters
    ----------
    ctx : Context
        Store, archive, connections.
    model_name : str
        The model.
    interval : Interval
        Exactly one of the schedule's intervals, ended.
    as_of : datetime, optional
        What had been recorded by then is seen; default is the interval's end, never now.
    airflow : mapping, optional
        DAG id, run id, task id and try number, for the run's record.

    Returns
    -------
    str
        The run's id.

    Raises
    ------
    IntervalError
        Not one of the schedule's intervals, or not ended.
    SourceError
        The database is down, or gave rows that can't be scored.
    """
    folder = ctx.model(model_name)
    folder.spec.schedule.schedule().check(interval, now=utc_now())
    declare_timetable(ctx, folder)
    as_of = as_of or interval.end
    run = ctx.store.runs.claim(
        model_name,
        interval,
        as_of,
        airflow=airflow,
        code_revision=code_revision(folder),
        environment=model.numeric_environment(),
    )
    with recorded(ctx, run), ctx.scratch_folder() as scratch:
        path = scratch / "input.parquet"
        frozen = source.extract(ctx.source_url(folder), folder, interval, as_of, path, progress=ctx.progress)
        uri = ctx.put_frozen(frozen.path, frozen.digest.root)
        ctx.store.snapshots.add(
            model=model_name,
            kind="input",
            digest=frozen.digest.root,
            interval=interval,
            as_of=as_of,
            rows=frozen.rows,
            uri=uri,
            details=untimed_details(frozen.untimed),
        )
        ctx.archive.ensure_input(frozen.path, frozen.digest.root)
        ctx.store.runs.advance(
            run,
            "extracted",
            input_digest=frozen.digest.root,
            input_uri=uri,
            query_sha256=frozen.query_sha256,
            rows_extracted=frozen.rows,
        )
    return run.run_id


def validate_run(ctx: Context, run_id: str) -> str:
    """Run the suites on the frozen rows; set failing rows aside, stop on critical failures.

    Returns
    -------
    str
        The run's id; another one if the run had to be forked.

    Raises
    ------
    ValidationError
        A critical expectation failed, or too many rows would be set aside.
    """
    attempt, run = begin_attempt(ctx, run_id, "extracted")
    folder = ctx.model(run.model)
    with recorded(ctx, attempt):
        rows = ctx.frozen_in_file(run)
        report = validation.validate(rows, folder, suites=ctx.suites)
        report = report.noting(source_notes(ctx, run, rows, folder.spec))
        ctx.progress(f"{run.model}: {report.summary()}")
        keys = folder.spec.source.row_columns
        ctx.store.models.ensure(folder.spec, {name: rows.schema.field(name).type for name in keys})
        excluded = report.excluded(rows, keys)
        if rows.read_again:  # columns as a whole, examples, keys: by then all rows had been proved
            ctx.archive.verify_again(rows.path)
        if report.success:
            # Before the report: a fork inherits a validation that passed, and with it these rows.
            ctx.store.excluded.record(
                attempt,
                excluded,
                positions=report.excluded_positions,
                kinds=excluded["kind"].to_pylist(),
                reasons=excluded["reason"].to_pylist(),
            )
        ctx.store.reports.record_validation(attempt, report.report().to_dict())
        validation.gate(report, folder.spec)
        ctx.store.runs.advance(
            attempt, "validated", rows_quarantined=len(report.quarantined), rows_rejected=len(report.rejected)
        )
    return run.run_id


def score_run(ctx: Context, run_id: str, *, processes: int = 1, at_hand: ScoresAtHand | None = None) -> str:
    """Score the rows that passed with the pinned package, and stage the scores, invisible to readers.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    run_id : str
        A validated run.
    processes : int
        How many work beside each other where the model declares shards.
    at_hand : ScoresAtHand, optional
        Where the scores are noted for :func:`drift_run`; those of shards are not.

    Returns
    -------
    str
        The run's id; another one if the run had to be forked.

    Raises
    ------
    NotFoundError
        No package is pinned.
    IntegrityError
        The package is not what was pinned, was built in another environment, or has no signature that
        holds where the model requires one.
    """
    if ctx.model(ctx.store.runs.get(run_id).model).spec.scoring.shard_rows is not None:
        shards = split_run(ctx, run_id)
        with recorded(ctx, shards[0].run):  # here nobody tries a shard again
            score_shards(ctx, shards, processes)
            return join_shards(ctx, shards[0].run)
    attempt, run = begin_attempt(ctx, _with_rows_set_aside(ctx, run_id), "validated")
    with recorded(ctx, attempt):
        package = pinned_package(ctx, run)
        with closing(predict_run(ctx, run, package)) as scores:
            digest = ctx.store.scores.stage(
                attempt,
                scores if at_hand is None else at_hand.noting(scores),
                package_version=package.version,
                package_sha256=package.sha256,
                environment=package.numeric_environment(),  # the claim could only know the worker's
            )
        if at_hand is not None:
            at_hand.keep(digest.root)
        ctx.store.runs.advance(attempt, "scored")
    return run.run_id


def split_run(ctx: Context, run_id: str) -> list[ShardHandle]:
    """Plan the shards of a run; see :func:`rescore.pipeline.scoring.shards.plan_shards`."""
    return plan_shards(ctx, _with_rows_set_aside(ctx, run_id))


def _with_rows_set_aside(ctx: Context, run_id: str) -> str:
    """The run, or one that validated the same rows again if which were set aside went with retention."""
    return validate_run(ctx, run_id) if ctx.store.deletions.of_runs([run_id]) else run_id


def drift_run(ctx: Context, run_id: str, *, at_hand: ScoresAtHand | None = None) -> str:
    """Compare the scored rows and their scores with training; stop or hold the run as declared.

    An outage stops it where the model declares ``drift.on_outage: stop``; drift holds it, checked but
    not published, where ``drift.on_drift: hold`` is declared. A person can release either.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    run_id : str
        A run that is scored.
    at_hand : ScoresAtHand, optional
        What :func:`score_run` was given; scores that are not at hand are read from the store.

    Returns
    -------
    str
        The run's id; another one if the run had to be forked and scored again.

    Raises
    ------
    StoreError
        The run has no scores to go on from, and its model declares shards.
    OutageError
        Features are missing or constant as in no training window, and the model declares
        ``drift.on_outage: stop``.
    """
    run = ctx.store.runs.get(run_id)
    if run.state in {"checked", "published"}:
        return run_id  # the same rows and scores: the same report
    if run.state != "scored" and not run.taken_over:
        if ctx.model(run.model).spec.scoring.shard_rows is not None:
            raise StoreError(
                f"run {run_id} is {run.state}: it has no scores to go on from",
                where=f"{run.model} {run.interval}",
                expected="a run that is scored",
                fix="score its shards again: in Airflow clear from `split` on, else score the interval",
            )
        run_id = score_run(ctx, run_id, at_hand=at_hand)
    attempt = ctx.store.runs.resume(run_id, "scored")
    run = ctx.store.runs.scored(attempt)
    spec = ctx.model(run.model).spec
    declared = spec.drift
    with recorded(ctx, attempt):
        package = open_package(ctx, run.model, run.package_sha256)
        kept = ctx.kept_columns(run)
        scores = None if at_hand is None else at_hand.of(run)
        if scores is None:
            scores = ctx.store.scores.values_of_run(run)
        named = ctx.store.scores.named_of_run(run) if spec.target.kind == "multiclass" else None
        training = training_rows(ctx, package) if declared.jointly else None
        report = drift.compare(
            package.reference_profile(),
            kept,
            scores,
            declared,
            training=training,
            start=run.interval.start,
            before=rows_before(ctx, run),
            named=named,
        )
        ctx.archive.verify_again(kept.path)
        window = package.manifest.lineage.window
        report = with_alarm(ctx, run, report, Interval.parse(window) if window else None)
        ctx.progress(f"{run.model}: {report.verdict}: {report.sentence}")
        for noted in report.unsaid[:MAX_NOTES]:
            ctx.progress(f"{run.model}: {noted.name}: {noted.note}")
        ctx.store.reports.record_drift(attempt, report.to_dict())
        act_on_verdict(ctx, attempt, run, report)
        ctx.store.runs.advance(attempt, "checked")
    return run.run_id


def score_interval(
    ctx: Context,
    model_name: str,
    interval: Interval,
    as_of: datetime | None = None,
    *,
    processes: int = 1,
) -> Published:
    """All stages of one interval, one after the other; returns what :func:`publish_run` does.

    ``processes`` is :func:`score_run`'s. Nobody tries one of these attempts again: whatever fails ends the
    run, and who calls again begins another.
    """
    ctx = replace(ctx, tried_again=False)
    run_id = validate_run(ctx, begin_extract(ctx, model_name, interval, as_of))
    with ScoresAtHand(ctx.scratch) as at_hand:
        run_id = score_run(ctx, run_id, processes=processes, at_hand=at_hand)
        run_id = drift_run(ctx, run_id, at_hand=at_hand)
    return publish_run(ctx, run_id)
