"""Read what the rules decide on: what there is, and who needs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.pipeline.context import Context
from rescore.pipeline.retention.rules import Facts, FrozenTable, RunRows
from rescore.pipeline.training.window import due_window
from rescore.spec import ModelSpec
from rescore.store import Package, Run, Tombstone

__all__ = ["may_score", "read_facts"]


def read_facts(ctx: Context, now: datetime) -> Facts:
    """All that decides what is due at ``now``; only of models that have a folder."""
    folders = ctx.folders().read
    needed: dict[str, str] = {}
    last_used: dict[str, datetime] = {}
    rows: list[RunRows] = []
    buried = ctx.store.erasures.of_frozen()
    for name, folder in folders.items():  # the runs of one model at a time: a fleet has many
        runs = _activity(ctx, name)
        for digest, who in _needs(ctx, folder, runs, now):
            tombstone = buried.get(digest)
            held_as = digest if tombstone is None else tombstone.remaining or digest
            needed.setdefault(held_as, who)
        for one in runs:
            if one.run.input_digest is not None:
                digest = one.run.input_digest
                last_used[digest] = max(last_used.get(digest, one.tried_at), one.tried_at)
        rows.extend(_with_rows(ctx, runs))
    return Facts(
        retention={name: folder.spec.retention for name, folder in folders.items()},
        frozen=list(_frozen(ctx, last_used, buried)),
        runs=rows,
        needed=needed,
        holds=ctx.store.holds.all(),
    )


def may_score(ctx: Context, spec: ModelSpec) -> list[Package]:
    """The packages that score or may still: the pinned one, and all that were made after it."""
    packages, pin = ctx.store.packages.of_model(spec.name), ctx.store.pins.current(spec.name)
    if pin is None:
        return packages
    [pinned] = [package for package in packages if package.sha256 == pin.sha256]
    return [package for package in packages if package.created_at >= pinned.created_at]


@dataclass(frozen=True)
class _Active:
    """A run, when the last attempt at it began, and whether it waits for a person who can release it."""

    run: Run
    tried_at: datetime
    waits: bool

    @property
    def progress_at(self) -> datetime:
        """When it last entered a state, or an attempt at it began."""
        return max(self.tried_at, *self.run.states.values())


def _activity(ctx: Context, name: str) -> list[_Active]:
    tried, claimants = ctx.store.runs.last_attempts(name), ctx.store.runs.claimants(name)
    return [
        _Active(run, tried.get(run.run_id, run.claimed_at), run.held and run.run_id in claimants)
        for run in ctx.store.runs.of_model(name)
    ]


def _frozen(
    ctx: Context, last_used: Mapping[str, datetime], buried: Mapping[str, Tombstone]
) -> Iterable[FrozenTable]:
    """What is in the archive, or was not noted as deleted since it was used last, by each of its names."""
    named = (table for one in ctx.store.snapshots.all() for table in _tables(one, last_used))
    tables = [_held_as(table, buried) for table in named]
    gone = ctx.store.deletions.of_tables({table.digest for table in tables})
    there = ctx.archive.inputs()
    return (
        table
        for table in tables
        if table.digest in there or table.digest not in gone or gone[table.digest].at < table.frozen_at
    )


def _held_as(table: FrozenTable, buried: Mapping[str, Tombstone]) -> FrozenTable:
    """The table by the digest of its file: of one that lost rows to an erasure, that of what remains."""
    tombstone = buried.get(table.digest)
    if tombstone is None or tombstone.remaining is None:
        return table
    return replace(table, digest=tombstone.remaining, rows=table.rows - len(tombstone.erased))


def _tables(snapshot: Any, last_used: Mapping[str, datetime]) -> Iterable[FrozenTable]:
    frozen_at = max(snapshot.frozen_at, last_used.get(snapshot.digest, snapshot.frozen_at))
    what: Literal["frozen input", "training snapshot"] = (
        "frozen input" if snapshot.kind == "input" else "training snapshot"
    )
    yield FrozenTable(snapshot.digest, what, snapshot.model, snapshot.interval, frozen_at, snapshot.rows)
    # The rows without a label have a file of their own and no row of theirs among the snapshots.
    if "unlabelled_digest" in snapshot.details:
        yield FrozenTable(
            snapshot.details["unlabelled_digest"],
            what,
            snapshot.model,
            snapshot.interval,
            frozen_at,
            snapshot.details["unlabelled"],
        )


def _with_rows(ctx: Context, runs: list[_Active]) -> Iterable[RunRows]:
    gone = ctx.store.deletions.of_runs(one.run.run_id for one in runs)
    for one in runs:
        run = one.run
        if run.run_id in gone or one.waits:
            continue
        if run.publication is not None:
            if run.publication.superseded_at is not None:
                since = run.publication.superseded_at
                yield RunRows(run.run_id, "scores", run.model, run.interval, since)
        elif run.input_digest is not None:  # one that froze nothing has no rows
            yield RunRows(run.run_id, "staged rows", run.model, run.interval, one.progress_at)


def _needs(
    ctx: Context, folder: ModelFolder, runs: list[_Active], now: datetime
) -> Iterable[tuple[str, str]]:
    """Digests that are needed whatever their age, and by whom."""
    spec = folder.spec
    yield from _needed_by_packages(ctx, spec)
    for one in runs:
        why = None if one.run.input_digest is None else _needed_by_run(one, spec, now)
        if why is not None:
            yield str(one.run.input_digest), why
    if spec.training.source == "frozen_inputs":
        # Labels come later: the window may begin long before the newest intervals. Later windows begin later.
        due = due_window(spec, spec.schedule.schedule().floor(now))
        window = Interval(due[0].start, now) if due else None
        for frozen in ctx.store.runs.with_input(spec.name, window=window):
            yield frozen.input_digest, "the next training, which is from frozen inputs"


def _needed_by_packages(ctx: Context, spec: ModelSpec) -> Iterable[tuple[str, str]]:
    for package in may_score(ctx, spec):
        for digest in package.manifest.lineage.digests:
            yield digest, f"package {package.version}, which scores or may still be pinned"
    pin = ctx.store.pins.current(spec.name)
    for comparison in ctx.store.comparisons.of_model(spec.name):
        if pin is None or comparison.recorded_at > pin.pinned_at:
            yield comparison.snapshot_digest, "a comparison that no pin has followed"


def _needed_by_run(one: _Active, spec: ModelSpec, now: datetime) -> str | None:
    run = one.run
    if one.waits:
        return f"run {run.run_id}, which waits for a person"
    if run.going_on and now - one.progress_at <= spec.retention.abandoned_runs:
        return f"run {run.run_id}, which is under way"
    if run.publication is not None and run.interval.end + spec.target.delay > now:
        return f"run {run.run_id}, whose labels are not complete"
    return None
