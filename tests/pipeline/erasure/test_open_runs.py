"""An erasure and runs under way: nobody publishes afterwards what they made of the person's rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pyarrow as pa
import pytest
from psycopg2.extras import Json

from rescore import pipeline
from rescore.digest import TableDigest
from rescore.errors import StoreError
from rescore.manifest import Manifest
from rescore.sha256 import bytes_sha256
from rescore.store import RunHandle, ShardHandle
from rescore.store.database import call
from tests.pipeline.erasure.test_erase import erase, loans_of, traces
from tests.shared.bank import MODEL, Bank
from tests.shared.waiting import until

NUMBER = 33


def loans_left(bank: Bank, number: int = NUMBER) -> list[str]:
    """The tables in which a loan of the person still stands, staged ones too."""
    loans = ", ".join(map(str, loans_of(bank, number)))
    tables = bank.execute(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'rescore'::regnamespace AND a.attname = 'loan' AND c.relkind = 'r'"
    )
    found = [
        str(name)
        for (name,) in tables
        if bank.execute(f"SELECT count(*) FROM {name} WHERE loan IN ({loans})") != [(0,)]
    ]
    return sorted(found)


def staged_shards(bank: Bank) -> tuple[RunHandle, list[ShardHandle]]:
    """A run whose shards are all staged, and wait to be joined."""
    run_id, _, scores = bank.validate(NUMBER)
    store, package = bank.ctx.store, bank.ctx.store.pins.current(MODEL)
    run = store.runs.resume(run_id, "validated")
    made_by = {"package_version": package.version, "package_sha256": package.sha256}
    shards = store.shards.plan(run, [scores.num_rows], **made_by)
    store.shards.stage(shards[0], scores.to_batches())
    return run, shards


def test_shards_that_were_staged_are_never_joined_after_it(bank: Bank) -> None:
    store = bank.ctx.store
    run, shards = staged_shards(bank)
    assert any("staged" in name for name in loans_left(bank))
    assert erase(bank, dry_run=True).ended == [run.run_id]
    assert erase(bank).ended == [run.run_id]
    for late in (lambda: store.shards.join(run), lambda: store.shards.stage(shards[0], [])):
        with pytest.raises(StoreError, match=r"is failed: nothing about it changes"):
            late()
    assert loans_left(bank) == traces(bank, "customer-07") == []
    failed = store.runs.get(run.run_id)
    assert failed.state == "failed" and failed.error is not None
    assert "rows of its input were erased" in failed.error["message"]
    again = store.runs.resume(run.run_id, "validated")  # what a retry in Airflow does: a fork
    assert again.run_id != run.run_id
    package = store.pins.current(MODEL)
    made_by = {"package_version": package.version, "package_sha256": package.sha256}
    with pytest.raises(StoreError):
        store.shards.plan(again, [240], **made_by)
    bank.execute("DELETE FROM bank.loan WHERE customer = 'customer-07'")
    bank.publish(NUMBER)
    assert loans_left(bank) == []


def while_held(bank: Bank, hold: Callable[[psycopg2.extensions.connection], None]) -> pipeline.ErasureReport:
    """Erase beside a transaction that has done something; it commits when the erasure waits for it."""
    connection = psycopg2.connect(bank.url)
    try:
        hold(connection)
        with ThreadPoolExecutor(1) as pool:
            erasing = pool.submit(erase, bank)
            waiting = (
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            until(lambda: erasing.done() or bank.execute(waiting) != [(0,)], "the erasure waits")
            assert not erasing.done(), "it has to wait"
            connection.commit()
            return erasing.result(60)
    finally:
        connection.close()


def test_scores_that_are_bound_at_that_moment_are_searched(bank: Bank) -> None:
    """Staging commits after the erasure listed the runs that have scores."""
    run, _ = staged_shards(bank)
    staged = bank.ctx.store.shards.of_run(run)[0].digest
    assert isinstance(staged, TableDigest)

    def join(connection: psycopg2.extensions.connection) -> None:
        with connection.cursor() as cursor:
            given = (run.run_id, run.fence, Json(staged.to_dict()))
            cursor.execute("SELECT rescore.shards_finish(%s, %s, %s)", given)

    done = while_held(bank, join)
    assert run.run_id in done.rows and done.ended == []
    assert loans_left(bank) == []


def test_a_staged_table_that_somebody_uses_is_waited_for(bank: Bank) -> None:
    run, _ = staged_shards(bank)
    [(table,)] = bank.execute("SELECT table_name FROM rescore.staging")
    done = while_held(
        bank, lambda connection: connection.cursor().execute(f"SELECT count(*) FROM rescore.{table}")
    )
    assert done.ended == [run.run_id]
    assert bank.execute("SELECT count(*) FROM rescore.staging") == [(0,)]
    assert loans_left(bank) == []


def test_a_fork_that_read_the_rows_before_they_went_stages_nothing(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins after the runs were ended and before the tombstone is written, or after that."""
    store, package = bank.ctx.store, bank.ctx.store.pins.current(MODEL)
    run, _ = staged_shards(bank)
    forks: list[RunHandle] = []
    bury = type(store.erasures).bury_frozen

    def fork_first(*args: object, **kwargs: object) -> bool:
        if store.runs.get(run.run_id).state == "failed":
            forks.append(store.runs.resume(run.run_id, "validated"))
        return bury(*args, **kwargs) if len(forks) < 3 else pytest.fail("it goes on for ever")  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(type(store.erasures), "bury_frozen", fork_first)
        with pytest.raises(pytest.fail.Exception):
            erase(bank)
    done = erase(bank)
    assert {run.run_id, *(fork.run_id for fork in forks)} >= set(done.ended)
    late = store.runs.resume(run.run_id, "validated")
    assert store.runs.get(late).state == "extracted", "what was set aside went: it has to be validated again"
    store.reports.record_validation(late, {"success": True})
    store.runs.advance(late, "validated")
    with pytest.raises(StoreError, match=r"rows of the frozen input of run .* were erased"):
        store.shards.plan(late, [240], package_version=package.version, package_sha256=package.sha256)
    with pytest.raises(StoreError, match="were erased"), store.database.transaction() as connection:
        call(connection, "stage_begin", late.run_id, late.fence)


