"""The chain enters what happens, and whoever changes history is found out."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from rescore.errors import ParameterError, StoreError
from rescore.store import ChainEntry, ChainHead, Store
from rescore.store.audit import stored_scores
from rescore.store.audit.chain import BEFORE_THE_FIRST, entry_digest, walk
from rescore.store.audit.table_comparison import CHAINED
from tests.store.builders import Walk, day, make_scores, sha
from tests.store.logins import as_superuser

Superuser = Callable[[str], None]


def found(store: Store, *heads: ChainHead, scores: bool = False) -> list[str]:
    return [str(finding) for finding in store.chain.verify(heads, scores=scores).findings]


def test_what_happens_is_entered_in_order_and_verifies(store: Store, walk: Walk) -> None:
    run = walk.checked(day())
    store.publications.publish(run)
    held = walk.checked(day(1), verdict="drifted")
    store.runs.hold(held, "drifted")
    store.publications.publish(held, reason="known", released_by="ada")
    store.reports.record_performance(run, day().end, {"auc": 0.7})
    entries = store.chain.entries()
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    told = [(entry.about, entry.content["action"]) for entry in entries]
    assert told[:2] == [("package", "insert"), ("pin", "insert")]
    assert told.count(("publication", "insert")) == 2
    released = [entry.content["row"] for entry in entries if entry.about == "publication"][-1]
    assert (released["released_by"], released["reason"]) == ("ada", "known")
    about_run = [entry.content["row"]["state"] for entry in store.chain.about("run", [run.run_id])]
    assert about_run == ["validated", "scored", "checked", "published"]
    assert {entry.content["by"] for entry in entries} == {"rescore_worker", "rescore_person"}
    verified = store.chain.verify([store.chain.head()], scores=True)  # type: ignore[list-item]
    assert verified.findings == ()
    assert verified.looked_at["entries"] == len(entries)
    assert verified.looked_at["runs with scores"] == 2


def test_an_entry_is_what_its_documentation_says(store: Store) -> None:
    first, second = store.chain.entries(last=2)
    assert first.previous == "sha256:" + "0" * 64
    assert second.previous == first.digest
    entry = hashlib.sha256(second.entry.encode()).hexdigest()
    text_of = f"rescore chain 1\n2\n{first.digest}\nsha256:{entry}"
    assert second.digest == "sha256:" + hashlib.sha256(text_of.encode()).hexdigest()
    manifest = first.content["row"]["manifest"]
    assert manifest == {"sha256": hashlib.sha256(b'{"seed": 1, "format": 1}').hexdigest()}


def test_every_chained_table_has_its_triggers_and_its_key(store: Store) -> None:
    query = text(
        "SELECT c.relname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE pg_get_triggerdef(t.oid) LIKE '%chain_change%'"
    )
    with as_superuser(store) as connection:
        triggers = connection.execute(query).all()
    assert {name for name, _ in triggers} == set(CHAINED)
    for name, definition in triggers:
        assert definition.endswith(f"({', '.join(repr(column) for column in CHAINED[name])})")


REWRITES = {
    "a pin's author": ("UPDATE rescore.pin SET who = 'bob'", "pin 1: who is not what entry 2 says"),
    "a manifest": (
        """UPDATE rescore.package SET manifest = '{"seed": 2}'""",
        "package loans 1.0.0: manifest is not what entry 1 says",
    ),
    "a run's input": (f"UPDATE rescore.run SET input_digest = '{sha('other')}'", "input_digest is not what"),
    "a verdict": ("UPDATE rescore.drift SET verdict = 'outage'", "verdict is not what entry"),
    "a lost publication": ("DELETE FROM rescore.publication", "publication 1: the row is gone"),
    "a publication made up": (
        "INSERT INTO rescore.publication (run_id, model, interval_start, interval_end, fence, published_at)"
        " SELECT gen_random_uuid(), model, interval_start, interval_end, 9, now() FROM rescore.publication",
        "publication 2: the row is there, but never entered the chain",
    ),
    "an entry's text": (
        "UPDATE rescore.chain SET entry = replace(entry, 'ada', 'bob')",
        "its text was changed",
    ),
    "an entry cut out": ("DELETE FROM rescore.chain WHERE number = 2", "entries are missing before it"),
    "an entry filed elsewhere": (
        "UPDATE rescore.chain SET key = '[9]' WHERE number = 2",
        "chain entry 2: it is filed under another row",
    ),
    "what consumers see": (
        "UPDATE rescore.current_publication SET package_version = '9.9.9', verdict = NULL",
        "what consumers see is not what was published last: verdict, package_version",
    ),
    "nothing to see": (
        "DELETE FROM rescore.current_publication",
        "current_publication loans 2024-03-01T00:00Z: what consumers see is not what was published last",
    ),
    "a trigger switched off": (
        "ALTER TABLE rescore.pin DISABLE TRIGGER chained",
        "table pin: changes no longer enter the chain",
    ),
}


@pytest.mark.parametrize("rewrite", REWRITES)
def test_a_rewrite_of_tables_or_entries_is_found(
    store: Store, walk: Walk, superuser: Superuser, rewrite: str
) -> None:
    store.publications.publish(walk.checked(day()))
    assert found(store) == []
    statement, expected = REWRITES[rewrite]
    superuser(statement)
    assert any(expected in finding for finding in found(store)), found(store)


THROUGH_THE_CHAIN = {
    "a published run": (
        "ALTER TABLE rescore.run DISABLE TRIGGER published_is_final, DISABLE TRIGGER scores_are_bound;"
        f" UPDATE rescore.run SET input_digest = '{sha('other')}';"
        " ALTER TABLE rescore.run ENABLE TRIGGER published_is_final, ENABLE TRIGGER scores_are_bound",
        "run ",
    ),
    "a pin, as if a person were erased": (
        "SET rescore.erasing = '1'; ALTER TABLE rescore.pin DISABLE TRIGGER append_only;"
        " UPDATE rescore.pin SET who = 'bob'; ALTER TABLE rescore.pin ENABLE TRIGGER append_only",
        "pin 1: ",
    ),
    "a verdict of a reproduction, likewise": (
        "SET rescore.erasing = '1'; ALTER TABLE rescore.reproduction DISABLE TRIGGER details_alone;"
        " UPDATE rescore.reproduction SET verdict = 'identical';"
        " ALTER TABLE rescore.reproduction ENABLE TRIGGER details_alone",
        "reproduction 1: ",
    ),
    "a drift report of a published run": (
        "ALTER TABLE rescore.drift DISABLE TRIGGER final; UPDATE rescore.drift SET verdict = 'outage';"
        " ALTER TABLE rescore.drift ENABLE TRIGGER final",
        "drift ",
    ),
    "a validation of a published run": (
        "ALTER TABLE rescore.validation DISABLE TRIGGER final;"
        " UPDATE rescore.validation SET success = false;"
        " ALTER TABLE rescore.validation ENABLE TRIGGER final",
        "validation ",
    ),
}


@pytest.mark.parametrize("rewrite", THROUGH_THE_CHAIN)
def test_a_rewrite_that_goes_through_the_chain_is_found(store: Store, walk: Walk, rewrite: str) -> None:
    """Guards off, changed, guards on: the row is what its last entry says, and the old head holds."""
    run = walk.checked(day())
    store.publications.publish(run)
    store.reports.record_reproduction(run.run_id, "differs", {"said": "no"})
    head = store.chain.head()
    assert head is not None and found(store, head) == []
    statement, row = THROUGH_THE_CHAIN[rewrite]
    with as_superuser(store) as connection:
        for part in statement.split(";"):
            connection.execute(text(part))
            connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    [finding] = [one for one in found(store, head) if not one.startswith("current_publication")]
    assert finding.startswith(row) and "a row that must not change was changed" in finding


def test_an_erasure_changes_the_details_of_a_reproduction_alone(store: Store, walk: Walk) -> None:
    """The setting that lets it in is nobody's secret."""
    store.reports.record_reproduction(walk.checked(day()).run_id, "differs", {"said": "loan 7"})
    with pytest.raises(StoreError, match="append-only"), as_superuser(store) as connection:
        connection.execute(text("SET LOCAL rescore.erasing = '1'"))
        connection.execute(text("UPDATE rescore.reproduction SET verdict = 'identical', details = '{}'"))
    with as_superuser(store) as connection:
        connection.execute(text("SET LOCAL rescore.erasing = '1'"))
        connection.execute(text("UPDATE rescore.reproduction SET details = '{}'"))
    assert found(store) == []


