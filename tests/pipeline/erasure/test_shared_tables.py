"""One file, several names: what an erasure left was frozen as it is, or other models froze the same rows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from rescore import pipeline
from rescore.errors import KeptError, ParameterError, StoreUnavailableError
from rescore.manifest import Manifest
from rescore.pipeline.erasure import erase as erasing
from rescore.sha256 import bytes_sha256
from rescore.store import Archive
from tests.pipeline.erasure.test_erase import OTHER, WHO, erase, loans_of, traces
from tests.shared.bank import MODEL, Bank, day

NUMBER = 33
LOST = "DELETE FROM bank.loan WHERE customer = 'customer-07'"


def scored(bank: Bank, remainder: int, number: int = NUMBER) -> int:
    """How many scores there are of a customer's loans of a day."""
    query = "SELECT count(*) FROM rescore.scores_loans WHERE loan %% 40 = %s AND loan / 240 = %s"
    [(count,)] = bank.execute(query, remainder, number)
    return int(count)


def apart(bank: Bank) -> list[str]:
    findings = pipeline.verify_history(bank.ctx, scores=True, files=True).findings
    return [str(one) for one in findings if "package" not in one.where]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["whole", "rest"])
def test_what_an_erasure_left_may_be_frozen_as_it_is(bank: Bank, first: str) -> None:
    """The guide's order: erase in the source, score again; and the other one, where a row came late."""
    if first == "whole":
        whole = bank.publish(NUMBER)
        erase(bank)
        bank.execute(LOST)
        rest = bank.publish(NUMBER)
    else:
        bank.execute("CREATE TABLE bank.late AS SELECT * FROM bank.loan WHERE customer = 'customer-07'")
        bank.execute(LOST)
        rest = bank.publish(NUMBER)
        bank.execute("INSERT INTO bank.loan SELECT * FROM bank.late; DROP TABLE bank.late")
        whole = bank.publish(NUMBER)
        erase(bank)
    runs = bank.ctx.store.runs
    digest = runs.extracted(rest).input_digest
    left = bank.ctx.store.erasures.of_frozen()[runs.extracted(whole).input_digest]
    assert left.remaining == digest, "one file, two names"
    assert scored(bank, 11)
    done = erase(bank, OTHER)
    assert {whole, rest} <= set(done.rows) and done.unsearched == []
    assert scored(bank, 11) == 0 and traces(bank, "customer-11") == []
    assert bank.ctx.frozen_rows(runs.extracted(rest)).num_rows == 228
    assert apart(bank) == []


@pytest.fixture
def arrears(bank: Bank) -> tuple[Bank, str, str]:
    """A retired model, without a folder, that froze the same rows; a run of it and of the other."""
    ctx, other = bank.ctx, "arrears"
    folder = shutil.copytree(ctx.settings.models / MODEL, ctx.settings.models / other)
    file = folder / "model.yaml"
    file.write_text(file.read_text().replace(f"name: {MODEL}", f"name: {other}"))
    ctx.store.models.ensure(
        ctx.model(other).spec, {"loan": pa.int32(), "asked_at": pa.timestamp("us", tz="UTC")}
    )
    run_id, _, scores = bank.validate(NUMBER, other)
    package = {"package_version": "1.0.0", "package_sha256": bytes_sha256(b"arrears")}
    ctx.store.packages.add(other, "1.0.0", package["package_sha256"], Manifest(), "file:///arrears.whl")
    ctx.store.scores.stage(ctx.store.runs.get(run_id), scores, **package)
    shutil.rmtree(folder)
    return bank, run_id, bank.publish(NUMBER)


def test_a_retired_model_loses_the_rows_that_it_shares(arrears: tuple[Bank, str, str]) -> None:
    bank, other, own = arrears
    assert {other, own} <= set(erase(bank, dry_run=True).rows)
    assert {other, own} <= set(erase(bank).rows)
    for run in (other, own):
        left = bank.ctx.store.scores.of_run(run)["loan"].to_pylist()
        assert left and not loans_of(bank, NUMBER) & set(left)


