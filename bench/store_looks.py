"""What an administrator and a consumer see of a store as it grows: sizes, times, plans, processes."""

from __future__ import annotations

import statistics
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from rescore.local import LocalPostgres

__all__ = ["QUERIES", "Looker"]

#: What consumers ask, and the table that such a question must not read from one end to the other.
QUERIES = {
    "latest of a key": "SELECT * FROM scores.{model}_latest WHERE branch = 'b2' AND loan = 13",
    "all of a key in a day": "SELECT * FROM scores.{model} WHERE branch = 'b2' AND loan = 13"
    " AND event_time >= '{end}'::timestamptz - interval '1 day'",
    "one interval": "SELECT * FROM scores.{model}"
    " WHERE event_time >= '{end}'::timestamptz - interval '1 hour' AND event_time < '{end}'",
    "status of all models": "SELECT * FROM scores.status",
    "the newest 50 runs": "SELECT * FROM scores.runs WHERE model = '{model}'"
    " ORDER BY interval_start DESC LIMIT 50",
    "runs of two days": "SELECT * FROM scores.runs WHERE model = '{model}'"
    " AND interval_start >= '{end}'::timestamptz - interval '2 days' ORDER BY interval_start DESC",
}
REPEATS = 15


class Looker:
    """Looks at the store as the server's administrator, and at this process and its children."""

    def __init__(self, server: LocalPostgres, database: str, home: Path) -> None:
        self.connection = psycopg2.connect(server.url(database))
        self.connection.autocommit = True
        self.server = server
        self.database = database
        self.home = home
        self.process = psutil.Process()

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        with self.connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else []

    def transact(self, statements: str, values: dict[str, Any]) -> None:
        """Run several statements in one transaction."""
        self.connection.autocommit = False
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(statements, values)
        self.connection.autocommit = True

    def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        tables = self.ask(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
            " AND relname NOT LIKE 'staged%' AND relnamespace = 'rescore'::regnamespace"
        )
        return {name: self.ask(f"SELECT count(*) FROM rescore.{name}")[0][0] for (name,) in tables}

    def look(self, done: int, model: str, end: datetime, seconds: list[float]) -> dict[str, Any]:
        """A line of the table."""
        [(size, score_size, most, partitions)] = self.ask(
            "SELECT pg_database_size(current_database()),"
            " (SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
            " WHERE relname LIKE 'scores%' AND relkind = 'r'),"
            " (SELECT max(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'),"
            f" (SELECT count(*) FROM pg_inherits WHERE inhparent = 'rescore.scores_{model}'::regclass)"
        )
        [(connections,)] = self.ask(
            f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{self.database}'"
            " AND pid <> pg_backend_pid()"
        )
        asked = {name: query.format(model=model, end=end.isoformat()) for name, query in QUERIES.items()}
        plans = {name: self.plan(query) for name, query in asked.items()}
        return {
            "runs": done,
            "database_mb": float(size) / 1e6,
            "scores_mb": float(score_size or 0) / 1e6,
            "largest_mb": float(most) / 1e6,
            "partitions": partitions,
            "run_ms": 1_000 * statistics.median(seconds[-100:]),
            **{f"{name}_ms": self.milliseconds(query) for name, query in asked.items()},
            **{f"{name}_pages": _pages(plan) for name, plan in plans.items()},
            "whole_reads": [name for name, plan in plans.items() if _reads_all_scores(plan)],
            "memory_mb": self.process.memory_info().rss / 1e6,
            "threads": threading.active_count(),
            "open_files": self.process.num_fds(),
            "children": len(self._children()),
            "connections": connections,
            "files": sum(1 for path in self.home.rglob("*") if path.is_file()),
        }

    def _children(self) -> set[int]:
        """Processes that we started, but for the server's."""
        server = self.server.process()
        assert server is not None
        family = {server.pid, *(one.pid for one in server.descendants())}
        return {one.pid for one in self.process.children(recursive=True)} - family

    def milliseconds(self, query: str) -> float:
        """The median over some, with planning and the loopback."""
        taken = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            self.ask(query)
            taken.append(time.perf_counter() - began)
        return 1_000 * statistics.median(taken)

    def plan(self, query: str) -> dict[str, Any]:
        """How the server ran a query: the topmost node."""
        [(found,)] = self.ask(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}")
        top: dict[str, Any] = found[0]["Plan"]
        return top


def _pages(plan: dict[str, Any]) -> int:
    """Pages that a query looked at, in memory or not; those of its planning do not count."""
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _reads_all_scores(plan: dict[str, Any]) -> bool:
    """Whether a plan reads a partition of scores of more than two days from one end to the other."""
    return any(
        node["Node Type"] == "Seq Scan"
        and str(node.get("Relation Name", "")).startswith("scores_")
        and node["Actual Loops"]
        and node["Actual Rows"] + node.get("Rows Removed by Filter", 0) > 24 * 24 * 2
        for node in _nodes(plan)
    )


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in _nodes(child))]