def test_a_guard_taken_off_leaves_its_trace_in_the_chain(store: Store) -> None:
    with as_superuser(store) as connection:
        connection.execute(text("ALTER TABLE rescore.pin DISABLE TRIGGER append_only"))
        connection.execute(text("UPDATE rescore.pin SET who = 'bob'"))
    [finding] = found(store)
    assert finding.startswith("pin 1: a row that must not change was changed: update at ")


def test_stored_scores_are_read_back_on_demand(store: Store, walk: Walk, superuser: Superuser) -> None:
    run = walk.checked(day())
    store.publications.publish(run)
    superuser("UPDATE rescore.scores_loans SET score = 0.5 WHERE loan_id = 7")
    assert found(store) == []
    [changed] = found(store, scores=True)
    assert f"scores_loans, run {run.run_id}: the stored scores are not those that were staged" in changed
    superuser(
        "INSERT INTO rescore.excluded_loans SELECT run_id, 9, branch, loan_id, event_time, 'rejected', 'x'"
        " FROM rescore.scores_loans LIMIT 1"
    )
    assert any(
        "rows without a score are not those that were counted" in one for one in found(store, scores=True)
    )
    superuser(
        "INSERT INTO rescore.scores_loans SELECT gen_random_uuid(), branch, loan_id, event_time, score,"
        " label FROM rescore.scores_loans WHERE loan_id = 1"
    )
    assert any("scores that no run was bound to" in finding for finding in found(store, scores=True))


