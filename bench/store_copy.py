"""Staging scores against psql's own COPY of the same rows into the same table.

    python bench/store_copy.py [ROWS] [REPEATS]

Prints seconds of wall time and of CPU: the server's (its backends', once they have ended) and ours.
Wall time on a busy machine says little; the CPU figures hold. Results: docs/decisions/0007.
"""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psycopg2
import pyarrow as pa

from rescore.interval import Interval
from rescore.local import LocalPostgres, postgres_binaries
from rescore.manifest import Manifest
from rescore.sha256 import bytes_sha256
from rescore.spec import ModelSpec
from rescore.store import Store

START = datetime(2024, 3, 1, tzinfo=UTC)
INTERVAL = Interval(START, START + timedelta(days=1))
TIMESTAMP = pa.timestamp("us", tz="UTC")
KEY = {"time_hour": TIMESTAMP, "carrier": pa.string(), "flight": pa.int32()}
TABLE = "rescore.scores_bench"
PARTITION = "rescore.scores202403_bench"


def make_spec() -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": "bench",
            "version": "1.0",
            "owner": "bench",
            "source": {"connection": "x", "key": list(KEY), "known_by": {"column": "recorded_at"}},
            "features": [{"name": "x", "kind": "numeric"}],
            "target": {"name": "y", "kind": "binary"},
            "output": {"unit": "probability", "meaning": "none"},
            "schedule": {"cron": "0 0 * * *", "start": "2024-01-01T00:00:00Z"},
            "training": {"intervals": 1, "seed": 1},
        }
    )


def make_scores(rows: int) -> pa.Table:
    rng = np.random.default_rng(1)
    start = int(START.timestamp() * 1e6)
    table = pa.table(
        {
            "time_hour": pa.array(start + rng.integers(0, 24, rows) * 3_600_000_000, TIMESTAMP),
            "carrier": pa.array(
                np.array(["AA", "B6", "DL", "UA", "WN"])[rng.integers(0, 5, rows)], pa.string()
            ),
            "flight": pa.array(np.arange(rows), pa.int32()),
            "event_time": pa.array(np.full(rows, start + 7 * 3_600_000_000), TIMESTAMP),
            "score": rng.random(rows),
            "label": pa.array(np.array(["late", "on_time"])[rng.integers(0, 2, rows)], pa.string()),
        }
    )
    return table.sort_by([(name, "ascending") for name in KEY])


def backend_cpu(pid: int) -> float:
    """Seconds of CPU of all ended children of the postmaster."""
    time.sleep(0.3)
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / 100


def main(rows: int, repeats: int) -> None:
    with TemporaryDirectory() as home:
        server = LocalPostgres(Path(home) / "postgres", tied=True)
        server.start()
        try:
            compare(server, Path(home), rows, repeats)
        finally:
            server.stop()


def compare(server: LocalPostgres, home: Path, rows: int, repeats: int) -> None:
    url = server.create_database("bench")
    store, scores = Store(url), make_scores(rows)
    store.schema.migrate()
    store.models.ensure(make_spec(), KEY)
    package = bytes_sha256(b"bench")
    store.packages.add("bench", "1.0.0", package, Manifest(), "file:///bench.whl")
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])

    def psql(command: str) -> None:
        subprocess.run([postgres_binaries() / "psql", url, "-qc", command], check=True)

    def stage() -> None:
        run = store.runs.claim("bench", INTERVAL, INTERVAL.end)
        store.runs.advance(run, "extracted", input_digest=package, rows_extracted=rows)
        store.scores.stage(run, scores, package_version="1.0.0", package_sha256=package)
        store.close()

    stage()
    ways: dict[str, Callable[[], None]] = {"store.scores.stage": stage}
    for form in ("text", "binary"):
        path = home / form
        columns = ", ".join(scores.column_names)
        psql(
            f"\\copy (SELECT '{uuid.uuid4()}'::uuid, {columns} FROM {TABLE} ORDER BY 2, 3, 4)"
            f" TO '{path}' WITH (FORMAT {form})"
        )
        load = f"\\copy {TABLE} FROM '{path}' WITH (FORMAT {form})"
        ways[f"psql COPY {form}"] = lambda load=load: psql(load)
    for _ in range(repeats):
        for name, way in ways.items():
            connection = psycopg2.connect(url)
            with connection, connection.cursor() as cursor:
                cursor.execute(f"TRUNCATE {PARTITION}")
            connection.close()
            server_before, ours_before, began = (
                backend_cpu(postmaster),
                time.process_time(),
                time.perf_counter(),
            )
            way()
            wall, ours = time.perf_counter() - began, time.process_time() - ours_before
            server_cpu = backend_cpu(postmaster) - server_before
            print(
                f"{name:18} {rows:,} rows: {wall:6.2f} s; CPU: server {server_cpu:5.2f} s, ours {ours:4.2f} s"
            )


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    main(*(arguments + [2_000_000, 3][len(arguments) :]))
