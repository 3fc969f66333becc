"""A person is gone from files and tables, and what is left still proves what was published."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import timedelta
from typing import Any

import psycopg2
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from rescore import pipeline
from rescore.cli import main
from rescore.digest import TableDigest, table_digest
from rescore.errors import DigestMismatchError, NotFoundError, ParameterError, SettingsError, StoreError
from rescore.local import postgres_binaries
from rescore.manifest import Manifest
from rescore.pipeline.erasure.subjects import Subject, pseudonym
from rescore.pipeline.reproduce.score_again import frozen_rows
from rescore.source import Freezer
from rescore.store import Archive, Tombstone
from rescore.store.erasure.erasures import Erasures
from rescore.store.erasure.redaction import ERASED, redacted
from rescore.store.runs import queries
from tests.shared.bank import Bank, day

WHO = {"customer": "customer-07"}
OTHER = {"customer": "customer-11"}
HOW: dict[str, Any] = {"ground": "GDPR Art. 17, ticket 4711", "who": "the privacy officer"}


def erase(bank: Bank, subject: dict[str, str] = WHO, **how: Any) -> pipeline.ErasureReport:
    return pipeline.erase_subject(bank.ctx, subject, **(HOW | how))


def traces(bank: Bank, value: str) -> list[str]:
    """Where a value still stands: in any column of our tables and views, or in any file."""
    found = []
    tables = bank.execute(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('rescore', 'scores') AND c.relkind IN ('r', 'p', 'v')"
    )
    for (table,) in tables:
        [(count,)] = bank.execute(f"SELECT count(*) FROM {table} t WHERE t::text LIKE %s", f"%{value}%")
        found += [str(table)] * bool(count)
    for file in bank.ctx.settings.home.rglob("*"):
        if not file.is_file():
            continue
        text = str(pq.read_table(file).to_pylist()) if file.suffix == ".parquet" else ""
        if value in text or value.encode() in file.read_bytes():
            found.append(str(file))
    return found


def dumped(bank: Bank) -> str:
    """A dump of our schemas, as text."""
    ours = ("--schema=rescore", "--schema=scores")
    command = [str(postgres_binaries() / "pg_dump"), *ours, bank.url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def keys_in(dump: str) -> dict[str, set[int]]:
    """The loans of each dumped table that has a column of them."""
    found = {}
    for table, columns, rows in re.findall(
        r"^COPY (\S+) \(([^\n]*)\) FROM stdin;\n(.*?)^\\\.$", dump, re.M | re.S
    ):
        if "loan" in (names := columns.split(", ")):
            found[table] = {int(row.split("\t")[names.index("loan")]) for row in rows.splitlines()}
    return found


def command(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


def loans_of(bank: Bank, number: int) -> set[int]:
    return {loan for loan in range(number * 240, (number + 1) * 240) if loan % 40 == 7}


def test_a_dry_run_says_what_would_go_and_changes_nothing(bank: Bank, runs: list[str]) -> None:
    found = erase(bank, dry_run=True)
    assert list(found.frozen.values()) == [6, 6]
    assert set(found.rows) == set(runs)
    assert found.erasure_id is None
    assert bank.ctx.store.erasures.all() == []
    assert traces(bank, "customer-07")
    assert not (bank.ctx.settings.home / "erasure.key").exists()


def test_an_erased_person_is_nowhere_and_the_rest_still_proves_itself(bank: Bank, runs: list[str]) -> None:
    ctx = bank.ctx
    before = {run: ctx.store.scores.of_run(run).num_rows for run in runs}
    inputs = {run: ctx.store.runs.extracted(run).input_digest for run in runs}
    gone = {loan for number in (31, 32) for loan in loans_of(bank, number)}
    known = "SELECT count(*) FROM rescore.keys_loans WHERE loan = ANY(%s)"
    assert bank.execute(known, [*gone]) != [(0,)]
    holding = {table for table, loans in keys_in(dumped(bank)).items() if loans & gone}
    assert "rescore.keys_loans" in holding
    assert any(table.startswith("rescore.scores") for table in holding)
    done = erase(bank)
    dump = dumped(bank)
    assert "customer-07" not in dump
    assert {table for table, loans in keys_in(dump).items() if loans & gone} == set()
    assert list(done.frozen.values()) == [6, 6]
    assert traces(bank, "customer-07") == []
    for run in runs:
        left = set(ctx.store.scores.of_run(run)["loan"].to_pylist())
        assert not left & gone
        assert before[run] - len(left) in range(1, 7)  # some may have had no score
    for table in ("rescore.excluded_loans", "rescore.keys_loans", "scores.loans_latest"):
        assert bank.execute(f"SELECT count(*) FROM {table} WHERE loan = ANY(%s)", [*gone]) == [(0,)]
    assert bank.execute("SELECT count(*) FROM scores.loans_latest") != [(0,)]
    for digest in inputs.values():
        assert digest not in ctx.archive.inputs()
    verified = pipeline.verify_history(ctx, scores=True, files=True)
    assert [str(one) for one in verified.findings if "package" not in one.where] == []
    rows = ctx.frozen_rows(ctx.store.runs.extracted(runs[0]))
    assert rows.num_rows == 234
    assert (
        ctx.kept_rows(ctx.store.runs.extracted(runs[0]))["loan"].to_pylist()
        == ctx.store.scores.of_run(runs[0])["loan"].to_pylist()
    )
    [one] = ctx.store.erasures.all()
    assert one.done_at is not None
    assert (one.ground, one.asked_by) == (HOW["ground"], HOW["who"])
    assert one.pseudonym.startswith("hmac-sha256:")


def test_a_changed_score_is_found_through_the_tombstone(bank: Bank, runs: list[str]) -> None:
    erase(bank)
    bank.execute(
        "SET session_replication_role = replica;"
        "UPDATE rescore.scores_loans SET score = 0.5 WHERE loan = 31 * 240 + 8 AND run_id = %s",
        runs[1],
    )
    found = [str(one) for one in pipeline.verify_history(bank.ctx, scores=True).findings]
    assert any(f"run {runs[1]}: what an erasure left is not there: leaf 0" in one for one in found)


def test_a_second_person_goes_from_the_same_tables(bank: Bank, runs: list[str]) -> None:
    erase(bank)
    erase(bank, OTHER)
    assert traces(bank, "customer-07") == traces(bank, "customer-11") == []
    assert len(bank.ctx.archive.inputs()) == 2  # one file a day, none of what was between
    verified = pipeline.verify_history(bank.ctx, scores=True, files=True)
    assert [str(one) for one in verified.findings if "package" not in one.where] == []
    assert len({one.pseudonym for one in bank.ctx.store.erasures.all()}) == 2


def test_a_tombstone_of_invented_rows_is_named(bank: Bank, runs: list[str]) -> None:
    """The owner writes one by hand, and puts what is to be believed into the archive."""
    ctx = bank.ctx
    done = erase(bank)
    digest = ctx.store.runs.extracted(runs[0]).input_digest
    true = ctx.store.erasures.of_frozen()[digest]
    rest = ctx.frozen_rows(ctx.store.runs.extracted(runs[0]))
    income = rest.schema.get_field_index("income")
    lies = rest.set_column(income, rest.schema.field(income), pc.multiply(rest["income"], 2.0))
    path = ctx.settings.home / "lies.parquet"
    with Freezer(path, lies.schema, where="lies") as freezer:
        freezer.write(lies.combine_chunks().to_batches()[0])
        remaining = freezer.keep().root
    ctx.archive.put_input(path, remaining)
    original = {**table_digest(lies).to_dict(), "rows": true.table.rows, "root": digest}
    forged = Tombstone.of(TableDigest.from_dict(original), lies, true.erased, remaining=remaining)
    bank.execute(
        "INSERT INTO rescore.tombstone (erasure_id, what, subject, erased, remaining, document)"
        " VALUES (%s, 'frozen', %s, 6, %s, %s)",
        *(done.erasure_id, digest, remaining, json.dumps(forged.to_dict())),
    )
    found = [str(one) for one in pipeline.verify_history(ctx, files=True).findings]
    assert any("does not follow from the tombstone's leaves" in one for one in found)
    with pytest.raises(DigestMismatchError, match="what an erasure left of frozen rows is not"):
        ctx.frozen_rows(ctx.store.runs.extracted(runs[0]))


STEPS = [
    (Erasures, "erase_rows"),
    (Archive, "put_input"),
    (Erasures, "bury_frozen"),
    (Archive, "delete_input"),
    (Erasures, "redact"),
    (Erasures, "finish"),
]


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(len(STEPS)), ids=[name for _, name in STEPS])
def test_a_crash_at_any_step_is_gone_on_from(
    bank: Bank, runs: list[str], monkeypatch: pytest.MonkeyPatch, step: int, after: bool
) -> None:
    owner, name = STEPS[step]
    said = {"differences": [{"key": {"loan": str(min(loans_of(bank, 31)))}}]}
    bank.ctx.store.reports.record_reproduction(runs[0], "differs", said)
    original, calls = getattr(owner, name), []

    def crash(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        result = original(*args, **kwargs) if after or len(calls) > 1 else None
        if len(calls) == 1:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, name, crash)
    with pytest.raises(KeyboardInterrupt):
        erase(bank)
    assert len(calls) == 1
    done = erase(bank)
    assert traces(bank, "customer-07") == []
    if (name, after) != ("finish", True):
        assert list(done.frozen.values()) == [6, 6]
        assert set(done.rows) == set(runs)
    every = bank.ctx.store.erasures.all()
    assert len(every) == (2 if (name, after) == ("finish", True) else 1)  # asked again once it was done
    assert every[0].report is not None and every[-1].report == done.to_dict()
    erased = {"differences": [{"key": {"loan": ERASED}}]}
    assert bank.execute("SELECT details FROM rescore.reproduction") == [(erased,)]
    verified = pipeline.verify_history(bank.ctx, scores=True, files=True)
    assert [str(one) for one in verified.findings if "package" not in one.where] == []


def test_what_nobody_can_search_any_more_is_named_though_others_were_erased_from_it(
    bank: Bank, runs: list[str]
) -> None:
    """The rows that an erasure left have gone by retention: whose the scores are nobody knows."""
    erase(bank)
    pipeline.sweep(bank.ctx, who="ada", now=pipeline.utc_now() + timedelta(days=500))
    assert bank.ctx.archive.inputs() == {}
    bank.execute("DROP TABLE bank.loan CASCADE")
    with (
        pytest.raises(NotFoundError, match="the frozen input is gone: deleted on"),
        frozen_rows(bank.ctx, bank.ctx.store.runs.scored(runs[2])),
    ):
        pass
    current = {run.run_id for run in bank.ctx.store.runs.published("loans")}
    assert set(erase(bank, OTHER, dry_run=True).unsearched) == current
    assert set(erase(bank, OTHER).unsearched) == current


def test_packages_trained_on_the_person_are_listed(bank: Bank, runs: list[str]) -> None:
    ctx = bank.ctx
    digest = ctx.store.runs.extracted(runs[0]).input_digest
    lineage = {"lineage": {"snapshot_digest": digest}}
    ctx.store.packages.add("loans", "1.0.1", "sha256:" + "e" * 64, Manifest.from_dict(lineage), "file:///x")
    stores = lineage | {"artifact": {"keeps_rows": [{"place": "x"}]}}
    ctx.store.packages.add("loans", "1.0.2", "sha256:" + "f" * 64, Manifest.from_dict(stores), "file:///y")
    done = erase(bank)
    assert done.packages["loans 1.0.1"].startswith("kept: the package holds no rows")
    assert done.packages["loans 1.0.2"].startswith("must be withdrawn")
    assert set(done.packages) == {"loans 1.0.1", "loans 1.0.2"}


def test_a_legal_hold_stands_in_the_way(bank: Bank) -> None:
    bank.ctx.store.holds.place(who="eve", reason="case 7", model="loans", interval=day(31))
    assert erase(bank, dry_run=True).legal_holds
    with pytest.raises(ParameterError, match=r"legal holds? covers? rows"):
        erase(bank)
    assert bank.ctx.store.erasures.all() == []


def test_what_is_kept_of_a_person_is_shown(
    bank: Bank, runs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (
        ("HOME", bank.ctx.settings.home),
        ("MODELS", bank.ctx.settings.models),
        ("DATABASE_URL", bank.ctx.settings.database_url),
        ("OWNER_URL", bank.ctx.settings.owner_url),
    ):
        monkeypatch.setenv(f"RESCORE_{name}", str(value))
    command(["subject", "show", "--subject", "customer=customer-07", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert {row["values"]["loan"] for row in shown} == loans_of(bank, 31) | loans_of(bank, 32)
    of_first = [row for row in shown if row["values"]["loan"] < 32 * 240]
    assert {score["run_id"] for row in of_first for score in row["scores"]} == set(runs[:2])
    for row in shown:
        of_runs = {one["run_id"] for one in (*row["scores"], *row["without_score"])}
        assert of_runs == set(runs[:2] if row["values"]["loan"] < 32 * 240 else runs[2:])
        assert all(one["reason"] for one in row["without_score"])
    command(["erase", "--subject", "customer=customer-07", "--ground", "ticket 1", "--who", "eve"])
    assert "rows of 2 frozen tables" in capsys.readouterr().out
    command(["subject", "show", "--subject", "customer=customer-07", "--json"])
    assert json.loads(capsys.readouterr().out) == []


def test_reports_lose_the_persons_values(bank: Bank, runs: list[str]) -> None:
    loan = min(loans_of(bank, 31))
    details = {
        "differences": [{"key": {"loan": str(loan)}}, {"key": {"loan": "1"}}],
        "said": "customer-07 moved",
    }
    bank.ctx.store.reports.record_reproduction(runs[0], "differs", details)
    held = "SET session_replication_role = replica; UPDATE rescore.run SET error = %s WHERE run_id = %s"
    bank.execute(held, json.dumps({"message": "held: customer-07 is unlike all others"}), runs[1])
    erase(bank)
    [(state, why)] = bank.execute(
        "SELECT state, error->>'message' FROM rescore.run WHERE run_id = %s", runs[1]
    )
    assert (state, why) == ("published", f"held: {ERASED} is unlike all others")
    with pytest.raises(psycopg2.Error, match="is published: UPDATE refused"):
        bank.execute("UPDATE rescore.run SET error = NULL WHERE run_id = %s", runs[1])
    [(kept,)] = bank.execute("SELECT details FROM rescore.reproduction")
    assert kept == {
        "differences": [{"key": {"loan": ERASED}}, {"key": {"loan": "1"}}],
        "said": f"{ERASED} moved",
    }
    assert [entry.content["action"] for entry in bank.ctx.store.chain.about("reproduction")] == [
        "insert",
        "erase",
    ]
    two = {"loan": {"17"}, "customer": {"42", "4711"}}
    assert redacted("rows have loan=17, 'customer': '42'; 17 of 42", two) == (
        f"rows have loan={ERASED}, 'customer': '{ERASED}'; 17 of 42"
    )
    assert redacted({"4711": {"loan": 1}}, two) == {ERASED: {"loan": 1}}
    assert redacted({"n": 7, "id": 7, "x": ["77", "7"]}, {"id": {"7"}}) == {
        "n": 7,
        "id": ERASED,
        "x": ["77", "7"],
    }


def test_a_key_is_whole_or_not_there(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one, as a full disk leaves it, would give pseudonyms that anybody can try out."""
    key = bank.ctx.settings.home / "erasure.key"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rescore.pipeline.erasure.subjects.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            pseudonym(bank.ctx, Subject(WHO))
    assert not list(key.parent.glob("*erasure.key*"))
    first = pseudonym(bank.ctx, Subject(WHO))
    assert (len(key.read_bytes()), key.stat().st_mode & 0o777) == (32, 0o400)
    assert pseudonym(bank.ctx, Subject(WHO)) == first
    key.unlink()
    key.touch()
    with pytest.raises(SettingsError, match="has 0 bytes"):
        erase(bank)
    assert bank.ctx.store.erasures.all() == []


