"""Files of the archive that no table is read from: killed processes left them, backups bring them back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rescore import pipeline, source
from rescore.digest import table_digest
from rescore.errors import KeptError
from tests.pipeline.erasure.test_erase import HOW, WHO, erase, traces
from tests.shared.bank import Bank


def later(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def half(bank: Bank, run_id: str, folder: Path) -> tuple[Path, str]:
    """Rows of a run, without the last ones, as a file that is not in the archive; and their digest."""
    rows = bank.ctx.frozen_rows(bank.ctx.store.runs.extracted(run_id))
    rows, path = rows.slice(0, rows.num_rows - 1), folder / "half.parquet"
    with source.Freezer(path, rows.schema, where="half") as freezer:
        freezer.write(rows.combine_chunks().to_batches()[0])
        return path, freezer.keep().root


def test_what_a_killed_writer_left_is_swept_after_a_day(bank: Bank, runs: list[str], tmp_path: Path) -> None:
    """It was killed between putting the file and recording it."""
    path, digest = half(bank, runs[0], tmp_path)
    bank.ctx.put_frozen(path, digest)
    before = bank.ctx.archive.inputs()
    assert pipeline.sweep(bank.ctx, who="ada", now=later(0.9)) == []
    [shown] = pipeline.sweep(bank.ctx, who="ada", now=later(1.1), dry_run=True)
    assert (shown.what, shown.subject, shown.bytes) == ("stray file", digest, before[digest])
    assert digest in bank.ctx.archive.inputs()
    [gone] = pipeline.sweep(bank.ctx, who="ada", now=later(1.1))
    assert gone == shown
    assert bank.ctx.archive.inputs().keys() == before.keys() - {digest}
    [noted] = bank.ctx.store.deletions.all()
    assert (noted.what, noted.subject, noted.done_by) == ("stray file", digest, "ada")
    assert pipeline.sweep(bank.ctx, who="ada", now=later(1.1)) == []
    assert pipeline.verify_history(bank.ctx).findings == ()


def test_a_person_is_erased_from_what_a_killed_writer_left(
    bank: Bank, runs: list[str], tmp_path: Path
) -> None:
    path, digest = half(bank, runs[0], tmp_path)
    bank.ctx.put_frozen(path, digest)
    path.unlink()
    shown = [one for one in pipeline.show_subject(bank.ctx, WHO) if one.what == "stray file"]
    assert {one.values["customer"] for one in shown} == {"customer-07"}
    assert erase(bank, dry_run=True).strays == [digest]
    assert digest in bank.ctx.archive.inputs()
    done = erase(bank)
    assert done.strays == [digest]
    assert traces(bank, "customer-07") == []
    assert bank.ctx.store.erasures.all()[0].report == done.to_dict()


def test_a_table_that_is_being_frozen_is_named(bank: Bank, runs: list[str]) -> None:
    digest = "sha256:" + "a" * 64
    bank.ctx.store.snapshots.begin(digest)
    assert any(digest in one and "is being frozen" in one for one in erase(bank, dry_run=True).passed_over)


def test_a_file_that_an_erasure_replaced_and_a_backup_brought_back(
    bank: Bank, runs: list[str], tmp_path: Path
) -> None:
    """The restore named it; verify does, and the next sweep takes it."""
    ctx = bank.ctx
    digest = str(ctx.store.runs.extracted(runs[0]).input_digest)
    kept = tmp_path / "kept.parquet"
    kept.write_bytes(ctx.archive.get_input(digest).read_bytes())
    erase(bank)
    ctx.archive.put_input(kept, digest)
    kept.unlink()
    found = [str(one) for one in pipeline.verify_history(ctx, files=True).findings]
    assert any(digest in one and "erased rows again" in one for one in found)
    assert traces(bank, "customer-07")
    assert {one.subject for one in pipeline.sweep(ctx, who="ada", now=later(1.1))} == {digest}
    assert traces(bank, "customer-07") == []
    found = [str(one) for one in pipeline.verify_history(ctx, scores=True, files=True).findings]
    assert [one for one in found if "package" not in one] == []
    assert pipeline.show_subject(ctx, WHO) == []


def test_a_file_that_this_store_does_not_know_is_anothers(
    bank: Bank, runs: list[str], tmp_path: Path
) -> None:
    path, digest = half(bank, runs[0], tmp_path)
    bank.ctx.archive.put_input(path, digest)
    pipeline.sweep(bank.ctx, who="ada", now=later(2))
    done = erase(bank)
    assert any(digest in one and "nothing in this store names it" in one for one in done.passed_over)
    assert done.strays == []
    assert digest in bank.ctx.archive.inputs()


def test_a_damaged_file_is_named_and_stops_nobody(bank: Bank, runs: list[str], tmp_path: Path) -> None:
    path, digest = half(bank, runs[0], tmp_path)
    bank.ctx.put_frozen(path, digest)
    damaged = bank.ctx.archive.get_input(digest)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    assert pipeline.show_subject(bank.ctx, WHO)
    done = erase(bank)
    assert any(digest in one and "damaged" in one for one in done.passed_over)
    assert done.strays == []


def test_a_stray_that_is_frozen_again_meanwhile_stays(bank: Bank, runs: list[str], tmp_path: Path) -> None:
    """Between a sweep's list and its deletion somebody began to freeze the same rows."""
    path, digest = half(bank, runs[0], tmp_path)
    bank.ctx.put_frozen(path, digest)
    since = bank.ctx.store.deletions.strays({digest})[digest]
    bank.ctx.put_frozen(path, digest)
    with pytest.raises(KeptError, match="is needed"):
        bank.ctx.store.deletions.delete_stray(
            digest, since=since, rule="x", done_by="ada", size=1, delete=lambda: None
        )


