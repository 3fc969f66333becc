"""Retention deletes what is declared and nothing else; what is gone is said where it is missed."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import event

from rescore import pipeline
from rescore.cli import main
from rescore.errors import NotFoundError, StoreError
from rescore.manifest import Manifest
from rescore.pipeline.retention import sweep as sweeping
from rescore.sha256 import bytes_sha256
from rescore.store import Archive
from tests.shared.bank import Bank, day

WHO = "the operator"


def later(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def swept(bank: Bank, days: float, **how: Any) -> list[tuple[str, str]]:
    return [(one.what, one.subject) for one in pipeline.sweep(bank.ctx, who=WHO, now=later(days), **how)]


def command(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


def digests(bank: Bank, runs: list[str]) -> list[str]:
    return [bank.ctx.store.runs.extracted(run).input_digest for run in runs]


def test_nothing_is_past_its_time_at_first(bank: Bank) -> None:
    assert swept(bank, 0) == swept(bank, 9) == []
    assert bank.ctx.store.deletions.all() == []


def test_superseded_scores_go_and_current_ones_stay(bank: Bank, runs: list[str]) -> None:
    first, current, *_ = runs
    assert swept(bank, 11, dry_run=True) == [("scores", first)]
    assert bank.ctx.store.scores.of_run(first).num_rows
    assert swept(bank, 11) == [("scores", first)]
    assert bank.ctx.store.scores.of_run(first).num_rows == 0
    assert bank.ctx.store.scores.of_run(current).num_rows
    assert swept(bank, 11) == []
    [noted] = bank.ctx.store.deletions.all("loans")
    assert (noted.subject, noted.done_by) == (first, WHO)
    assert noted.rule == "retention.superseded_scores: 10 days"
    run = bank.ctx.store.runs.scored(first)
    assert noted.rows == run.rows_scored + run.rows_quarantined
    with pytest.raises(StoreError, match="are needed: it is published or waits"):
        bank.ctx.store.deletions.delete_rows(current, rule="mine", done_by=WHO)
    verified = pipeline.verify_history(bank.ctx, scores=True)
    assert verified.findings == ()
    assert [entry.content["row"]["subject"] for entry in bank.ctx.store.chain.about("deletion")] == [first]
    done = pipeline.reproduce_run(bank.ctx, first)
    assert done.verdict == "not_rederivable"
    assert "its rows in the score table were deleted on" in done.reason
    assert "(retention.superseded_scores: 10 days)" in done.reason


def test_frozen_inputs_go_and_reproducing_says_so(bank: Bank, runs: list[str]) -> None:
    inputs = digests(bank, runs)
    assert len(set(inputs)) == 3
    gone = swept(bank, 31)
    assert {subject for what, subject in gone if what == "frozen input"} == set(inputs)
    assert bank.ctx.archive.inputs() == {}
    for digest in inputs:
        with pytest.raises(NotFoundError):
            bank.ctx.archive.get_input(digest)
    assert bank.execute("SELECT count(*) FROM scores.loans") != [(0,)]
    bank.execute("DROP TABLE bank.loan CASCADE")
    done = pipeline.reproduce_run(bank.ctx, runs[-1])
    assert done.verdict == "not_rederivable"
    assert "the frozen input is gone: deleted on" in done.reason
    assert "(retention.frozen_inputs: 30 days)" in done.reason
    found = pipeline.verify_history(bank.ctx, files=True).findings
    assert all("frozen" not in str(finding) and "input" not in str(finding) for finding in found)


def partitions(bank: Bank) -> list[str]:
    return [
        str(name)
        for (name,) in bank.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'rescore.scores_loans'::regclass ORDER BY 1"
        )
    ]


def test_partitions_are_made_ahead_and_dropped_whole(bank: Bank, runs: list[str]) -> None:
    """One of a decade ago stays while a score is in it, while somebody stages, and while somebody reads."""
    (current,) = partitions(bank)
    bank.execute(
        "SELECT rescore.ensure_partition('loans', '2010-03-01');"
        "INSERT INTO rescore.scores_loans (run_id, loan, asked_at, score)"
        " SELECT run_id, 1, '2010-03-05Z', 0.5 FROM rescore.run WHERE run_id = %s",
        runs[0],
    )
    [old] = set(partitions(bank)) - {current}
    assert swept(bank, 0) == [], "a score is in it"
    bank.execute(
        "SET session_replication_role = replica;"
        "DELETE FROM rescore.scores_loans WHERE asked_at < '2011-01-01'"
    )
    attempt = bank.ctx.store.runs.get(pipeline.begin_extract(bank.ctx, "loans", day(34))).handle
    bank.execute(
        "INSERT INTO rescore.staging (table_name, run_id, fence) VALUES ('staged_x', %s, %s)",
        *(attempt.run_id, attempt.fence),
    )
    assert swept(bank, 0) == [], "somebody stages"
    bank.execute("DELETE FROM rescore.staging")
    reader = psycopg2.connect(bank.url)
    with reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM scores.loans")
        assert swept(bank, 0) == [], "somebody reads"
    reader.close()
    assert swept(bank, 0, dry_run=True) == []
    assert old in partitions(bank)
    assert swept(bank, 0) == [("partition", old.rpartition(".")[2])]
    assert partitions(bank) == [current]
    assert bank.ctx.store.scores.of_run(runs[1]).num_rows
    assert pipeline.verify_history(bank.ctx, scores=True).findings == ()

    bank.execute(
        f"ALTER TABLE rescore.scores_loans DETACH PARTITION {current}; ALTER TABLE {current} RENAME TO x"
    )
    assert swept(bank, 0) == []
    assert len(partitions(bank)) == 1, "that of the month to come is there before anybody stages"


def test_a_legal_hold_keeps_what_it_covers_until_it_is_lifted(
    bank: Bank, runs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESCORE_HOME", str(bank.ctx.settings.home))
    monkeypatch.setenv("RESCORE_MODELS", str(bank.ctx.settings.models))
    monkeypatch.setenv("RESCORE_DATABASE_URL", str(bank.ctx.settings.database_url))
    monkeypatch.setenv("RESCORE_RELEASE_URL", str(bank.ctx.settings.release_url))
    start, end = day(31).start.isoformat(), day(31).end.isoformat()
    command(
        ["retention", "hold", "loans", "--reason", "case 7", "--who", "eve", "--start", start, "--end", end]
    )
    held = digests(bank, runs)[0]
    assert held not in {subject for _, subject in swept(bank, 31)}
    assert bank.ctx.archive.get_input(held).is_file()
    assert bank.ctx.store.scores.of_run(runs[0]).num_rows
    command(["retention", "holds"])
    command(["retention", "lift", "1", "--reason", "closed", "--who", "eve"])
    assert "eve" in capsys.readouterr().out
    assert {subject for _, subject in swept(bank, 31)} == {held, runs[0]}
    with pytest.raises(NotFoundError, match="no legal hold 1"):
        bank.ctx.store.holds.lift(1, who="eve", reason="again")


def test_runs_that_were_abandoned_lose_their_rows(bank: Bank, runs: list[str]) -> None:
    ctx = bank.ctx
    lost = pipeline.begin_extract(ctx, "loans", day(34))
    assert ("staged rows", lost) not in swept(bank, 6)
    assert ("staged rows", lost) in swept(bank, 8)
    ended = ctx.store.runs.get(lost)
    assert ended.state == "failed"
    assert "abandoned" in (ended.error or {})["message"]
    assert pipeline.verify_history(ctx).findings == ()


def test_what_a_package_or_an_open_comparison_needs_stays(bank: Bank, tmp_path: Path) -> None:
    ctx = bank.ctx
    source = ctx.archive.get_input(digests(bank, [ctx.store.runs.published("loans")[0].run_id])[0])
    names = {
        name: f"sha256:{letter * 64}"
        for name, letter in (("labelled", "1"), ("unlabelled", "2"), ("old", "3"))
    }
    for digest in names.values():
        copied = tmp_path / "copy.parquet"
        shutil.copyfile(source, copied)
        ctx.archive.put_input(copied, digest)
    for name, details in (
        ("labelled", {"unlabelled": 7, "unlabelled_digest": names["unlabelled"]}),
        ("old", {}),
    ):
        ctx.store.snapshots.add(
            model="loans",
            kind="training",
            digest=names[name],
            interval=day(1),
            as_of=day(1).end,
            rows=5,
            uri="file:///x",
            details=details,
        )
    lineage = {"snapshot_digest": names["labelled"], "snapshot": {"unlabelled_digest": names["unlabelled"]}}
    ctx.store.packages.add(
        "loans", "1.0.1", "sha256:" + "e" * 64, Manifest.from_dict({"lineage": lineage}), "file:///x"
    )
    gone = {subject for _, subject in swept(bank, 31)}
    assert names["old"] in gone
    assert names["labelled"] not in gone and names["unlabelled"] not in gone
    ctx.store.packages.add("loans", "1.0.2", "sha256:" + "f" * 64, Manifest(), "file:///y")
    ctx.store.pins.add("loans", "1.0.2", "sha256:" + "f" * 64, who="ada", why="better")
    gone = {subject for _, subject in swept(bank, 31)}
    assert {names["labelled"], names["unlabelled"]} <= gone  # the file with no row of its own, too


@pytest.mark.parametrize("stop", range(4))
def test_a_crash_in_the_middle_is_gone_on_from(
    bank: Bank, runs: list[str], monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Killed between a file and its row, at each of the things to delete."""
    before, done = set(swept(bank, 31, dry_run=True)), []
    delete = Archive.delete_input

    def kill(self: Archive, digest: str) -> None:
        delete(self, digest)
        done.append(digest)
        if len(done) == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(Archive, "delete_input", kill)
    if stop:
        with pytest.raises(KeyboardInterrupt):
            swept(bank, 31)
    swept(bank, 31)
    noted = [(one.what, one.subject) for one in bank.ctx.store.deletions.all()]
    assert set(noted) == before
    assert len(noted) == len(before)
    assert swept(bank, 31) == []


