"""Read what the rules decide on: what there is, and who needs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from rescore.folder import ModelFolder
from rescore.pipeline.context import Context
from rescore.pipeline.retention.rules import Facts, FrozenTable, RunRows
from rescore.spec import ModelSpec
from rescore.store import Package, Run, Tombstone

__all__ = ["may_score", "read_facts"]


def read_facts(ctx: Context, now: datetime) -> Facts:
    """All that decides what is due at ``now``; only of models that have a folder."""
    folders = {name: ctx.model(name) for name in ctx.models()}
    runs = {name: ctx.store.runs.of_model(name) for name in folders}
    needed: dict[str, str] = {}
    buried = ctx.store.erasures.of_frozen()
    for name, folder in folders.items():
        for digest, who in _needs(ctx, folder, runs[name], now):
            tombstone = buried.get(digest)
            held_as = digest if tombstone is None else tombstone.remaining or digest
            needed.setdefault(held_as, who)
    return Facts(
        retention={name: folder.spec.retention for name, folder in folders.items()},
        frozen=list(_frozen(ctx, runs)),
        runs=[rows for name in folders for rows in _with_rows(ctx, runs[name])],
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


def _frozen(ctx: Context, runs: Mapping[str, list[Run]]) -> Iterable[FrozenTable]:
    """What is in the archive or was never noted as deleted, by each of its names."""
    last_used: dict[str, datetime] = {}
    for run in (run for some in runs.values() for run in some):
        if run.input_digest is not None:
            last_used[run.input_digest] = max(last_used.get(run.input_digest, run.claimed_at), run.claimed_at)
    buried = ctx.store.erasures.of_frozen()
    named = (table for one in ctx.store.snapshots.all() for table in _tables(one, last_used))
    tables = [_held_as(table, buried) for table in named]
    gone = ctx.store.deletions.last_of({table.digest for table in tables})
    there = ctx.archive.inputs()
    return (table for table in tables if table.digest in there or table.digest not in gone)


def _held_as(table: FrozenTable, buried: Mapping[str, Tombstone]) -> FrozenTable:
    """The table by the digest of its file: of one that lost rows to an erasure, that of what remains."""
    tombstone = buried.get(table.digest)
    if tombstone is None or tombstone.remaining is None:
        return table
    return replace(table, digest=tombstone.remaining, rows=table.rows - len(tombstone.erased))


def _tables(snapshot: Any, last_used: Mapping[str, datetime]) -> Iterable[FrozenTable]:
    frozen_at = max(snapshot.created_at, last_used.get(snapshot.digest, snapshot.created_at))
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


def _with_rows(ctx: Context, runs: list[Run]) -> Iterable[RunRows]:
    gone = ctx.store.deletions.last_of(run.run_id for run in runs)
    for run in runs:
        if run.run_id in gone or run.held:
            continue
        if run.publication is not None:
            if run.publication.superseded_at is not None:
                since = run.publication.superseded_at
                yield RunRows(run.run_id, "scores", run.model, run.interval, since)
        elif run.input_digest is not None:  # one that froze nothing has no rows
            yield RunRows(run.run_id, "staged rows", run.model, run.interval, max(run.states.values()))


def _needs(ctx: Context, folder: ModelFolder, runs: list[Run], now: datetime) -> Iterable[tuple[str, str]]:
    """Digests that are needed whatever their age, and by whom."""
    spec = folder.spec
    yield from _needed_by_packages(ctx, spec)
    for run in runs:
        why = None if run.input_digest is None else _needed_by_run(run, spec, now)
        if why is not None:
            yield str(run.input_digest), why
    if spec.training.source == "frozen_inputs":
        for frozen in ctx.store.runs.with_input(spec.name, last=spec.training.intervals):
            yield frozen.input_digest, "the next training, which is from frozen inputs"


def _needed_by_packages(ctx: Context, spec: ModelSpec) -> Iterable[tuple[str, str]]:
    for package in may_score(ctx, spec):
        lineage = package.manifest.get("lineage") or {}
        unlabelled = (lineage.get("snapshot") or {}).get("unlabelled_digest")
        for digest in (lineage.get("snapshot_digest"), unlabelled):
            if digest is not None:
                yield digest, f"package {package.version}, which scores or may still be pinned"
    pin = ctx.store.pins.current(spec.name)
    for comparison in ctx.store.comparisons.of_model(spec.name):
        if pin is None or comparison.recorded_at > pin.pinned_at:
            yield comparison.snapshot_digest, "a comparison that no pin has followed"


def _needed_by_run(run: Run, spec: ModelSpec, now: datetime) -> str | None:
    if run.held:
        return f"run {run.run_id}, which waits for a person"
    if run.going_on and now - max(run.states.values()) <= spec.retention.abandoned_runs:
        return f"run {run.run_id}, which is under way"
    if run.publication is not None and run.interval.end + spec.target.delay > now:
        return f"run {run.run_id}, whose labels are not complete"
    return None
