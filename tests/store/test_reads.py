"""What consumers read by key does not grow with history, and is what it was when it did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from rescore.errors import StoreError
from rescore.store import DueInterval, Store
from tests.store.builders import Walk, day, make_scores, sha
from tests.store.logins import as_superuser, copied, superuser_url

PUBLICATIONS = 60
KEY = "branch = 'b3é' AND loan_id = 33"
OWN_ORDER = """
SELECT DISTINCT ON (branch, loan_id) * FROM scores.loans
ORDER BY branch, loan_id, event_time DESC, published_at DESC
"""

#: Publishes days by SQL alone: the same 50 keys each day.
_FILL = """
CREATE TEMP TABLE d AS SELECT n, md5(n::text)::uuid AS run_id, s, s + interval '1 day' AS e
  FROM generate_series(0, :days - 1) n,
    LATERAL (SELECT timestamptz '2024-03-01 00:00+00' + n * interval '1 day' AS s) x
  WHERE n <> ALL (CAST(:missing AS int[]));
INSERT INTO rescore.run (run_id, model, interval_start, interval_end, as_of, fence, state, rows_extracted,
    rows_scored, package_version, package_sha256, environment)
  SELECT run_id, 'loans', s, e, e, 1, 'checked', 50, 50, '1.0.0', :sha256, '{}' FROM d;
SELECT rescore.ensure_partition('loans', s::date) FROM d;
INSERT INTO rescore.scores_loans (run_id, branch, loan_id, event_time, score, label)
  SELECT run_id, 'b' || k % 5 || 'é', k, s + k * interval '1 second', k, 'pays'
  FROM d, generate_series(0, 49) k;
INSERT INTO rescore.publication (run_id, model, interval_start, interval_end, fence, published_at)
  SELECT run_id, 'loans', s, e, 1, e FROM d ORDER BY n;
DROP TABLE d;
"""


def fill(store: Store, walk: Walk, days: int, *, missing: tuple[int, ...] = ()) -> None:
    values = {"days": days, "sha256": walk.package["package_sha256"], "missing": [*missing]}
    with as_superuser(store) as connection:
        connection.execute(text(_FILL), values)
    with psycopg2.connect(superuser_url(store)) as connection, connection.cursor() as cursor:
        cursor.execute("ANALYZE")


@dataclass
class Plan:
    """What a query did: its nodes, with the rows that each gave."""

    nodes: list[dict[str, Any]]

    @classmethod
    def of(cls, store: Store, query: str, values: Any = None) -> Plan:
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {query}"
        with as_superuser(store) as connection:
            explained = connection.exec_driver_sql(explain, values).scalar()
        [found] = explained if isinstance(explained, list) else json.loads(str(explained))
        nodes, left = [], [found["Plan"]]
        while left:
            node = left.pop()
            nodes.append(node)
            left += node.get("Plans", [])
        return cls(nodes)

    def rows_of(self, prefix: str) -> float:
        """Rows read of the tables whose name begins so."""
        return sum(
            node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
            for node in self.nodes
            if node.get("Relation Name", "").startswith(prefix)
        )

    @property
    def scanned(self) -> set[str]:
        """Tables that were read from end to end."""
        return {
            node["Relation Name"]
            for node in self.nodes
            if node["Node Type"] == "Seq Scan" and node["Actual Loops"] > 0
        }


@pytest.mark.parametrize("days", [4 * PUBLICATIONS, 16 * PUBLICATIONS])
def test_the_latest_score_of_a_key_reads_the_same_few_rows_of_any_history(
    walk: Walk, store: Store, days: int
) -> None:
    fill(store, walk, days)
    plan = Plan.of(store, f"SELECT * FROM scores.loans_latest WHERE {KEY}")
    assert 1 <= plan.rows_of("scores20") <= 2
    assert plan.rows_of("current_publication") <= 2
    assert not {name for name in plan.scanned if name.startswith("scores")}


def test_what_is_missing_is_found_without_all_that_is_there(walk: Walk, store: Store) -> None:
    """Intervals are declared before, and after, their scores are published; one of each is missing."""
    days = 16 * PUBLICATIONS
    all_days = [day(number) for number in range(days)]
    early, late = all_days[: days // 2], all_days[days // 2 :]
    store.timetables.declare("loans", "daily", [DueInterval(one, one.end) for one in early], ends=False)
    fill(store, walk, days, missing=(3, days - 3))
    due = [DueInterval(one, one.end) for one in late]
    store.timetables.declare("loans", "daily", due, ends=True)
    query = "SELECT interval_start FROM scores.gaps WHERE model = 'loans' ORDER BY interval_start"
    with store.database.transaction() as connection:
        found = list(connection.execute(text(query)).scalars())
    assert found == [all_days[3].start, all_days[-3].start]
    plan = Plan.of(store, query)
    assert plan.rows_of("due") <= 4 and plan.rows_of("publication") <= 4


def test_all_scores_of_a_key_come_by_its_index_and_from_two_tables(walk: Walk, store: Store) -> None:
    fill(store, walk, PUBLICATIONS)
    plan = Plan.of(store, f"SELECT * FROM scores.loans WHERE {KEY}")
    assert plan.rows_of("scores20") == PUBLICATIONS
    assert not {name for name in plan.scanned if name.startswith("scores")}
    others = {node.get("Relation Name", "scores") for node in plan.nodes}
    assert {name for name in others if not name.startswith("scores")} == {"current_publication"}


def test_views_are_barriers_and_keys_pass_them(store: Store) -> None:
    """A consumer's own function sees no row that the view leaves out; equality of any key type passes."""
    with as_superuser(store) as connection:
        open_views = connection.execute(
            text(
                "SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'scores'::regnamespace"
                " AND NOT coalesce(reloptions::text[] && '{security_barrier=true}', false)"
            )
        ).scalars()
        assert list(open_views) == []
        leaking = connection.execute(
            text(
                "SELECT oprleft::regtype FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode"
                " WHERE oprname = '=' AND oprleft = oprright AND NOT proleakproof AND oprleft = ANY"
                " ('{bool,int2,int4,int8,date,timestamptz,text,uuid}'::regtype[])"
            )
        ).scalars()
        assert list(leaking) == []


