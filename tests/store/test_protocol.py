"""Exactly once: racing writers, attempts killed at every step, readers in between."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from rescore.errors import StaleFenceError
from rescore.interval import Interval
from rescore.store import RunHandle, Store
from rescore.store.binary_copy import _Stream
from tests.store.builders import Walk, day, make_scores
from tests.store.logins import as_superuser


def seen(store: Store, interval: Interval) -> tuple[set[str], list[float]]:
    """Runs and scores that consumers see of an interval, in one statement."""
    with as_superuser(store) as connection:
        rows = connection.execute(
            text("SELECT run_id, score FROM scores.loans WHERE interval_start = :start ORDER BY loan_id"),
            {"start": interval.start},
        ).all()
    return {str(row.run_id) for row in rows}, [row.score for row in rows]


def attempt(walk: Walk, interval: Interval, seed: int) -> Iterator[RunHandle]:
    """One attempt, pausing after each step; each has scores of its own."""
    scores = make_scores(interval, rows=8, seed=seed)
    run = walk.claim(interval)
    yield run
    walk.extract(run, 8)
    walk.validate(run)
    yield run
    walk.store.scores.stage(run, scores, **walk.package)
    yield run
    walk.store.runs.advance(run, "scored")
    walk.check(run)
    yield run
    walk.store.publications.publish(run)
    yield run


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=st.lists(st.integers(0, 3), min_size=6, max_size=18))
def test_any_interleaving_of_attempts_shows_one_whole_run(walk: Walk, store: Store, turns: list[int]) -> None:
    # Attempts that the turns do not finish are as good as killed.
    number = getattr(store, "_examples", 0)
    store._examples = number + 1  # type: ignore[attr-defined]
    interval = day(number)
    attempts: dict[int, Iterator[RunHandle]] = {}
    runs: dict[int, tuple[str, int]] = {}
    newest_fence, published = 0, ""
    for turn in turns:
        attempts.setdefault(turn, attempt(walk, interval, seed=turn))
        try:
            run = next(attempts[turn], None)
        except StaleFenceError:
            assert runs[turn][1] < newest_fence
            attempts[turn] = iter(())
            continue
        if run is None:
            continue
        runs[turn] = (run.run_id, run.fence)
        newest_fence = max(newest_fence, run.fence)
        if store.runs.get(run).state == "published":
            assert run.fence == newest_fence
            published = run.run_id
        ids, scores = seen(store, interval)
        assert ids == ({published} if published else set())
        if published:
            seed = next(turn for turn, (run_id, _) in runs.items() if run_id == published)
            assert scores == make_scores(interval, rows=8, seed=seed)["score"].to_pylist()


def test_writers_at_the_same_time_and_readers_between(walk: Walk, store: Store) -> None:
    """Two writers per round race for one interval; a reader never sees a mixture or a part."""
    store.publications.publish(walk.checked(day(), make_scores(day(), rows=40, values=[0.0] * 40)))
    torn: list[Any] = []
    reads = 0
    stop = threading.Event()

    def read() -> None:
        nonlocal reads
        reader = Store(store.database.url)
        while not stop.is_set():
            ids, scores = seen(reader, day())
            reads += 1
            if len(ids) != 1 or len(scores) != 40 or len(set(scores)) != 1:
                torn.append((ids, scores))
        reader.close()

    def write(number: int) -> bool:
        writer = Walk(Store(store.database.url))
        try:
            values = [float(number)] * 40
            writer.store.publications.publish(
                writer.checked(day(), make_scores(day(), rows=40, values=values))
            )
        except StaleFenceError:
            return False
        finally:
            writer.store.close()
        return True

    thread = threading.Thread(target=read)
    thread.start()
    with ThreadPoolExecutor(2) as pool:
        won = [list(pool.map(write, (2 * turn + 1, 2 * turn + 2))) for turn in range(4)]
    stop.set()
    thread.join()
    assert (torn, reads > 5) == ([], True)
    assert all(any(pair) for pair in won)
    publications = store.publications.of_model("loans")
    assert len(publications) == 1 + sum(sum(pair) for pair in won)
    # Fences only grow, and each publication ends where its successor begins.
    assert [p.fence for p in publications] == sorted(p.fence for p in publications)
    assert [p.superseded_at for p in publications] == [*[p.published_at for p in publications[1:]], None]


def killed_at(step: Callable[[], None], url: str, count: int) -> bool:
    """Fork, run ``step``, and SIGKILL it before its ``count``-th statement; whether it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            left = count

            def before(*_: Any) -> None:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            event.listen(Engine, "before_cursor_execute", before)
            event.listen(Engine, "commit", before)
            read = _Stream.read

            def read_or_die(stream: _Stream, size: int = -1) -> bytes:
                before()  # in the middle of a COPY
                return read(stream, size)

            _Stream.read = read_or_die  # type: ignore[method-assign]
            step()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the attempt failed by itself"
    return os.WIFSIGNALED(status)


@pytest.mark.slow
def test_an_attempt_killed_before_any_statement_leaves_old_or_new_and_can_be_retried(
    walk: Walk, store: Store
) -> None:
    old = make_scores(day(), rows=8, seed=0)["score"].to_pylist()
    new = make_scores(day(), rows=8, seed=1)
    store.publications.publish(walk.checked(day(), make_scores(day(), rows=8, seed=0)))
    store.runs.latest()  # an open connection, which the child must not use

    def whole_attempt() -> None:
        # The parent's store object, as in a forked Airflow task.
        store.publications.publish(walk.checked(day(), new))

    count, killed = 0, 0
    while killed_at(whole_attempt, store.database.url, count):
        killed += 1
        ids, scores = seen(store, day())
        assert len(ids) == 1
        assert scores == old  # the commit that publishes was never reached
        count += 2
    assert killed >= 8, "the kills did not spread over the attempt"
    assert seen(store, day())[1] == new["score"].to_pylist()
    assert len(store.publications.of_model("loans")) == 2
    # What the killed attempts left is neither visible nor in the way.
    assert store.publications.publish(walk.checked(day(), new)).superseded_at is None


@pytest.mark.parametrize("how_many", [4])
def test_one_run_published_by_many_at_once_is_one_publication(
    walk: Walk, store: Store, how_many: int
) -> None:
    run = walk.checked(day())

    def publish(_: int) -> int:
        other = Store(store.database.url)
        sequence = other.publications.publish(run).sequence
        other.close()
        return sequence

    with ThreadPoolExecutor(how_many) as pool:
        assert len(set(pool.map(publish, range(how_many)))) == 1
    assert len(store.publications.of_model("loans")) == 1


def test_nobody_claims_an_interval_while_it_is_being_published(walk: Walk, store: Store) -> None:
    """Else a successor could claim and publish between the fence's comparison and the publication."""
    publishing, go_on = threading.Event(), threading.Event()

    def pause(_: Any, __: Any, statement: str, *___: Any) -> None:
        if '"publish"' in statement:
            publishing.set()
            assert go_on.wait(60)

    def waiting(other: Store) -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = :name"
        with other.database.transaction() as connection:
            return bool(
                connection.execute(text(query), {"name": store.database.engine.url.database}).scalar()
            )

    run = walk.checked(day())
    paused = Store(store.database.url)
    event.listen(paused.database.engine, "after_cursor_execute", pause)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(paused.publications.publish, run)
        assert publishing.wait(60)
        second = pool.submit(Store(store.database.url).runs.claim, "loans", day(), day().end)
        try:
            while not waiting(store):
                assert not second.done(), "claimed in the middle of a publication"
        finally:
            go_on.set()
        assert first.result().sequence == 1
        assert second.result().fence == 2
