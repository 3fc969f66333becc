"""Each request is recorded; keys and copies of an erased person go, and packages that hold rows can go."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.disk import partial_name
from rescore.errors import KeptError, StoreError
from rescore.manifest import Manifest
from rescore.sha256 import file_sha256
from rescore.store import Archive
from tests.pipeline.erasure.test_erase import HOW, WHO, erase, loans_of, traces
from tests.shared.bank import Bank, day


def known(bank: Bank, loan: int) -> bool:
    return bank.execute("SELECT count(*) FROM rescore.keys_loans WHERE loan = %s", loan) == [(1,)]


def test_a_second_request_has_its_own_ground_and_report(bank: Bank) -> None:
    first = erase(bank)
    again = bank.publish(31)  # the source still has the person
    second = erase(bank, ground="ticket 2", who="eve")
    assert second.erasure_id != first.erasure_id and second.pseudonym == first.pseudonym
    assert (len(first.frozen), len(first.rows)) == (2, 3)
    assert (len(second.frozen), list(second.rows)) == (1, [again])
    told = [(one.ground, one.asked_by, one.report) for one in bank.ctx.store.erasures.all()]
    assert told == [(HOW["ground"], HOW["who"], first.to_dict()), ("ticket 2", "eve", second.to_dict())]
    assert traces(bank, "customer-07") == []


def test_a_key_goes_with_its_last_score(bank: Bank, runs: list[str]) -> None:
    """Scored in two runs, corrected away in the third, and retention takes the rows of the first two."""
    gone, *others = sorted(loans_of(bank, 31))
    bank.execute("DELETE FROM bank.loan WHERE loan = %s", gone)
    bank.publish(31)
    with (bank.ctx.settings.models / "loans" / "model.yaml").open("a") as file:
        file.write("retention: {superseded_scores: 10d}\n")
    assert known(bank, gone)
    pipeline.sweep(bank.ctx, who="ada", now=pipeline.utc_now() + timedelta(days=11))
    assert set(runs[:2]) <= {one.subject for one in bank.ctx.store.deletions.all()}
    assert not known(bank, gone)
    assert [loan for loan in others if known(bank, loan)]
    # A store of before has the key still.
    bank.execute("INSERT INTO rescore.keys_loans VALUES (%s)", gone)
    erase(bank)
    assert not any(known(bank, loan) for loan in (gone, *others))


def test_no_copy_outlives_the_file_that_was_deleted(
    bank: Bank, runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while a remote file goes; another worker deleted a file that this one has read."""
    cache = bank.ctx.settings.home / "cache" / "archive"
    archive = Archive("memory://copies", cache=cache)
    digests = [bank.ctx.store.runs.extracted(run).input_digest for run in runs[1:]]
    for digest in digests:
        archive.put_input(bank.ctx.archive.get_input(digest), digest)
        archive.get_input(digest)
    files = archive._fs

    def killed(path: str, **how: object) -> None:
        type(files).rm(files, path, **how)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "rm", killed)
        with pytest.raises(KeyboardInterrupt):
            archive.delete_input(digests[0])
    assert len([*cache.rglob("*.parquet")]) == 1
    Archive("memory://copies", cache=tmp_path / "another").delete_input(digests[1])
    left = (
        bank.ctx.settings.home
        / "scratch"
        / partial_name("scratch").replace(f".{os.getpid()}.", ".999999999.")
    )
    left.mkdir(parents=True)
    pipeline.erase_subject(replace(bank.ctx, archive=archive), WHO, **HOW)
    assert archive.inputs() == {} and not left.exists()
    assert [*cache.rglob("*.parquet")] == []


def test_a_package_that_holds_rows_is_withdrawn(bank: Bank, tmp_path: Path) -> None:
    ctx = bank.ctx
    wheel = tmp_path / "loans-1.0.1-py3-none-any.whl"
    wheel.write_bytes(b"rows of customer-07")
    sha256 = file_sha256(wheel)
    ctx.archive.put_package(wheel, sha256)
    lineage = {"lineage": {"snapshot_digest": ctx.store.runs.with_input("loans")[0].input_digest}}
    stores = lineage | {"artifact": {"keeps_rows": [{"place": "x"}]}}
    ctx.store.packages.add("loans", "1.0.1", sha256, Manifest.from_dict(stores), "file:///x")
    why = {"who": "eve", "why": "it stores rows of an erased person"}
    hold = ctx.store.holds.place(who="eve", reason="case 7", model="loans", interval=day(31))
    other = ctx.store.holds.place(who="eve", reason="case 7", model="loans", interval=day(32))
    with pytest.raises(KeptError, match="legal hold"):
        pipeline.withdraw_package(ctx, "loans", "1.0.1", **why)
    for one in (hold, other):
        ctx.store.holds.lift(one, who="eve", reason="closed")
    with pytest.raises(KeptError, match=r"1\.0\.0 is pinned"):
        pipeline.withdraw_package(ctx, "loans", "1.0.0", **why)
    for _ in range(2):  # again changes nothing
        assert pipeline.withdraw_package(ctx, "loans", "1.0.1", **why).sha256 == sha256
    [noted] = ctx.store.deletions.all()
    assert (noted.what, noted.subject, noted.done_by, noted.bytes) == ("package", sha256, "eve", 19)
    assert ctx.archive.package_size(sha256) == 0
    with pytest.raises(StoreError, match="was withdrawn"):
        ctx.store.pins.add("loans", "1.0.1", sha256, who="ada", why="x")
    found = [str(one) for one in pipeline.verify_history(ctx, files=True).findings]
    assert not any("1.0.1" in one for one in found)