def test_a_server_that_ends_idle_transactions_lets_scores_be_read(
    store: Store, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction whose snapshot they are read in has nothing to say meanwhile."""
    store.publications.publish(walk.checked(day()))
    idle, read = threading.Event(), stored_scores.digest_of

    def slowly(*args: Any) -> Any:
        idle.wait(0.2)  # nobody sets it
        return read(*args)

    monkeypatch.setattr(stored_scores, "digest_of", slowly)
    impatient = f"{store.database.url}?options=-c%20idle_in_transaction_session_timeout%3D50"
    with Store(impatient) as other:
        assert found(other, scores=True) == []


def test_what_goes_while_scores_are_read_is_no_finding(
    store: Store, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention takes a superseded run between the look at what was deleted and at its rows."""
    first = walk.checked(day())
    store.publications.publish(first)
    store.publications.publish(walk.checked(day()))
    read = stored_scores.digest_of

    def meanwhile(*args: Any) -> Any:
        if not store.deletions.all():
            store.deletions.delete_rows(first.run_id, rule="x", done_by="ada")
        return read(*args)

    monkeypatch.setattr(stored_scores, "digest_of", meanwhile)
    assert found(store, scores=True) == []
    assert [one.subject for one in store.deletions.all()] == [first.run_id]


def test_scores_may_take_longer_to_read_than_a_transaction_may_idle(
    store: Store, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction that exported the snapshot waits for them."""
    for number in range(2):
        store.publications.publish(walk.checked(day(number)))
    read = stored_scores.digest_of

    def slowly(*args: Any) -> Any:
        Event().wait(0.1)
        return read(*args)

    monkeypatch.setattr(stored_scores, "digest_of", slowly)
    with Store(f"{store.database.url}?options=-c%20idle_in_transaction_session_timeout%3D20") as impatient:
        assert impatient.chain.verify(scores=True).looked_at["runs with scores"] == 2


def test_who_kept_an_old_head_finds_a_history_rewritten_with_its_chain(
    store: Store, walk: Walk, superuser: Superuser
) -> None:
    """Every row and every entry is rewritten so that all of it fits together again."""
    run = walk.checked(day())
    store.publications.publish(run)
    head = store.chain.head()
    assert head is not None
    superuser("UPDATE rescore.pin SET who = 'mallory'")
    entries = store.chain.entries()
    previous = str(BEFORE_THE_FIRST)
    for entry in entries:
        forged = entry.entry.replace('"who": "ada"', '"who": "mallory"')
        digest = entry_digest(entry.number, previous, forged)
        superuser(
            f"UPDATE rescore.chain SET entry = $e${forged}$e$, previous = '{previous}', digest = '{digest}'"
            f" WHERE number = {entry.number}".replace(":", r"\:")
        )
        previous = str(digest)
    assert found(store) == []  # nobody who has the database alone can tell
    [finding] = found(store, head)
    assert "the history up to this entry is not the one that this head was taken of" in finding
    superuser(f"DELETE FROM rescore.chain WHERE number = {head.number}")
    assert any("the entry of a kept head is gone" in finding for finding in found(store, head))


def test_any_number_publish_at_once_and_the_chain_has_no_gap(store: Store, walk: Walk) -> None:
    runs = [walk.checked(day(number), make_scores(day(number), rows=5)) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.publications.publish, runs))
    verified = store.chain.verify()
    assert verified.findings == ()
    assert [e.about for e in store.chain.entries()].count("publication") == 8


def test_nobody_but_the_triggers_appends(store: Store) -> None:
    for statement in (
        "UPDATE rescore.chain SET about = 'pin'",
        "DELETE FROM rescore.chain",
        "TRUNCATE rescore.chain",
    ):
        with pytest.raises(StoreError, match="append-only"), as_superuser(store) as connection:
            connection.execute(text(statement))


def chained(texts: list[str]) -> list[ChainEntry]:
    entries: list[ChainEntry] = []
    previous = str(BEFORE_THE_FIRST)
    for number, value in enumerate(texts, 1):
        entry = json.dumps({"table": "pin", "key": [number], "row": {"why": value}})
        digest = str(entry_digest(number, previous, entry))
        entries.append(ChainEntry(number, "pin", f"[{number}]", entry, previous, digest))
        previous = digest
    return entries


@given(st.lists(st.text(), min_size=1, max_size=8), st.data())
def test_any_change_of_a_chain_is_found_by_its_last_head(texts: list[str], data: st.DataObject) -> None:
    entries = chained(texts)
    head = ChainHead(number=len(entries), digest=entries[-1].digest)
    assert walk(entries, [head]) == (len(entries), [])
    place = data.draw(st.integers(0, len(texts) - 1))
    changed = [*texts]
    match data.draw(st.sampled_from(["change", "drop", "swap"])):
        case "change":
            changed[place] += "x"
        case "drop":
            del changed[place]
        case _:
            changed.insert(0, changed.pop())
    if changed != texts:
        assert walk(chained(changed), [head])[1] != []


@given(st.integers(1), st.binary())
def test_a_head_reads_back_as_it_was_printed(number: int, content: bytes) -> None:
    head = ChainHead(number=number, digest=sha(content.hex()))
    assert ChainHead.parse(str(head)) == head


@pytest.mark.parametrize("wrong", ["", "12", "0:" + "a" * 64, "1:sha256:ab", "x:" + "a" * 64])
def test_what_is_no_head_is_refused(wrong: str) -> None:
    with pytest.raises(ParameterError, match="no head of a chain"):
        ChainHead.parse(wrong)