def test_another_model_with_the_same_frozen_rows_loses_them_too(bank: Bank) -> None:
    """Frozen tables are kept by their content: two models may share one."""
    ctx, other = bank.ctx, "arrears"
    folder = shutil.copytree(ctx.settings.models / MODEL, ctx.settings.models / other)
    file = folder / "model.yaml"
    file.write_text(file.read_text().replace("name: loans", f"name: {other}"))
    ctx.store.models.ensure(
        ctx.model(other).spec, {"loan": pa.int32(), "asked_at": pa.timestamp("us", tz="UTC")}
    )
    bank.publish(NUMBER)
    run_id, _, scores = bank.validate(NUMBER, other)
    run = ctx.store.runs.get(run_id)
    assert run.input_digest == ctx.store.runs.published(MODEL)[-1].input_digest
    made_by = {"package_version": "1.0.0", "package_sha256": bytes_sha256(b"arrears")}
    ctx.store.packages.add(other, "1.0.0", made_by["package_sha256"], Manifest(), "file:///arrears.whl")
    ctx.store.scores.stage(run, scores, **made_by)
    done = erase(bank)
    assert done.rows[run_id] and loans_left(bank) == []


def test_rows_that_are_frozen_again_are_scored_and_erased_again(bank: Bank) -> None:
    """The person is still in the source: what is scored from it is no error, and goes the same way."""
    bank.publish(NUMBER)
    erase(bank)
    again = bank.publish(NUMBER)
    assert loans_left(bank)
    assert again in erase(bank).rows
    assert loans_left(bank) == []
