"""Between the look at what is due and its deletion: holds, rows in use again, and retries are seen."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from rescore import pipeline
from rescore.disk import partial_name
from rescore.errors import StoreError
from rescore.manifest import Manifest
from rescore.store import Store
from tests.shared.bank import Bank, day

WHO = "the operator"


def later(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def digests(bank: Bank, runs: list[str]) -> list[str]:
    return [bank.ctx.store.runs.extracted(run).input_digest for run in runs]


def sweep_with(bank: Bank, act: Any) -> set[str]:
    """Sweep after 31 days; ``act`` after the first deletion."""
    acted: list[str] = []

    def progress(line: str) -> None:
        if not acted:
            acted.append(line)
            act()

    done = pipeline.sweep(replace(bank.ctx, progress=progress), who=WHO, now=later(31))
    return {one.subject for one in done}


def test_a_hold_placed_during_a_sweep_keeps_the_rest(bank: Bank, runs: list[str]) -> None:
    first, *rest = dict.fromkeys(digests(bank, runs))
    gone = sweep_with(bank, lambda: bank.ctx.store.holds.place(who="eve", reason="case 7", model="loans"))
    assert gone == {first}
    assert bank.ctx.archive.inputs().keys() == set(rest)
    assert bank.ctx.store.scores.of_run(runs[0]).num_rows


def test_rows_frozen_again_during_a_sweep_stay(bank: Bank, runs: list[str]) -> None:
    again = digests(bank, runs)[-1]
    gone = sweep_with(bank, lambda: pipeline.begin_extract(bank.ctx, "loans", day(33)))
    assert again not in gone
    assert bank.ctx.archive.get_input(again).is_file()
    assert len(gone) == 3


def test_a_table_deleted_just_before_it_is_recorded_is_put_again(
    bank: Bank, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add = type(bank.ctx.store.snapshots).add

    def swept_before(self: Any, **what: Any) -> None:
        bank.ctx.archive.delete_input(what["digest"])
        add(self, **what)

    monkeypatch.setattr(type(bank.ctx.store.snapshots), "add", swept_before)
    run = pipeline.begin_extract(bank.ctx, "loans", day(33))
    assert bank.ctx.archive.get_input(digests(bank, [run])[0]).is_file()


def test_without_the_right_no_file_goes(bank: Bank) -> None:
    before = bank.ctx.archive.inputs()
    settings = bank.ctx.settings
    unused = bank.ctx.environments / ("b" * 64)
    unused.mkdir(parents=True)
    mine = replace(bank.ctx, store=Store(str(settings.database_url)))
    for days in (31, 0):  # at first a table is due, then the environment alone
        with pytest.raises(StoreError, match="permission denied"):
            pipeline.sweep(mine, who=WHO, now=later(days))
    mine.store.close()
    assert unused.is_dir()
    assert bank.ctx.archive.inputs() == before


def test_what_the_next_training_reads_stays_though_its_labels_come_late(bank: Bank, runs: list[str]) -> None:
    """The window of two days ends long before the newest two inputs."""
    oldest, *_, newest = dict.fromkeys(digests(bank, runs))
    now = later(31)
    delay = (now - day(33).start).days * 24  # as of today labels of day 32 are due, those of day 33 not
    path = bank.ctx.settings.models / "loans" / "model.yaml"
    declared = path.read_text().replace("delay: 48h", f"delay: {delay}h")
    path.write_text(declared.replace("{intervals: 30,", "{from: frozen_inputs, intervals: 2,"))
    schedule = bank.ctx.model("loans").spec.schedule.schedule()
    assert schedule.last_intervals(schedule.floor(now) - timedelta(hours=delay), 2) == [day(31), day(32)]
    gone = {one.subject for one in pipeline.sweep(bank.ctx, who=WHO, now=now, dry_run=True)}
    assert oldest not in gone
    assert newest not in gone  # its labels are not complete


def test_frozen_training_rows_begin_anew(bank: Bank) -> None:
    snapshot = bank.ctx.store.snapshots.all()[-1]
    bank.ctx.store.snapshots.add(
        model=snapshot.model,
        kind=snapshot.kind,
        digest=snapshot.digest,
        interval=snapshot.interval,
        as_of=snapshot.as_of,
        rows=snapshot.rows,
        uri=snapshot.uri,
    )
    [again] = [one for one in bank.ctx.store.snapshots.all() if one.created_at == snapshot.created_at]
    assert again.frozen_at > again.created_at
    assert pipeline.verify_history(bank.ctx).findings == ()


def test_a_run_that_is_tried_again_keeps_its_rows(bank: Bank) -> None:
    ctx = bank.ctx
    run = ctx.store.runs.get(pipeline.begin_extract(ctx, "loans", day(34)))
    entered = max(run.states.values())
    ctx.store.runs.resume(run, "extracted")
    # Seven days after the state, not yet seven after the retry.
    done = pipeline.sweep(ctx, who=WHO, now=entered + timedelta(days=7, microseconds=1))
    assert run.run_id not in {one.subject for one in done}
    assert ctx.store.runs.get(run.run_id).state == "extracted"


def test_a_held_run_that_was_taken_over_is_an_abandoned_one(bank: Bank) -> None:
    ctx = bank.ctx
    held = bank.check(34)
    ctx.store.runs.hold(ctx.store.runs.get(held).handle, "drifted")
    assert held not in {one.subject for one in pipeline.sweep(ctx, who=WHO, now=later(8), dry_run=True)}
    ctx.store.runs.claim("loans", day(34), day(34).end)
    assert held in {one.subject for one in pipeline.sweep(ctx, who=WHO, now=later(8))}
    assert ctx.store.runs.get(held).state == "failed"
    assert ctx.store.scores.of_run(held).num_rows == 0


def test_a_package_that_is_pinned_back_during_a_sweep_keeps_its_training_rows(
    bank: Bank, runs: list[str]
) -> None:
    ctx = bank.ctx
    first, *rest = dict.fromkeys(digests(bank, runs))
    trained_on = rest[-1]  # of the same file as an input: the later in the sweep's order
    trained = Manifest.from_dict({"lineage": {"snapshot_digest": trained_on}})
    ctx.store.packages.add("loans", "1.0.1", "sha256:" + "e" * 64, trained, "file:///x")
    ctx.store.packages.add("loans", "1.0.2", "sha256:" + "f" * 64, Manifest(), "file:///y")
    pin = partial(ctx.store.pins.add, "loans", who="ada", why="better")
    pin(version="1.0.2", sha256="sha256:" + "f" * 64)
    gone = sweep_with(bank, lambda: pin(version="1.0.1", sha256="sha256:" + "e" * 64))
    assert first in gone and trained_on not in gone
    assert ctx.archive.get_input(trained_on).is_file()


def test_what_a_killed_process_left_goes(bank: Bank, runs: list[str]) -> None:
    nobody = partial_name("x").replace(f".{os.getpid()}.", f".{2**22 + 1}.")  # no process has such an id
    home = bank.ctx.settings.home
    copied = bank.ctx.archive.get_input(digests(bank, runs)[0]).with_name(nobody)
    removed = bank.ctx.environments / f".{'a' * 64}.deleted"
    for path in (copied, home / "scratch" / nobody / "input.parquet", removed / "file"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"rows")
    pipeline.sweep(bank.ctx, who=WHO, dry_run=True)
    assert copied.exists() and removed.exists()
    pipeline.sweep(bank.ctx, who=WHO)
    assert not copied.exists() and not removed.exists()
    assert not (home / "scratch" / nobody).exists()
