"""A run's scores in shards: the same digest and rows as in one piece, each shard once, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise

import psycopg2
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import sql
from sqlalchemy import text

from rescore import digest
from rescore.errors import (
    DigestMismatchError,
    EnvironmentMismatchError,
    KeptError,
    NotFoundError,
    RowAccountingError,
    StaleFenceError,
    StoreError,
    StoreUnavailableError,
)
from rescore.manifest import Manifest
from rescore.pipeline.scoring.shards import MAX_SHARDS
from rescore.store import RunHandle, ShardHandle, Store
from rescore.store.binary_copy import copy_batches
from rescore.store.database import call, store_table
from tests.shared.waiting import until
from tests.store.builders import KEY_TYPES, Walk, day, make_scores, make_spec, sha
from tests.store.logins import Logins, as_superuser, superuser_url

#: Rows of a leaf in these tests, and of the run that they cut.
LEAF, ROWS = 8, 50
SIZES = (16, 24, 10)


@pytest.fixture(autouse=True)
def small_leaves() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest, "LEAF_ROWS", LEAF)
        yield


def validated(walk: Walk, rows: int = ROWS) -> RunHandle:
    run = walk.claim(day())
    walk.extract(run, rows)
    walk.validate(run)
    return run


def planned(walk: Walk, sizes: tuple[int, ...] = SIZES, **more: object) -> list[ShardHandle]:
    run = validated(walk, sum(sizes))
    return walk.store.shards.plan(run, sizes, **walk.package, **more)


def part(
    shard: ShardHandle, sizes: tuple[int, ...] = SIZES, scores: pa.Table | None = None
) -> list[pa.Table]:
    """The batches of a shard."""
    scores = make_scores(day(), sum(sizes)) if scores is None else scores
    return scores.slice(sum(sizes[: shard.number]), sizes[shard.number]).to_batches()


def never() -> Iterator[pa.RecordBatch]:
    raise AssertionError("nobody asks for it")
    yield


def publish(walk: Walk, run: RunHandle) -> None:
    walk.store.runs.advance(run, "scored")
    walk.check(run)
    walk.store.publications.publish(run)


@given(
    rows=st.integers(0, 70),
    cuts=st.sets(st.integers(1, 8), max_size=5),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_split_in_any_order_publishes_the_digest_and_rows_of_one_piece(
    walk: Walk, store: Store, rows: int, cuts: set[int], order: object
) -> None:
    scores = make_scores(day(), rows)
    edges = sorted({0, rows, *(min(cut * LEAF, rows) for cut in cuts)})
    sizes = tuple(stop - start for start, stop in pairwise(edges)) or (0,)
    whole = digest.table_digest(scores)
    shards = planned(walk, sizes)
    shuffled = list(shards)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    for shard in shuffled:
        store.shards.stage(shard, part(shard, sizes, scores))
    run = shards[0].run
    assert store.shards.join(run) == whole == store.shards.join(run)
    publish(walk, run)
    assert store.scores.of_run(run).equals(scores)
    published = store.runs.scored(run)
    assert (published.score_digest, published.rows_scored) == (whole.root, rows)
    assert [shard.attempts for shard in store.shards.of_run(run)] == [1] * len(shards)
    with store.database.transaction() as connection:
        left = connection.exec_driver_sql("SELECT count(*) FROM rescore.staging").scalar()
    assert left == 0


def test_the_most_shards_that_a_run_may_have_join_to_the_digest_of_one_piece(
    walk: Walk, store: Store
) -> None:
    sizes = (*[LEAF] * (MAX_SHARDS - 1), 3)
    scores = make_scores(day(), sum(sizes))
    shards = planned(walk, sizes)
    with ThreadPoolExecutor(4) as pool:  # as several workers
        list(pool.map(lambda shard: store.shards.stage(shard, part(shard, sizes, scores)), reversed(shards)))
    assert store.shards.join(shards[0].run) == digest.table_digest(scores)
    publish(walk, shards[0].run)
    assert store.scores.of_run(shards[0].run).equals(scores)


def test_a_shard_that_is_missing_is_named_and_nothing_is_published(walk: Walk, store: Store) -> None:
    shards = planned(walk)
    run = shards[0].run
    store.shards.stage(shards[1], part(shards[1]))
    named = ["shard 0, rows 0 to 15", "shard 2, rows 40 to 49"]
    with pytest.raises(RowAccountingError, match=r"2 of 3 shards of run .* have no scores") as joining:
        store.shards.join(run)
    refused = pytest.raises(RowAccountingError, match="2 of 3 shards")
    with refused, store.database.transaction() as connection:
        call(connection, "shards_finish", run.run_id, run.fence, {"rows": 24, "root": "x", "leaves": []})
    with pytest.raises(RowAccountingError, match=r"2 of 3 shards of run .* have no scores") as publishing:
        store.publications.publish(run)
    assert list(joining.value.examples) == list(publishing.value.examples) == named
    for shard in (shards[0], shards[2]):  # the run is as open as before: those alone are staged
        store.shards.stage(shard, part(shard))
    store.shards.join(run)
    publish(walk, run)
    assert store.scores.of_run(run).equals(make_scores(day()))
    assert [shard.attempts for shard in store.shards.of_run(run)] == [1, 1, 1]


def test_what_is_staged_is_not_scored_again(walk: Walk, store: Store) -> None:
    shards = planned(walk)
    first = store.shards.stage(shards[0], part(shards[0]))
    assert store.shards.stage(shards[0], never()) == first
    for shard in shards[1:]:
        store.shards.stage(shard, part(shard))
    store.shards.join(shards[0].run)
    publish(walk, shards[0].run)
    assert store.shards.stage(shards[0], never()) == first, "a task that is cleared after the publication"


def test_an_attempt_that_wakes_after_its_retry_changes_nothing(walk: Walk, store: Store) -> None:
    """At every step: before its COPY, amid its COPY, and before it finishes."""
    shards = planned(walk)
    shard, other = shards[0], make_scores(day(), ROWS, seed=9)
    run, fence = shard.run.run_id, shard.run.fence
    schema = make_scores(day()).schema

    def begin() -> tuple[str, int]:
        with store.database.transaction() as connection:
            staged, attempt = call(connection, "shard_begin", run, fence, 0, None)
        return staged, attempt

    before, _ = begin()  # falls asleep before its COPY
    amid, number = begin()  # falls asleep amid its COPY
    with store.database.transaction() as sleeping:
        copy_batches(sleeping, store_table(sleeping, amid), schema, part(shard, scores=other))
        store.shards.stage(shard, part(shard))
        gone = pytest.raises(StoreError, match=rf"relation .*{before}.* does not exist")
        with gone, store.database.transaction() as connection:
            copy_batches(connection, store_table(connection, before), schema, part(shard, scores=other))
    staged = digest.table_digest(pa.Table.from_batches(part(shard, scores=other))).to_dict()
    stale = pytest.raises(StaleFenceError, match=r"attempt 2 at shard 0 .* and a later one began")
    with stale, store.database.transaction() as connection:
        call(connection, "shard_finish", run, fence, 0, number, staged, None)
    for later in shards[1:]:
        store.shards.stage(later, part(later))
    store.shards.join(shard.run)
    publish(walk, shard.run)
    assert store.scores.of_run(shard.run).equals(make_scores(day()))


def test_a_later_attempt_at_the_run_ends_all_of_its_shards(walk: Walk, store: Store) -> None:
    shards = planned(walk)
    for shard in shards[:2]:
        store.shards.stage(shard, part(shard))
    again = store.runs.resume(shards[0].run_id, "validated")
    assert again.run_id == shards[0].run_id, "nothing of it was joined: the run goes on"
    for write in (
        lambda: store.shards.stage(shards[2], part(shards[2])),
        lambda: store.shards.join(shards[0].run),
        lambda: store.shards.plan(shards[0].run, SIZES, **walk.package),
    ):
        with pytest.raises(StaleFenceError):
            write()
    anew = store.shards.plan(again, (32, 18), **walk.package)
    assert [shard.attempts for shard in store.shards.of_run(again)] == [0, 0]
    for shard in anew:
        store.shards.stage(shard, part(shard, (32, 18)))
    assert store.shards.join(again) == digest.table_digest(make_scores(day()))
    publish(walk, again)


def test_shards_of_an_older_plan_hear_that_a_later_attempt_began(walk: Walk, store: Store) -> None:
    """Also where the later one planned fewer shards, or stages in one piece."""
    old = planned(walk)
    again = store.runs.resume(old[0].run_id, "validated")
    store.shards.plan(again, [ROWS], **walk.package)
    with pytest.raises(StaleFenceError):
        store.shards.get(old[2])
    whole = store.runs.resume(again, "validated")
    store.scores.stage(whole, make_scores(day()), **walk.package)
    assert store.shards.of_run(whole) == []
    for late in (lambda: store.shards.get(old[0]), lambda: store.shards.stage(old[0], never())):
        with pytest.raises(StaleFenceError):
            late()


def test_an_attempt_whose_table_a_later_one_took_hears_so(walk: Walk, store: Store) -> None:
    shards = planned(walk)

    def overtaken() -> Iterator[pa.RecordBatch]:
        store.shards.stage(shards[0], part(shards[0]))  # before the first row of this one is copied
        yield from part(shards[0])

    with pytest.raises(StaleFenceError, match=r"attempt 1 at shard 0 .* a later one began"):
        store.shards.stage(shards[0], overtaken())


def test_no_attempt_at_the_run_begins_while_a_shard_finishes(walk: Walk, store: Store) -> None:
    shards = planned(walk)
    run, fence = shards[0].run.run_id, shards[0].run.fence
    staged = digest.table_digest(pa.Table.from_batches(part(shards[0]))).to_dict()
    with store.database.transaction() as connection:
        table, attempt = call(connection, "shard_begin", run, fence, 0, None)
    with store.database.transaction() as connection:
        copy_batches(connection, store_table(connection, table), make_scores(day()).schema, part(shards[0]))
    with store.database.transaction() as connection:
        call(connection, "shard_finish", run, fence, 0, attempt, staged, None)
        assert store.runs.resume(run, "validated").run_id != run, "a fork: the run is being written to"


def test_a_join_of_other_leaves_than_the_shards_have_is_refused(walk: Walk, store: Store) -> None:
    shards = planned(walk)
    for shard in shards:
        store.shards.stage(shard, part(shard))
    run = shards[0].run
    other = digest.table_digest(make_scores(day(), ROWS, seed=2)).to_dict()
    refused = pytest.raises(DigestMismatchError, match="are not those of its shards")
    with refused, store.database.transaction() as connection:
        call(connection, "shards_finish", run.run_id, run.fence, other)


def test_a_key_that_was_widened_between_two_shards_needs_another_plan(store: Store) -> None:
    narrow = KEY_TYPES | {"loan_id": pa.int32()}
    walk = Walk.__new__(Walk)
    walk.store, walk.spec, walk.version = store, make_spec("narrow"), "1.0.0"
    store.models.ensure(walk.spec, narrow)
    store.packages.add("narrow", "1.0.0", sha("narrow1.0.0"), Manifest(seed=1), "file:///p.whl")
    shards = planned(walk, (16, 34))
    thin = make_scores(day())
    thin = thin.set_column(1, "loan_id", thin["loan_id"].cast(pa.int32()))
    store.shards.stage(shards[0], part(shards[0], (16, 34), thin))
    store.models.ensure(walk.spec, KEY_TYPES)
    store.shards.stage(shards[1], part(shards[1], (16, 34)))
    with pytest.raises(StoreError, match="don't fit together") as found:
        store.shards.join(shards[0].run)
    assert "clear `split`" in str(found.value)


def test_retention_sees_the_progress_of_shards(walk: Walk, store: Store) -> None:
    shards = planned(walk)
    before = store.runs.last_attempts("loans")[shards[0].run_id]
    store.shards.stage(shards[0], part(shards[0]))
    progress = store.runs.last_attempts("loans")[shards[0].run_id]
    assert progress == store.shards.get(shards[0]).done_at
    with pytest.raises(KeptError, match="goes on"):
        store.deletions.delete_rows(shards[0].run_id, rule="abandoned", done_by="ada", last_progress=before)
    store.deletions.delete_rows(shards[0].run_id, rule="abandoned", done_by="ada", last_progress=progress)
    with store.database.transaction() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM rescore.staging").scalar() == 0


def test_shards_of_other_rows_are_refused(walk: Walk, store: Store) -> None:
    run = validated(walk)
    for sizes in ((16, 24), (16, 24, 10, 1), (60, -10), ()):
        with pytest.raises(RowAccountingError, match="are not its rows"):
            store.shards.plan(run, sizes, **walk.package)
    shards = store.shards.plan(run, SIZES, **walk.package)
    with pytest.raises(RowAccountingError, match=r"shard 0 of run .* has 24 rows"):
        store.shards.stage(shards[0], part(shards[1]))
    with pytest.raises(NotFoundError, match="no shard 3"):
        store.shards.stage(ShardHandle(run, 3), part(shards[0]))
    swapped = {0: shards[1], 1: shards[0]}
    anew = store.shards.plan(run, (16, 16, 18), **walk.package)
    for shard in anew:
        rows = part(swapped.get(shard.number, shard), (16, 16, 18))
        store.shards.stage(shard, rows)
    store.shards.join(run)  # what lies there is not in this order: that is found when it is read back
    store.runs.advance(run, "scored")
    walk.check(run)
    with pytest.raises(DigestMismatchError, match="are not those that were staged"):
        store.publications.publish(run)


def test_a_shard_of_another_numeric_environment_is_refused(walk: Walk, store: Store) -> None:
    here, other = {"simd": ["AVX2"], "python": "3.11"}, {"simd": ["AVX512"], "python": "3.11"}
    shards = planned(walk, environment=here)
    with pytest.raises(
        EnvironmentMismatchError, match=r"shard 1 of run .* another numeric environment"
    ) as found:
        store.shards.stage(shards[1], never(), environment=other)
    assert list(found.value.examples) == ['simd: ["AVX512"]']
    assert "clear `split`" in str(found.value)
    run, fence = shards[1].run.run_id, shards[1].run.fence
    with store.database.transaction() as connection:  # and one that begins so without saying it
        _, attempt = call(connection, "shard_begin", run, fence, 1, None)
    with pytest.raises(EnvironmentMismatchError), store.database.transaction() as connection:
        call(connection, "shard_finish", run, fence, 1, attempt, {}, other)
    for shard in shards:
        store.shards.stage(shard, part(shard), environment=here)
    store.shards.join(shards[0].run)
    assert store.runs.get(shards[0].run).environment == here


def test_rows_that_a_crash_of_the_server_took_are_staged_again(walk: Walk, store: Store) -> None:
    shards = planned(walk)
    for shard in shards:
        store.shards.stage(shard, part(shard))
    with as_superuser(store) as connection:
        table = connection.exec_driver_sql("SELECT table_name FROM rescore.staging WHERE shard = 1").scalar()
        connection.exec_driver_sql(f"TRUNCATE rescore.{table}")  # as a crash does with an unlogged table
    with pytest.raises(RowAccountingError, match=r"the staged rows of shard 1 of run .* are gone"):
        store.shards.join(shards[0].run)
    for shard in shards:  # all tasks cleared: only the one that is gone is staged
        store.shards.stage(shard, part(shard))
    assert [shard.attempts for shard in store.shards.of_run(shards[0].run)] == [1, 2, 1]
    store.shards.join(shards[0].run)
    publish(walk, shards[0].run)


def test_the_run_role_stages_shards_and_forges_none(logins: Logins, store: Store) -> None:
    """It works with plain SQL: writes beside the functions, or functions out of turn."""
    as_run = Store(logins.url("run"))
    walk = Walk(as_run)
    run = walk.claim(day(7))
    walk.extract(run, ROWS)
    walk.validate(run)
    scores = make_scores(day(7))
    for shard in as_run.shards.plan(run, SIZES, **walk.package):
        as_run.shards.stage(shard, part(shard, scores=scores))
    tables = [str(name) for (name,) in logins.run("run", "SELECT table_name FROM rescore.staging")]
    assert len(tables) == 3
    for forged in (
        *(f"INSERT INTO rescore.{table} SELECT * FROM rescore.scores_loans" for table in tables),
        f"DELETE FROM rescore.{tables[0]}",
        "UPDATE rescore.shard SET digest = NULL",
        "INSERT INTO rescore.shard SELECT * FROM rescore.shard",
        "SELECT rescore.make_staged(r, 'mine', 0) FROM rescore.run r LIMIT 1",
        f"SELECT rescore.discard_staged('{tables[0]}')",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            logins.run("run", forged)
    foreign = walk.claim(day(9))
    walk.extract(foreign, 1)
    walk.validate(foreign)
    [mine] = as_run.shards.plan(foreign, [1], **walk.package)
    begin = f"SELECT staged, attempt FROM rescore.shard_begin('{foreign.run_id}', {foreign.fence}, 0, NULL)"
    [(table, number)] = logins.run("run", begin)
    logins.run(
        "run",
        f"INSERT INTO rescore.{table} (run_id, branch, loan_id, event_time, score, label)"
        f" VALUES ('{run.run_id}', 'b', 1, '2024-03-10', 0.5, 'pays')",
    )
    with pytest.raises(psycopg2.Error, match="not those of their digest"):  # a row under another run's id
        logins.run(
            "run",
            f"SELECT rescore.shard_finish('{foreign.run_id}', {foreign.fence}, 0, {number},"
            f" '{{\"rows\": 1}}', NULL)",
        )
    assert as_run.shards.get(mine).digest is None
    as_run.shards.join(run)
    attempt = f"'{run.run_id}', {run.fence}"
    for late in (
        f"SELECT rescore.shards_begin({attempt}, '1.0.0', 'x', NULL, '[50]')",
        f"SELECT rescore.shard_finish({attempt}, 0, 1, '{{}}', NULL)",
    ):
        with pytest.raises(psycopg2.Error, match="has scores already"):
            logins.run("run", late)
    publish(walk, run)
    assert store.scores.of_run(run).equals(scores)
    as_run.close()


def test_what_is_still_copied_when_a_shard_finishes_is_waited_for(walk: Walk, store: Store) -> None:
    """Else its rows would lie in the table once they were counted."""
    shards = planned(walk)
    run, fence = shards[0].run.run_id, shards[0].run.fence
    schema = make_scores(day()).schema
    with store.database.transaction() as connection:
        table, attempt = call(connection, "shard_begin", run, fence, 0, None)
    with store.database.transaction() as connection:
        copy_batches(connection, store_table(connection, table), schema, part(shards[0]))
    finish = (run, fence, 0, attempt, digest.table_digest(pa.Table.from_batches(part(shards[0]))).to_dict())
    late = psycopg2.connect(store.database.libpq_url)
    with closing(late), late.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "INSERT INTO rescore.{} (branch, loan_id, event_time, score, label)"
                " VALUES ('late', 1, now(), 0, 'pays')"
            ).format(sql.Identifier(str(table)))
        )
        with pytest.raises(StoreUnavailableError), store.database.transaction() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
            call(connection, "shard_finish", *finish, None)
    assert store.shards.get(shards[0]).digest is None
    with store.database.transaction() as connection:
        call(connection, "shard_finish", *finish, None)


def test_a_join_that_is_killed_amid_its_moves_has_moved_nothing(walk: Walk, store: Store) -> None:
    shards = planned(walk)
    for shard in shards:
        store.shards.stage(shard, part(shard))
    run = shards[0].run
    held = psycopg2.connect(superuser_url(store))
    with closing(held), held.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute("SELECT table_name FROM rescore.staging WHERE shard = 1")
        [[second]] = cursor.fetchall()
        # Its rows may be counted, and not be moved: the first shard's are, by then.
        cursor.execute(sql.SQL("LOCK TABLE rescore.{} IN ROW EXCLUSIVE MODE").format(sql.Identifier(second)))
        joining = pool.submit(store.shards.join, run)
        until(
            lambda: (
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks"
                    " WHERE NOT granted AND relation = %s::regclass",
                    [f"rescore.{second}"],
                )
                or cursor.fetchall()
            ),
            "the join's wait for the second shard",
        )
        with pytest.raises(StoreUnavailableError):
            joining.result()
    assert store.runs.get(run).state == "validated"
    assert store.scores.of_run(run).num_rows == 0
    assert [shard.attempts for shard in store.shards.of_run(run)] == [1, 1, 1]
    assert store.shards.join(run) == digest.table_digest(make_scores(day()))
    publish(walk, run)
    assert store.scores.of_run(run).equals(make_scores(day()))