def test_an_erased_stray_that_somebody_was_freezing_is_named(
    bank: Bank, runs: list[str], tmp_path: Path
) -> None:
    path, digest = half(bank, runs[0], tmp_path)
    bank.ctx.put_frozen(path, digest)
    done = erase(bank)
    assert done.strays == [digest]
    assert any(digest in one and "is being frozen" in one for one in done.passed_over)


def test_what_was_recorded_meanwhile_or_is_held_stays(bank: Bank, runs: list[str], tmp_path: Path) -> None:
    ctx = bank.ctx
    digest = str(ctx.store.runs.extracted(runs[0]).input_digest)
    ctx.store.snapshots.begin(digest)  # somebody freezes the same rows again
    assert ctx.store.deletions.strays(ctx.archive.inputs()) == {}

    def never() -> None:
        raise AssertionError("a file that is needed was deleted")

    with pytest.raises(KeptError, match="is needed"):
        ctx.store.deletions.delete_stray(
            digest, since=later(0), rule="x", done_by="ada", size=1, delete=never
        )
    path, stray = half(bank, runs[0], tmp_path)
    ctx.put_frozen(path, stray)
    ctx.store.holds.place(who="eve", reason="case 7")
    assert pipeline.sweep(ctx, who="ada", now=later(2)) == []
    with pytest.raises(KeptError, match="legal hold"):
        ctx.store.deletions.delete_stray(stray, since=later(0), rule="x", done_by="ada", size=1, delete=never)
    assert table_digest(source.read_frozen(ctx.archive.get_input(stray), stray)).root == stray


def test_a_model_folder_that_cant_be_read_stops_nobody_else(bank: Bank, runs: list[str]) -> None:
    """Its rows stay and it is named: what it says of people and periods is not known."""
    broken = bank.ctx.settings.models / "broken"
    broken.mkdir()
    (broken / "model.yaml").write_text("name: [")
    done = pipeline.erase_subject(bank.ctx, WHO, **HOW)
    assert any(one.startswith("model broken: its folder") for one in done.passed_over)
    assert traces(bank, "customer-07") == []
    said: list[str] = []
    ctx = replace(bank.ctx, progress=said.append)
    assert pipeline.sweep(ctx, who="ada", now=later(500))
    assert any("broken: all of it is kept" in line for line in said)