def test_nobody_is_erased_by_another_column_or_without_a_ground(bank: Bank) -> None:
    with pytest.raises(ParameterError, match="no model has branch as its subject columns") as caught:
        erase(bank, {"branch": "north"})
    assert "customer" in str(caught.value)
    with pytest.raises(StoreError, match="on what ground"):
        erase(bank, ground=" ")


def test_runs_of_models_that_never_froze_the_person_are_not_loaded(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet has many; what is looked up is what was made of the person's tables."""
    bank.execute(
        "INSERT INTO rescore.model (name, key_columns, event_time, labelled, views_format, probabilities)"
        " SELECT 'other_' || n, '[]', 'at', false, 0, '[]' FROM generate_series(1, 20) n;"
        "INSERT INTO rescore.run (run_id, model, interval_start, interval_end, as_of, fence, state,"
        " environment, input_digest) SELECT gen_random_uuid(), 'other_' || n, '2024-01-01', '2024-01-02',"
        " '2024-01-02', 1, 'failed', '{}', 'sha256:' || repeat('a', 64) FROM generate_series(1, 20) n"
    )
    loaded: list[str] = []
    read = queries._run

    def noted(row: Any, *more: Any) -> Any:
        loaded.append(row.model)
        return read(row, *more)

    monkeypatch.setattr(queries, "_run", noted)
    report = erase(bank, dry_run=True)
    assert len(report.rows) == 3
    assert loaded == ["loans"] * 3
