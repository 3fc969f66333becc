"""What an erasure can't search is said: rows from before the subject was declared, models, packages."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pyarrow as pa

from rescore import pipeline
from rescore.manifest import Manifest
from tests.pipeline.erasure.test_erase import erase
from tests.shared.bank import MODEL, Bank


def test_rows_from_before_the_subject_was_declared_are_named(bank: Bank, runs: list[str]) -> None:
    folder = bank.ctx.settings.models / MODEL
    texts = {name: (folder / name).read_text() for name in ("model.yaml", "extract.sql")}
    (folder / "model.yaml").write_text(texts["model.yaml"].replace("  subject: [customer]\n", ""))
    (folder / "extract.sql").write_text(texts["extract.sql"].replace("customer, ", ""))
    before = bank.publish(33)
    for name, text in texts.items():
        (folder / name).write_text(text)
    digest = bank.ctx.store.runs.extracted(before).input_digest
    for found in (erase(bank, dry_run=True), erase(bank)):
        assert found.unsearched == [before]
        [table] = found.passed_over
        assert table.startswith(f"frozen table {digest} of loans ") and "no column customer" in table
    assert bank.ctx.store.erasures.all()[0].report["unsearched"] == [before]  # type: ignore[index]


def test_models_that_these_columns_do_not_ask_are_named(bank: Bank) -> None:
    models = bank.ctx.settings.models
    for name, subject in (("gone", "customer"), ("branches", "customer, branch")):
        shutil.copytree(models / MODEL, models / name)
        file = models / name / "model.yaml"
        text = file.read_text().replace(f"name: {MODEL}", f"name: {name}")
        file.write_text(text.replace("subject: [customer]", f"subject: [{subject}]"))
    types = {"loan": pa.int32(), "asked_at": pa.timestamp("us", tz="UTC")}
    bank.ctx.store.models.ensure(bank.ctx.model("gone").spec, types)
    shutil.rmtree(models / "gone")
    assert erase(bank, dry_run=True).passed_over == [
        "model gone: it has rows in the store and no folder here that says whose they are",
        "model branches: it says whose a row is by customer, branch; erase by these, too",
    ]


def test_a_package_that_stores_rows_is_named_when_its_training_rows_are_gone(
    bank: Bank, runs: list[str]
) -> None:
    ctx = bank.ctx
    lineage = {"lineage": {"snapshot_digest": ctx.store.runs.extracted(runs[0]).input_digest}}
    stores = lineage | {"artifact": {"keeps_rows": [{"place": "x"}]}}
    sha256 = "sha256:" + "f" * 64
    ctx.store.packages.add("loans", "0.9.0", sha256, Manifest.from_dict(stores), "file:///y")
    ctx.store.packages.add("loans", "1.0.2", "sha256:" + "e" * 64, Manifest(), "file:///y")
    ctx.store.pins.add("loans", "1.0.2", "sha256:" + "e" * 64, who="ada", why="better")
    pipeline.sweep(ctx, who="ada", now=pipeline.utc_now() + timedelta(days=500))
    assert ctx.archive.inputs() == {}
    [(name, meaning)] = erase(bank, dry_run=True).packages.items()
    assert name == "loans 0.9.0" and meaning.startswith("may hold them")
    pipeline.withdraw_package(ctx, "loans", "0.9.0", who="eve", why="rows of a person")
    assert erase(bank).packages == {}