def test_what_is_current_is_changed_by_publications_alone(walk: Walk, store: Store) -> None:
    store.publications.publish(walk.checked(day()))
    for statement in (
        "DELETE FROM rescore.current_publication",
        "UPDATE rescore.current_publication SET verdict = 'ok'",
        "INSERT INTO rescore.current_publication SELECT * FROM rescore.current_publication",
        "TRUNCATE rescore.current_publication",
    ):
        with (
            pytest.raises(StoreError, match="follows from the publications"),
            as_superuser(store) as c,
        ):
            c.execute(text(statement))


@pytest.fixture(scope="module")
def bare(postgres_server: Any, migrated_template: str) -> Iterator[Store]:
    """A store for all examples of a law."""
    with copied(postgres_server, migrated_template, "reads_law") as store:
        yield store


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    published=st.lists(
        st.tuples(st.integers(0, 3), st.sets(st.integers(0, 7)), st.booleans()), min_size=1, max_size=5
    )
)
def test_the_latest_are_those_of_all_current_scores(bare: Store, published: list[Any]) -> None:
    """Whatever is published, in any order, superseded by runs with other keys, with keys known or not."""
    walk = Walk(bare)
    for number, keys, known in published:
        interval = day(number)
        rows = make_scores(interval, rows=8, seed=len(keys))
        bare.publications.publish(walk.checked(interval, rows.take(pa.array(sorted(keys), pa.int64()))))
        if not known:  # as of a run that is too large to take its keys out
            forget(bare, interval.start)
    with bare.database.transaction() as connection:
        latest = connection.execute(text("SELECT * FROM scores.loans_latest ORDER BY branch, loan_id")).all()
        assert latest == connection.execute(text(OWN_ORDER)).all()


def forget(store: Store, start: Any) -> None:
    """Leave the keys of an interval's run to the run's own rows."""
    with as_superuser(store) as connection:
        connection.execute(
            text(
                "ALTER TABLE rescore.current_publication DISABLE TRIGGER derived;"
                "UPDATE rescore.current_publication SET keys_known = false WHERE interval_start = :start;"
                "DELETE FROM rescore.keys_loans k WHERE NOT EXISTS (SELECT FROM rescore.scores_loans s"
                " JOIN rescore.current_publication p USING (run_id) WHERE p.keys_known"
                " AND (s.branch, s.loan_id) = (k.branch, k.loan_id));"
                "ALTER TABLE rescore.current_publication ENABLE TRIGGER derived"
            ),
            {"start": start},
        )


def partitions(store: Store) -> list[tuple[str, str]]:
    query = (
        "SELECT c.relname, pg_get_expr(relpartbound, c.oid) FROM pg_inherits"
        " JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'rescore.scores_loans'::regclass ORDER BY 1"
    )
    with as_superuser(store) as connection:
        connection.execute(text("SET LOCAL timezone = 'UTC'"))
        return [(row[0], row[1]) for row in connection.execute(text(query))]


