"""Runs, packages and pins: states with times, forks, facts; and what is refused."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from rescore.errors import (
    NotFoundError,
    OutageError,
    RowAccountingError,
    StoreError,
)
from rescore.manifest import Manifest
from rescore.store import Store
from rescore.store.database import call
from rescore.store.runs import excluded as excluded_module
from tests.store.builders import Walk, day, make_scores, sha
from tests.store.logins import as_superuser


def test_a_run_keeps_its_facts_and_the_times_of_its_states(walk: Walk, store: Store) -> None:
    airflow = {"dag": "score_loans", "run": "scheduled__1", "task": "extract", "try": 2}
    environment = {"numpy": "2.4", "cores": np.int64(2), "ratio": float("nan")}
    handle = store.runs.claim(
        "loans", day(), day().end, airflow=airflow, code_revision="abc+dirty", environment=environment
    )
    walk.extract(handle, 50)
    walk.extract(handle, 50)  # a retried call
    run = store.runs.get(handle)
    assert (run.state, list(run.states)) == ("extracted", ["claimed", "extracted"])
    assert run.states["claimed"] < run.states["extracted"]
    assert run.claimed_at.tzinfo is not None
    assert (run.interval, run.as_of, run.fence) == (day(), day().end, 1)
    assert (run.airflow, run.code_revision) == (airflow, "abc+dirty")
    assert run.environment == {"numpy": "2.4", "cores": 2, "ratio": "NaN"}
    assert (run.input_digest, run.rows_extracted, run.publication) == (sha("input"), 50, None)
    assert store.runs.latest("loans") == store.runs.latest(interval=day()) == [run]
    assert store.runs.latest("cars") == store.runs.latest(interval=day(1)) == []


def test_a_fork_continues_from_the_validated_input(walk: Walk, store: Store) -> None:
    origin = walk.checked(day(), excluded=make_scores(day(), rows=3))
    store.runs.fail(origin, OutageError("weather is missing", data={"features": ["temp"]}))
    fork = store.runs.fork(origin)
    run, failed = store.runs.get(fork), store.runs.get(origin)
    assert (run.state, run.fence, run.forked_from) == ("validated", 2, origin.run_id)
    assert list(run.states) == ["claimed", "extracted", "validated"]
    assert (run.input_digest, run.rows_extracted, run.as_of) == (failed.input_digest, 53, failed.as_of)
    assert (run.score_digest, run.verdict, run.error) == (None, None, None)
    assert store.excluded.positions(fork) == [0, 1, 2]
    assert store.reports.validation_of(fork) == {"success": True, "results": []}
    walk.score(fork, make_scores(day()))
    walk.check(fork)
    assert store.publications.publish(fork).fence == 2
    assert failed.error == {
        "type": "OutageError",
        "message": "weather is missing",
        "data": {"features": ["temp"]},
    }


def test_a_fork_of_a_run_that_was_not_validated_validates_again(walk: Walk, store: Store) -> None:
    origin = walk.claim(day())
    assert store.runs.get(store.runs.fork(origin)).state == "claimed"
    walk.extract(origin_again := walk.claim(day()), 53)
    store.reports.record_validation(origin_again, {"success": False})
    excluded = make_scores(day(), rows=1)
    store.excluded.record(origin_again, excluded, positions=[4], kinds=["rejected"], reasons=["no amount"])
    run = store.runs.get(store.runs.fork(origin_again))
    passed = walk.checked(day(), excluded=excluded)
    again = store.runs.get(store.runs.fork(passed, until="extracted"))
    assert (again.state, again.rows_rejected, store.excluded.positions(again)) == ("extracted", 0, [])
    assert (run.state, run.rows_extracted, run.rows_rejected) == ("extracted", 53, 0)
    assert store.excluded.positions(run) == []


def test_a_state_needs_what_it_stands_for(walk: Walk, store: Store) -> None:
    run = walk.claim(day())
    missing = [
        ("extracted", "input_digest is not recorded"),
        ("validated", "a validation that passed"),
        ("scored", "staged scores"),
        ("checked", "a drift report"),
    ]
    steps = (
        lambda: walk.extract(run, 50),
        lambda: walk.validate(run),
        lambda: walk.score(run, make_scores(day())),
        lambda: walk.check(run),
    )
    for (state, message), step in zip(missing, steps, strict=True):
        with pytest.raises(StoreError, match=message):
            store.runs.advance(run, state)
        step()
    with pytest.raises(StoreError, match="can't go back to extracted"):
        store.runs.advance(run, "extracted")
    with pytest.raises(StoreError, match="can't be advanced to 'published'"):
        store.runs.advance(run, "published")


def test_facts_that_are_unknown_or_contradict_the_rows_are_refused(walk: Walk, store: Store) -> None:
    run = walk.checked(day())
    with pytest.raises(StoreError, match="a run has no fact 'verdict'"):
        store.runs.update(run, verdict="ok")
    for fact in ({"rows_scored": 49}, {"package_version": "9.9.9", "package_sha256": sha("other")}):
        with pytest.raises(StoreError, match="a run has no fact"):
            store.runs.update(run, **fact)
    with pytest.raises(StoreError, match="what made them changes no more"):
        store.runs.update(run, input_digest=sha("other"))
    fresh = walk.claim(day(1))
    walk.extract(fresh, 50)
    walk.validate(fresh)
    with pytest.raises(StoreError, match="foreign key"):
        store.scores.stage(fresh, make_scores(day(1)), package_version="9.9.9", package_sha256=sha("other"))
    with pytest.raises(StoreError, match="has scores already"):
        store.reports.record_validation(run, {"success": True})
    store.runs.update(run, query_sha256=sha("sql"))
    store.publications.publish(run)
    for change in (
        lambda: store.runs.update(run, query_sha256="x"),
        lambda: store.reports.record_drift(run, {"verdict": "ok", "sentence": ""}),
        lambda: store.scores.stage(run, make_scores(day()), **walk.package),
    ):
        with pytest.raises(StoreError, match="is published: nothing about it changes any more"):
            change()
    store.runs.fail(run, "too late")  # a failure after publishing does not undo it
    assert store.runs.get(run).state == "published"


def test_rows_set_aside_are_kept_once_and_must_fit_together(walk: Walk, store: Store) -> None:
    run = walk.claim(day())
    rows = make_scores(day(), rows=2)
    record = lambda kinds, positions: store.excluded.record(  # noqa: E731
        run, rows, positions=positions, kinds=kinds, reasons=["a", "b"]
    )
    for kinds, positions in (
        (["rejected"], [0, 1]),
        (["rejected", "lost"], [0, 1]),
        (["rejected"] * 2, [3, 3]),
    ):
        with pytest.raises(RowAccountingError, match="differ in number, or a position or kind is wrong"):
            record(kinds, positions)
    for _ in range(2):
        record(["rejected", "quarantined"], [7, 3])
    assert store.excluded.positions(run) == [3, 7]
    assert store.excluded.counts(run) == {"quarantined": 1, "rejected": 1}
    with pytest.raises(StoreError, match="has set other rows aside already"):
        record(["rejected", "quarantined"], [7, 4])


def test_rows_set_aside_in_parts_are_all_kept_or_none(
    walk: Walk, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(excluded_module, "_PART_ROWS", 2)
    run = walk.claim(day())
    rows = make_scores(day(), rows=5)

    def record(reasons: str, positions: tuple[int, ...] = (7, 3, 5, 1, 9)) -> None:
        number = len(positions)
        kinds = (["rejected", "quarantined"] * 3)[:number]
        store.excluded.record(
            run, rows.slice(0, number), positions=positions, kinds=kinds, reasons=[*reasons][:number]
        )

    sent = 0

    def dies(*values: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == 3:
            raise KeyboardInterrupt
        return call(*values)

    with monkeypatch.context() as patch:
        patch.setattr(excluded_module, "call", dies)
        with pytest.raises(KeyboardInterrupt):
            record("abcde")
    assert store.excluded.positions(run) == []
    for _ in range(2):
        record("abcde")
    assert [one["reason"] for one in store.excluded.kinds(run)] == ["d", "b", "c", "a", "e"]
    assert store.runs.get(run).rows_rejected == 3
    assert store.runs.get(run).rows_quarantined == 2
    for reasons, positions in (
        ("abcdx", (7, 3, 5, 1, 9)),
        ("abcde", (7, 3, 5, 1, 8)),
        ("abcd", (7, 3, 5, 1)),
    ):
        with pytest.raises(StoreError, match="has set other rows aside already"):
            record(reasons, positions)
    monkeypatch.setattr(excluded_module, "_PART_ROWS", 100)
    record("abcde")


def test_reports_are_read_back_and_later_findings_are_added(walk: Walk, store: Store) -> None:
    run = walk.checked(day())
    assert store.reports.drift_of(run) == {"verdict": "ok", "sentence": "it is ok", "p_value": "NaN"}
    store.publications.publish(run)
    as_of = datetime(2024, 4, 1, tzinfo=UTC)
    for auc in (np.float64(0.7), 0.8):
        store.reports.record_performance(run, as_of, {"auc": auc}, label_coverage=0.5)
        store.reports.record_reproduction(run, "identical", {"rows": np.int32(50)})
    assert [found.report["auc"] for found in store.reports.performances(run)] == [0.7, 0.8]
    assert store.reports.performances(run)[0].as_of == as_of
    assert [found.details for found in store.reports.reproductions(run)] == [{"rows": 50}] * 2


def test_an_unknown_run_is_named(store: Store) -> None:
    for run_id in ("0b9b1f2e-0000-4000-8000-000000000000", "not-a-uuid"):
        for use in (
            store.runs.get,
            store.scores.of_run,
            store.publications.publish,
            store.runs.fork,
            store.reports.drift_of,
        ):
            with pytest.raises(NotFoundError, match=f"no run {run_id}"):
                use(run_id)


def test_packages_are_registered_once_and_found_by_version_or_digest(walk: Walk, store: Store) -> None:
    manifest = Manifest.from_dict({"features": [{"name": "b"}], "metrics": {"auc": 0.1 + 0.2}, "own": [1]})
    store.packages.add("loans", "1.0.1", sha("one"), manifest, "file:///one.whl")
    store.packages.add("loans", "1.0.1", sha("one"), manifest, "file:///one.whl")
    assert [package.version for package in store.packages.of_model("loans")] == ["1.0.0", "1.0.1"]
    assert store.packages.find("loans", sha("one")) == store.packages.find("loans", "1.0.1")
    assert store.packages.find("loans", "1.0.1").manifest == manifest
    built = {"code_revision": "abc", "image": None, "at": "2024-03-01T00:00:00+00:00"}
    store.packages.add("loans", "1.0.2", sha("three"), manifest, "file:///three.whl", built=built)
    assert store.packages.find("loans", "1.0.2").manifest.to_dict() == {**manifest.to_dict(), "built": built}
    again = {**built, "code_revision": "abc+dirty"}
    store.packages.add("loans", "1.0.2", sha("three"), manifest, "file:///three.whl", built=again)
    assert store.packages.find("loans", "1.0.2").manifest.built.to_dict() == built, "it was committed once"
    with pytest.raises(StoreError, match=f"loans 1.0.1 is {sha('one')} already"):
        store.packages.add("loans", "1.0.1", sha("two"), manifest, "file:///two.whl")
    with pytest.raises(NotFoundError, match=r"no package 3\.0\.0") as caught:
        store.packages.find("loans", "3.0.0")
    assert caught.value.expected == "one of: 1.0.0, 1.0.1, 1.0.2"


def test_a_package_built_again_from_committed_code_is_one_of_committed_code(walk: Walk, store: Store) -> None:
    """The file is the same; that its first build was from a dirty tree must not follow it for ever."""
    for revision in ("unknown", "abc+dirty", "def+dirty"):
        store.packages.add(
            "loans", "2.0.0", sha("two"), Manifest(), "file:///2.whl", built={"code_revision": revision}
        )
        assert store.packages.find("loans", "2.0.0").manifest.built.to_dict() == {"code_revision": revision}
    for revision in ("def", "ghi", "jkl+dirty", "unknown"):
        store.packages.add(
            "loans", "2.0.0", sha("two"), Manifest(), "file:///2.whl", built={"code_revision": revision}
        )
    assert store.packages.of_model("loans")[-1].manifest.built.to_dict() == {"code_revision": "ghi"}


def test_the_last_pin_is_current_and_all_stay(walk: Walk, store: Store) -> None:
    store.packages.add("loans", "1.0.1", sha("one"), Manifest(), "file:///one.whl")
    assert store.pins.current("cars") is None
    store.pins.add("loans", "1.0.1", sha("one"), who="grace", why="better", evidence={"auc": 0.7})
    store.pins.add("loans", "1.0.0", sha("loans1.0.0"), who="ada", why="rolled back")
    current = store.pins.current("loans")
    assert current is not None
    assert (current.version, current.who, current.why) == ("1.0.0", "ada", "rolled back")
    assert [pin.evidence for pin in store.pins.of_model("loans")] == [{}, {"auc": 0.7}, {}]
    with pytest.raises(NotFoundError, match=r"no package 2\.0\.0"):
        store.pins.add("loans", "2.0.0", sha("one"), who="ada", why="x")
    with pytest.raises(StoreError, match=f"loans 1.0.1 is {sha('one')}, not {sha('two')}"):
        store.pins.add("loans", "1.0.1", sha("two"), who="ada", why="x")
    with pytest.raises(StoreError, match="does not say who decides, or why"):
        store.pins.add("loans", "1.0.1", sha("one"), who="ada", why=" ")


def test_snapshots_are_recorded_once(store: Store) -> None:
    for _ in range(2):
        store.snapshots.add(
            model="loans",
            kind="training",
            digest=sha("rows"),
            interval=day(),
            as_of=day().end,
            rows=5,
            uri="file:///x",
            details={"window": np.arange(2)},
        )
    (snapshot,) = store.snapshots.of_model("loans", digest=sha("rows"))
    assert (snapshot.kind, snapshot.interval, snapshot.rows) == ("training", day(), 5)
    assert snapshot.details == {"window": [0, 1]}
    assert store.snapshots.of_model("loans", kind="input") == []
    with pytest.raises(StoreError, match="violates check constraint"):
        store.snapshots.add(
            model="loans", kind="guess", digest="md5:1", interval=day(), as_of=day().end, rows=1, uri=""
        )


def test_fences_of_one_interval_never_repeat(store: Store) -> None:
    barrier = threading.Barrier(4)

    def claim(_: int) -> int:
        other = Store(store.database.url)
        barrier.wait()
        fence = other.runs.claim("loans", day(), day().end).fence
        other.close()
        return fence

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(claim, range(4))) == [1, 2, 3, 4]
    assert store.runs.claim("loans", day(1), day(1).end).fence == 1
    with as_superuser(store) as connection:
        owner = connection.execute(
            text("SELECT run_id::text FROM rescore.claim WHERE interval_start = :s"), {"s": day().start}
        ).scalar()
    assert store.runs.get(str(owner)).fence == 4


def test_ids_of_runs_begin_with_their_moment(store: Store) -> None:
    """So the rows of a new run go to the end of the index that begins with it, not to a place by chance."""
    before = datetime.now(UTC).timestamp()
    ids = [uuid.UUID(store.runs.claim("loans", day(n), day(n).end).run_id) for n in range(3)]
    assert {one.version for one in ids} == {7}
    moments = [one.int >> 80 for one in ids]
    assert moments == sorted(moments)
    assert int(before * 1000) - 1 <= moments[0] <= moments[-1] <= datetime.now(UTC).timestamp() * 1000
    assert len({one.int & (1 << 62) - 1 for one in ids}) == 3