def test_a_legal_hold_by_any_name_of_a_table_stands_in_the_way(arrears: tuple[Bank, str, str]) -> None:
    bank, _, _ = arrears
    bank.ctx.store.holds.place(who="eve", reason="case 7", model="arrears", interval=day(NUMBER))
    with pytest.raises(ParameterError, match="1 legal hold covers rows"):
        erase(bank)


def test_a_hold_that_is_placed_meanwhile_keeps_what_it_covers(bank: Bank) -> None:
    """The newest day goes first."""
    store = bank.ctx.store

    def hold(said: str) -> None:
        if "rows erased" in said and not store.holds.all():
            store.holds.place(who="eve", reason="case 7", model=MODEL, interval=day(31))

    before = scored(bank, 7, 31)
    held = replace(bank, ctx=replace(bank.ctx, progress=hold))
    with pytest.raises(KeptError, match="legal hold 1 keeps"):
        erase(held)
    assert (scored(bank, 7, 31), scored(bank, 7, 32)) == (before, 0)
    assert len(store.erasures.of_frozen()) == 1


def test_a_hold_keeps_scores_whose_frozen_rows_are_gone(bank: Bank) -> None:
    file = bank.ctx.settings.models / MODEL / "model.yaml"
    file.write_text(file.read_text().replace("subject: [customer]", "subject: [loan]"))
    pipeline.sweep(bank.ctx, who="ada", now=pipeline.utc_now() + timedelta(days=500))
    [(loan,)] = bank.execute("SELECT min(loan) FROM rescore.scores_loans WHERE loan / 240 = 31")
    bank.ctx.store.holds.place(who="eve", reason="case 7", model=MODEL, interval=day(31))
    assert erase(bank, {"loan": str(loan)}, dry_run=True).legal_holds
    with pytest.raises(ParameterError, match=r"legal holds? covers? rows"):
        erase(bank, {"loan": str(loan)})
    assert bank.execute("SELECT count(*) FROM rescore.scores_loans WHERE loan = %s", loan) != [(0,)]


def test_one_erasure_at_a_time(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []
    table = erasing._erase_table

    def other_first(*args: Any) -> None:
        with pytest.raises(StoreUnavailableError, match="another erasure is under way") as caught:
            erase(bank, OTHER)
        refused.append(str(caught.value))
        table(*args)

    with monkeypatch.context() as patch:
        patch.setattr(erasing, "_erase_table", other_first)
        erase(bank)
    assert len(refused) == 2
    erase(bank, OTHER)
    assert traces(bank, "customer-07") == traces(bank, "customer-11") == []


def test_a_tombstone_is_written_after_the_one_that_was_read_only(bank: Bank) -> None:
    """Whatever became of the lock, say with a server that was started again."""
    store = bank.ctx.store
    erase(bank)
    [(digest, last), *_] = store.erasures.of_frozen().items()
    how: dict[str, Any] = {"models": [MODEL], "searched": [run.run_id for run in store.runs.of_model(MODEL)]}
    with pytest.raises(StoreUnavailableError, match="lost other rows while"):
        store.erasures.bury_frozen(store.erasures.all()[0], digest, last, 6, after=None, **how)
    assert store.erasures.of_frozen()[digest] == last


def test_a_whole_file_that_comes_back_brings_nobody_back(bank: Bank, runs: list[str]) -> None:
    """Restored from a backup beside its tombstone of two: the erasure of one is that of both."""
    digest = bank.ctx.store.runs.extracted(runs[0]).input_digest
    kept = bank.ctx.settings.home / "kept.parquet"
    shutil.copy(bank.ctx.archive.get_input(digest), kept)
    erase(bank)
    erase(bank, OTHER)
    assert isinstance(bank.ctx.archive, Archive)
    bank.ctx.archive.put_input(kept, digest)
    kept.unlink()
    erase(bank, WHO)
    assert traces(bank, "customer-07") == traces(bank, "customer-11") == []
    assert apart(bank) == []