def test_a_second_deletion_that_crashed_is_noted(
    bank: Bank, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted, frozen again, due again; killed between the files and the row."""
    swept(bank, 31)
    [digest] = digests(bank, [bank.publish(33)])
    delete = Archive.delete_input

    def kill(self: Archive, one: str) -> None:
        delete(self, one)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "delete_input", kill)
        with pytest.raises(KeyboardInterrupt):
            swept(bank, 62)
    assert ("frozen input", digest) in swept(bank, 62)
    assert [one.subject for one in bank.ctx.store.deletions.all()].count(digest) == 2


def test_environments_of_packages_that_nobody_can_score_with_go(
    bank: Bank, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used, unused = (bank.ctx.environments / (letter * 64) for letter in "ab")
    for folder in (used, unused):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"12345")
    monkeypatch.setattr(sweeping, "_used_environments", lambda ctx: iter([used]))
    [one] = pipeline.sweep(bank.ctx, who=WHO)
    assert (one.what, one.subject, one.bytes) == ("environment", str(unused), 5)
    assert used.is_dir() and not unused.exists()


def test_what_scores_is_asked_once_however_many_packages_there_are(bank: Bank, runs: list[str]) -> None:
    """A fleet has thousands of packages, and hundreds of thousands of runs."""

    def asked() -> tuple[list[str], list[Path]]:
        statements: list[str] = []

        def listen(*given: Any) -> None:
            statements.append(given[2])

        event.listen(bank.ctx.store.database.engine, "before_cursor_execute", listen)
        used = [*sweeping._used_environments(bank.ctx)]
        event.remove(bank.ctx.store.database.engine, "before_cursor_execute", listen)
        return statements, used

    store, pinned = bank.ctx.store, bank.ctx.store.pins.current("loans")
    assert pinned is not None
    assert store.runs.packages_of_inputs(bank.ctx.archive.inputs()) == {pinned.sha256}
    assert store.runs.packages_of_inputs(["sha256:" + 64 * "0"]) == set()
    few, used = asked()
    for number in range(10):
        sha256 = bytes_sha256(str(number).encode())
        store.packages.add("loans", f"9.{number}.0", sha256, Manifest(seed=1), "file:///gone.whl")
    assert asked() == (few, used)
    assert not any("run_state" in one for one in few), "no run is loaded"


def test_a_model_without_a_folder_loses_nothing(bank: Bank, runs: list[str]) -> None:
    shutil.rmtree(bank.ctx.settings.models / "loans")
    assert swept(bank, 4000) == []


def test_the_loss_of_rows_that_were_frozen_again_is_found(bank: Bank, runs: list[str]) -> None:
    """That they were deleted once excuses nothing."""

    def lost() -> list[str]:
        findings = pipeline.verify_history(bank.ctx, files=True).findings
        return [str(one) for one in findings if "package" not in one.where]

    swept(bank, 31)
    assert lost() == []
    [digest] = digests(bank, [bank.publish(33)])
    assert lost() == []
    bank.ctx.archive.delete_input(digest)
    [found] = lost()
    assert "the archive has no file of it" in found and digest in found
