"""What consumers read by key, against a plain table of the same rows, at two lengths of history.

    python bench/store_reads.py [PUBLICATIONS ...]

Each publication has the same 1,000 keys. Queries are taken alternately, ours and the plain table's, so that
the machine's load falls on both; printed are the medians, with planning and the loopback, and their
ratio. Results: docs/decisions/0028.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg2
import pyarrow as pa

from rescore.local import LocalPostgres
from rescore.manifest import Manifest
from rescore.sha256 import bytes_sha256
from rescore.spec import ModelSpec
from rescore.store import Store

ROWS, REPEATS = 1_000, 51
SPEC = ModelSpec.model_validate(
    {
        "name": "bench",
        "version": "1.0",
        "owner": "bench",
        "source": {"connection": "x", "key": ["branch", "loan"], "known_by": {"column": "recorded_at"}},
        "features": [{"name": "x", "kind": "numeric"}],
        "target": {"name": "y", "kind": "binary"},
        "output": {"unit": "probability", "meaning": "none"},
        "schedule": {"cron": "0 0 * * *", "start": "2024-01-01T00:00:00Z"},
        "training": {"intervals": 1, "seed": 1},
    }
)
KEY_TYPES = {"branch": pa.string(), "loan": pa.int64(), "event_time": pa.timestamp("us", tz="UTC")}

FILL = """
CREATE TEMP TABLE d AS SELECT n, md5(n::text)::uuid AS run_id, s, s + interval '1 day' AS e
  FROM generate_series(0, %(publications)s - 1) n,
    LATERAL (SELECT timestamptz '2024-03-01 00:00+00' + n * interval '1 day' AS s) x;
INSERT INTO rescore.run (run_id, model, interval_start, interval_end, as_of, fence, state, rows_extracted,
    rows_scored, package_version, package_sha256, environment)
  SELECT run_id, 'bench', s, e, e, 1, 'checked', %(rows)s, %(rows)s, '1.0.0', %(sha256)s, '{}' FROM d;
INSERT INTO rescore.drift (run_id, verdict, sentence, report) SELECT run_id, 'ok', 'fine', '{}' FROM d;
DO $$ BEGIN PERFORM rescore.ensure_partition('bench', s::date) FROM d; END $$;
INSERT INTO rescore.scores_bench (run_id, branch, loan, event_time, score, label)
  SELECT run_id, 'b' || k %% 5, k, s + k * interval '1 second', random(), 'pays'
  FROM d, generate_series(0, %(rows)s - 1) k;
INSERT INTO rescore.publication (run_id, model, interval_start, interval_end, fence, published_at)
  SELECT run_id, 'bench', s, e, 1, e FROM d ORDER BY n;
CREATE TABLE plain AS SELECT * FROM scores.bench;
ALTER TABLE plain ADD PRIMARY KEY (branch, loan, event_time);
"""
KEY = "branch = 'b3' AND loan = 13"
PAIRS = {
    "all of a key": (f"SELECT * FROM scores.bench WHERE {KEY}", f"SELECT * FROM plain WHERE {KEY}"),
    "latest of a key": (
        f"SELECT * FROM scores.bench_latest WHERE {KEY}",
        f"SELECT DISTINCT ON (branch, loan) * FROM plain WHERE {KEY} ORDER BY branch, loan, event_time DESC",
    ),
    "latest of a key, prepared": ("EXECUTE ours", "EXECUTE plain_one"),
    "latest of a key, plain LIMIT 1": (
        f"SELECT * FROM scores.bench_latest WHERE {KEY}",
        f"SELECT * FROM plain WHERE {KEY} ORDER BY event_time DESC LIMIT 1",
    ),
    "the same, prepared": ("EXECUTE ours", "EXECUTE plain_limit"),
}


def main() -> None:
    """Measure each length of history on a server of its own."""
    print("| publications | query | ours ms | plain ms | ratio |\n|---|---|---|---|---|")
    for publications in [int(one) for one in sys.argv[1:]] or [365, 3_650]:
        with TemporaryDirectory() as home:
            server = LocalPostgres(Path(home), tied=True, settings={"fsync": "off"})
            server.start()
            try:
                measure(server.create_database("reads"), publications)
            finally:
                server.stop()


def measure(url: str, publications: int) -> None:
    """Fill a store by SQL, and print a line for each pair of queries."""
    with Store(url) as store:
        store.schema.migrate()
        store.models.ensure(SPEC, KEY_TYPES)
        sha256 = bytes_sha256(b"bench")
        store.packages.add("bench", "1.0.0", sha256, Manifest(), "file:///p.whl")
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(FILL, {"publications": publications, "rows": ROWS, "sha256": sha256})
        cursor.execute("VACUUM ANALYZE")
        ours, plain = PAIRS["latest of a key"]
        cursor.execute(f"PREPARE ours AS {ours}; PREPARE plain_one AS {plain}")
        cursor.execute(f"PREPARE plain_limit AS {PAIRS['latest of a key, plain LIMIT 1'][1]}")
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        for name, pair in PAIRS.items():
            taken: tuple[list[float], list[float]] = ([], [])
            for _ in range(REPEATS):
                for query, times in zip(pair, taken, strict=True):
                    times.append(timed(cursor, query))
            ours_ms, plain_ms = (1_000 * statistics.median(times) for times in taken)
            print(
                f"| {publications:,} | {name} | {ours_ms:.2f} | {plain_ms:.2f} | {ours_ms / plain_ms:.2f} |"
            )
    connection.close()


def timed(cursor: Any, query: str) -> float:
    """Seconds until all rows are here."""
    begun = time.perf_counter()
    cursor.execute(query)
    cursor.fetchall()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
