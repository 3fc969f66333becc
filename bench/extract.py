"""How long freezing rows takes, against Postgres' own COPY of the same rows.

``python bench/extract.py [ROWS]`` on the database of ``RESCORE_DATABASE_URL``, or on a server of its
own. Both read the same query in the same order; runs alternate, the fastest of each counts, since a
busy machine only adds. CPU is this process' own, not the server's.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
import yaml

from rescore import source
from rescore.folder import ModelFolder, load_model
from rescore.interval import Interval
from rescore.local import LocalPostgres

ROUNDS = 3
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = Interval(START, START + timedelta(days=1))
NUMBERS = [f"f{n}" for n in range(1, 12)]
COLUMNS = ["id", "event_time", "i1", "i2", "c1", "c2", "c3", "b1", *NUMBERS]  # and recorded_at: 20
TABLE = """
DROP TABLE IF EXISTS bench_wide;
CREATE TABLE bench_wide AS
SELECT i::int8 AS id, timestamptz '2024-01-01 00:00Z' + (i % 86400) * interval '1 second' AS event_time,
       (i::int8 * 7919 % 1000)::int4 AS i1, (i % 24)::int2 AS i2,
       (array['JFK', 'EWR', 'LGA'])[1 + i % 3] AS c1, 'carrier ' || (i % 16) AS c2,
       CASE WHEN i % 11 > 0 THEN (array['a', 'bb', 'ccc', 'dddd'])[1 + i % 4] END AS c3, i % 2 = 0 AS b1,
       sin(i) AS f1, cos(i) AS f2, sin(i * 2) AS f3, sin(i * 3) AS f4, sin(i * 5) AS f5,
       CASE WHEN i % 7 > 0 THEN sin(i * 7) END AS f6, cos(i * 11) AS f7, cos(i * 13) AS f8,
       random() AS f9, random() AS f10, random() AS f11, timestamptz '2023-01-01 00:00Z' AS recorded_at
FROM (SELECT generate_series(1, @ROWS@) AS i ORDER BY random()) g;
ANALYZE bench_wide;
DROP TABLE IF EXISTS bench_days;
CREATE TABLE bench_days AS
SELECT *, event_time + (id % 90) * interval '1 day' AS at FROM bench_wide WHERE id <= 77940;
CREATE INDEX ON bench_days (at);
ANALYZE bench_days
"""


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with TemporaryDirectory() as scratch:
        url = os.environ.get("RESCORE_DATABASE_URL")
        if url:
            measure(url, rows, Path(scratch))
            return
        server = LocalPostgres(Path(scratch) / "postgres", tied=True, settings={"fsync": "off"})
        try:
            measure(server.start(), rows, Path(scratch))
        finally:
            server.stop()


def measure(url: str, rows: int, scratch: Path) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(TABLE.replace("@ROWS@", str(rows)))
        connection.commit()
    wide = model(scratch, "wide", "bench_wide", "event_time")
    selected = ", ".join(COLUMNS)

    def copy(layout: str) -> None:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SET max_parallel_workers_per_gather TO 0")
            with (scratch / "copy").open("wb") as file:
                cursor.copy_expert(
                    f"COPY (SELECT {selected} FROM bench_wide ORDER BY id) TO STDOUT (FORMAT {layout})", file
                )

    def freeze() -> None:
        frozen = source.extract(url, wide, DAY, DAY.end, scratch / "frozen.parquet")
        assert frozen.rows == rows

    tasks: dict[str, Callable[[], object]] = {
        "COPY as text": lambda: copy("text"),
        "COPY as binary": lambda: copy("binary"),
        "extract: read, check, digest, freeze": freeze,
        "read_frozen: read and verify": lambda: source.read_frozen(scratch / "frozen.parquet", None),
    }
    best = dict.fromkeys(tasks, (float("inf"), float("inf")))
    for _ in range(ROUNDS):
        for name, task in tasks.items():
            best[name] = min(best[name], timed(task))
    print(f"{rows:,} rows x {len(COLUMNS) + 1} columns")
    floor = best["COPY as text"][0]
    for name, (wall, cpu) in best.items():
        print(f"  {name:<38} {wall:6.2f} s  {wall / floor:4.2f} x COPY as text  ({cpu:.2f} s CPU)")

    days = [Interval(START + timedelta(days=n), START + timedelta(days=n + 1)) for n in range(90)]
    daily = model(scratch, "daily", "bench_days", "at")
    took = min(
        timed(lambda: source.snapshot(url, daily, days, days[-1].end, scratch / "t")) for _ in range(ROUNDS)
    )
    print(f"snapshot of 90 days, 866 rows each: {took[0]:.2f} s ({took[1]:.2f} s CPU)")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def timed(task: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    task()
    return time.perf_counter() - wall, time.process_time() - cpu


def model(scratch: Path, name: str, table: str, time_column: str) -> ModelFolder:
    folder = scratch / "models" / name
    folder.mkdir(parents=True)
    kinds = {"c": "categorical", "b": "boolean"}
    spec = {
        "name": name,
        "version": "1.0",
        "owner": "bench",
        "source": {
            "connection": "x",
            "key": ["id"],
            "event_time": "event_time",
            "known_by": {"column": "recorded_at"},
        },
        "features": [{"name": c, "kind": kinds.get(c[0], "numeric")} for c in COLUMNS[2:]],
        "target": {"name": "late", "kind": "binary"},
        "output": {"unit": "probability", "meaning": "nothing"},
        "schedule": {"cron": "0 0 * * *", "start": "2024-01-01"},
        "training": {"intervals": 1, "seed": 1},
    }
    where = f"FROM {table} WHERE {time_column} >= :interval_start AND {time_column} < :interval_end"
    features = ", ".join(COLUMNS[2:])
    inputs = f"SELECT id, {time_column} AS event_time, {features} {where} AND recorded_at <= :as_of"
    files = {
        "model.yaml": yaml.safe_dump(spec),
        "extract.sql": inputs,
        "labels.sql": f"SELECT id, b1 AS late {where}",
        "pipeline.py": "",
        "expectations.py": "",
    }
    for file, text in files.items():
        (folder / file).write_text(text)
    return load_model(scratch / "models", name)


if __name__ == "__main__":
    main()