@pytest.mark.parametrize(
    ("rows", "first"),
    [(1_000, "2020-01-01"), (20_000, "2024-01-01"), (1_000_000, "2024-03-01")],
    ids=["a decade", "a year", "a month"],
)
def test_a_partition_spans_what_the_volume_asks_for(walk: Walk, store: Store, rows: int, first: str) -> None:
    run = walk.claim(day())
    store.runs.advance(run, "extracted", input_digest=sha("input"), rows_extracted=rows)
    with as_superuser(store) as connection:
        for month in ("2024-03-01", "2024-03-01"):
            connection.execute(text("SELECT rescore.ensure_partition('loans', :m)"), {"m": month})
    [(name, bounds)] = partitions(store)
    assert name == f"scores{first[:4]}{first[5:7]}_loans"
    assert bounds.startswith(f"FOR VALUES FROM ('{first} 00:00:00+00')")


def test_a_partition_leaves_room_to_the_months_of_an_older_store(walk: Walk, store: Store) -> None:
    with as_superuser(store) as connection:
        for month, after in (("2024-02-01", "2024-03-01"), ("2024-06-01", "2024-07-01")):
            name = f"rescore.scores{month[:4]}{month[5:7]}_loans"
            connection.execute(
                text(
                    f"CREATE TABLE {name} PARTITION OF rescore.scores_loans"
                    f" FOR VALUES FROM ('{month} 00:00+00') TO ('{after} 00:00+00')"
                )
            )
    store.publications.publish(walk.checked(day()))
    assert (
        "scores202403_loans",
        "FOR VALUES FROM ('2024-03-01 00:00:00+00') TO ('2024-06-01 00:00:00+00')",
    ) in (partitions(store))


@pytest.mark.parametrize(
    "asked",
    [
        "rescore.erased_since_frozen(:digest)",
        "(SELECT count(*) FROM rescore.names_of(:digest))",
        "rescore.may_bury('[\"loans\"]', :digest, '[]')",
    ],
)
def test_what_is_known_of_a_frozen_table_is_found_by_its_digest(walk: Walk, store: Store, asked: str) -> None:
    """Attempts, retention and erasures ask for one table: they don't read of all that were ever frozen."""
    fill(store, walk, PUBLICATIONS)
    frozen = """
        UPDATE rescore.run SET input_digest = 'sha256:' || encode(sha256(run_id::text::bytea), 'hex');
        INSERT INTO rescore.snapshot (model, kind, digest, interval_start, interval_end, as_of, rows, uri,
            details)
          SELECT model, 'input', 'sha256:' || d, interval_start, interval_end, as_of, 50, '',
            jsonb_build_object('unlabelled_digest', 'sha256:' || reverse(d))
          FROM rescore.run, generate_series(1, 50) n, encode(sha256((run_id::text || n)::bytea), 'hex') d;
    """
    read = """
        SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_xact_user_tables
        WHERE relname IN ('run', 'snapshot')
    """
    with as_superuser(store) as connection:
        connection.execute(text(frozen))
        connection.execute(text("ANALYZE rescore.run, rescore.snapshot"))
    with as_superuser(store) as connection:
        before = connection.execute(text(read)).scalar()
        connection.execute(text(f"SELECT {asked}"), {"digest": sha("a table")})
        assert connection.execute(text(read)).scalar() == before


@pytest.mark.parametrize("measured", [False, True], ids=["not measured", "measured"])
def test_the_overview_of_a_model_reads_a_few_rows_of_any_history(
    walk: Walk, store: Store, measured: bool
) -> None:
    fill(store, walk, 16 * PUBLICATIONS)
    last = store.publications.of_model("loans")[-1]
    if measured:
        report = {"latest": {"verdict": "ok", "sentence": "as expected"}}
        store.reports.record_performance(last.run_id, last.interval.end, report)
    asked: list[tuple[str, Any]] = []

    def listen(*given: Any) -> None:
        asked.append((given[2], given[3]))

    event.listen(store.database.engine, "before_cursor_execute", listen)
    [status] = store.history.status()
    latest = store.overview.last_published(["loans", "others"])
    performances = store.overview.performances(["loans", "others"])
    event.remove(store.database.engine, "before_cursor_execute", listen)
    assert (status.run_id, latest["loans"].run_id, [*latest]) == (last.run_id, last.run_id, ["loans"])
    assert status.performance == ("ok" if measured else None)
    assert performances == ({"loans": report["latest"]} if measured else {})
    for statement, values in asked:
        if "publication" in statement:
            plan = Plan.of(store, statement, values)
            assert plan.rows_of("publication") + plan.rows_of("current_publication") <= 3, statement


def test_runs_that_were_taken_over_wait_for_nobody(walk: Walk, store: Store) -> None:
    for number in range(2):
        held = walk.checked(day(number), verdict="drifted")
        store.runs.hold(held, "drifted")
    walk.claim(day(1))
    assert store.overview.held(["loans", "others"]) == {"loans": 1}
    store.publications.publish(walk.checked(day()))
    assert store.overview.held(["loans"]) == {}
