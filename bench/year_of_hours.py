"""A year of one model scored hourly, and a day of a hundred models: what grows, and what does not.

    python bench/year_of_hours.py [--hours 8760] [--models 100] [--real 60] [--write docs/scaling.md]

Runs go through the store's own protocol, over the login of runs: claimed, extracted, validated, scored by
COPY, compared, published, and in the hash chain. What is left out is what no growth of the store can change:
the extraction, and the processes that predict. Hours between those that are measured are written by SQL, all
triggers at work, as a run of the protocol left them; other numbers of rows in any table end the bench.
Noted after each quarter of the year: the size of the tables, what a run costs (the median of ``--real`` of
them, this process and the server's backend together), what consumers' queries cost, in time and in pages
read, whether their plans read a whole table of scores, and the memory, threads, open files and connections of
the process. At the end the store is maintained: the chain is verified, a sweep and a vacuum run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from store_looks import QUERIES, Looker

from rescore import pipeline
from rescore.interval import Interval
from rescore.local import LocalPostgres, Logins
from rescore.manifest import Manifest
from rescore.settings import Settings
from rescore.sha256 import bytes_sha256
from rescore.spec import ModelSpec
from rescore.store import Store

START, HOUR = datetime(2025, 1, 1, tzinfo=UTC), timedelta(hours=1)
TIME = pa.timestamp("us", tz="UTC")
KEY_TYPES = {"branch": pa.string(), "loan": pa.int64(), "event_time": TIME}
SHA256 = bytes_sha256(b"bench")


def spec_of(name: str) -> ModelSpec:
    """An hourly model of two key columns."""
    return ModelSpec.model_validate(
        {
            "name": name,
            "version": "1.0",
            "owner": "bench",
            "source": {
                "connection": "x",
                "key": ["branch", "loan"],
                "event_time": "event_time",
                "known_by": {"column": "recorded_at"},
            },
            "features": [{"name": "x", "kind": "numeric"}],
            "target": {"name": "y", "kind": "binary"},
            "output": {"unit": "probability", "meaning": "none"},
            "schedule": {"cron": "0 * * * *", "start": "2025-01-01T00:00:00Z"},
            "training": {"intervals": 1, "seed": 1},
        }
    )


def hour(number: int) -> Interval:
    """The ``number``-th interval."""
    return Interval(START + number * HOUR, START + (number + 1) * HOUR)


class Scorer:
    """Publishes intervals of models, each of the same keys."""

    def __init__(self, store: Store, rows: int) -> None:
        self.store = store
        self.rows = rows
        self.draw = np.random.default_rng(1)
        self.seconds: list[float] = []

    def register(self, name: str) -> None:
        """Make the model's tables, and pin a package."""
        self.store.models.ensure(spec_of(name), KEY_TYPES)
        self.store.packages.add(name, "1.0.0", SHA256, Manifest(), "file:///p.whl")
        self.store.pins.add(name, "1.0.0", SHA256, who="bench", why="to be measured")

    def publish(self, name: str, interval: Interval) -> str:
        """One run, by every step of the protocol; its id."""
        began = time.perf_counter()
        store, rows = self.store, self.rows
        digest = bytes_sha256(f"{name} {interval}".encode())
        run = store.runs.claim(name, interval, interval.end, code_revision="bench")
        store.runs.advance(run, "extracted", input_digest=digest, rows_extracted=rows)
        store.reports.record_validation(run, {"success": True, "results": []})
        store.runs.advance(run, "validated")
        store.scores.stage(run, self._scores(interval), package_version="1.0.0", package_sha256=SHA256)
        store.runs.advance(run, "scored")
        store.reports.record_drift(run, {"verdict": "ok", "sentence": "as in training", "p_value": 0.5})
        store.runs.advance(run, "checked")
        store.publications.publish(run)
        self.seconds.append(time.perf_counter() - began)
        return run.run_id

    def _scores(self, interval: Interval) -> pa.Table:
        numbers = np.arange(self.rows)
        moments = int(interval.start.timestamp() * 1e6) + numbers * 1_000_000
        score = self.draw.random(self.rows)
        return pa.table(
            {
                "branch": pa.array([f"b{number * 5 // self.rows}" for number in numbers], pa.string()),
                "loan": pa.array(numbers, pa.int64()),
                "event_time": pa.array(moments, TIME),
                "score": pa.array(score),
                "label": pa.array(np.where(score > 0.5, "true", "false"), pa.string()),
            }
        )


#: The rows that a run leaves in each table, once more an hour later, and so on; every trigger fires, so that
#: publications become current, keys known and entries chained.
_AGAIN = """
CREATE TEMP TABLE passed ON COMMIT DROP AS
  SELECT gen_random_uuid() AS run_id, n * interval '1 hour' AS later
  FROM generate_series(%(first)s, %(last)s) n;
SELECT rescore.ensure_partition(%(model)s, (interval_start + later)::date) FROM rescore.run r, passed
  WHERE r.run_id = %(run)s;
{inserts}
UPDATE rescore.run r SET state = 'scored' FROM passed p WHERE p.run_id = r.run_id;
UPDATE rescore.run r SET state = 'checked' FROM passed p WHERE p.run_id = r.run_id;
INSERT INTO rescore.publication (run_id, model, interval_start, interval_end, fence, published_at)
  SELECT p.run_id, r.model, r.interval_start + p.later, r.interval_end + p.later, r.fence, clock_timestamp()
  FROM rescore.run r, passed p WHERE r.run_id = %(run)s ORDER BY p.later;
UPDATE rescore.run r SET state = 'published' FROM passed p WHERE p.run_id = r.run_id;
"""
_COPIED = ("run", "attempt", "claim", "run_state", "validation", "drift", "scores_{model}")
_TIMES = ("interval_start", "interval_end", "as_of", "event_time")
_INSERT = """
INSERT INTO rescore.{table}
  SELECT (jsonb_populate_record(t, jsonb_build_object('run_id', p.run_id{changed}))).*
  FROM rescore.{table} t, passed p WHERE t.run_id = %(run)s;
"""
_WEEK = 168


def pass_over(looker: Looker, model: str, run: str, hours: int) -> None:
    """Let ``hours`` more hours be published as a run of the protocol was, by SQL: a week at a time."""
    columns = looker.ask(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'rescore'"
    )
    inserts = []
    for table in (name.format(model=model) for name in _COPIED):
        changed = [f", '{name}', t.{name} + p.later" for name in _TIMES if (table, name) in columns]
        if table == "run":  # its states are entries of the chain
            changed.append(", 'state', 'validated'")
        inserts.append(_INSERT.format(table=table, changed="".join(changed)))
    again = _AGAIN.format(inserts="".join(inserts))
    for first in range(1, hours + 1, _WEEK):
        last = min(first + _WEEK - 1, hours)
        looker.transact(again, {"first": first, "last": last, "model": model, "run": run})


def main() -> None:
    """Measure, and print or write the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=int, default=8_760)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--rows", type=int, default=24, help="rows of a run")
    parser.add_argument(
        "--real", type=int, default=60, help="hours by the protocol, each quarter of the year"
    )
    parser.add_argument("--write", type=Path, help="a page whose section is written anew")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        home = Path(folder)
        server = LocalPostgres(home / "server", tied=True, settings={"fsync": "off"})
        server.start()
        try:
            text = measure(server, home, given)
        finally:
            server.stop()
    print(text)
    if given.write:
        write(given.write, text)


def measure(server: LocalPostgres, home: Path, given: argparse.Namespace) -> str:
    """Everything; the tables as Markdown."""
    server.create_database("year")
    logins = Logins.prepare(server, "year")
    (home / "models").mkdir()
    settings = Settings.from_environment(
        {
            "RESCORE_HOME": str(home / "rescore"),
            "RESCORE_MODELS": str(home / "models"),
            "RESCORE_DATABASE_URL": logins.run,
            "RESCORE_RELEASE_URL": logins.release,
            "RESCORE_OWNER_URL": logins.owner,
        }
    )
    with pipeline.Context.from_environment(settings) as ctx:
        ctx.store.schema.migrate()
        ctx.store.roles.create()
        looker = Looker(server, "year", home / "rescore")
        scorer = Scorer(ctx.store, given.rows)
        scorer.register("hourly")
        year = _year(scorer, looker, given)
        day = _day(scorer, looker, given)
        kept_up = _maintenance(ctx, looker)
    return _text(year, day, kept_up, given)


def _year(scorer: Scorer, looker: Looker, given: argparse.Namespace) -> list[dict[str, Any]]:
    looks, done = [], 0
    for quarter in range(5):
        mark = max(given.hours * quarter // 4, given.real)
        if mark - given.real > done:
            _fill(scorer, looker, ["hourly"], done, mark - given.real)
        scorer.seconds.clear()
        for number in range(mark - given.real, mark):
            scorer.publish("hourly", hour(number))
        done = mark
        looks.append(_look(looker, done, "hourly", hour(done - 1), scorer))
    return looks


def _day(scorer: Scorer, looker: Looker, given: argparse.Namespace) -> list[dict[str, Any]]:
    """A hundred models, each hour of a day, beside the year: the first and the last hour by the protocol."""
    names, looks = [f"model_{number:03d}" for number in range(given.models)], []
    for name in names:
        scorer.register(name)
    _fill(scorer, looker, names, 0, 23)
    looks.append(_look(looker, 23 * len(names), names[0], hour(22), scorer))
    scorer.seconds.clear()
    for name in names:
        scorer.publish(name, hour(23))
    looks.append(_look(looker, 24 * len(names), names[0], hour(23), scorer))
    return looks


def _look(looker: Looker, done: int, model: str, interval: Interval, scorer: Scorer) -> dict[str, Any]:
    found = looker.look(done, model, interval.end, scorer.seconds)
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def _fill(scorer: Scorer, looker: Looker, names: list[str], first: int, last: int) -> None:
    """Publish an hour of each model by the protocol, those after it up to ``last`` by SQL."""
    before = looker.rows()
    runs = {name: scorer.publish(name, hour(first)) for name in names}
    of_one = {table: rows - before[table] for table, rows in looker.rows().items()}
    began, hours = time.perf_counter(), last - first
    for name, run in runs.items():
        pass_over(looker, name, run, hours - 1)
    seconds = time.perf_counter() - began
    print(f"{(hours - 1) * len(names)} runs by SQL in {seconds:.0f} s", file=sys.stderr, flush=True)
    added = {table: rows - before[table] for table, rows in looker.rows().items()}
    other = {table: (rows, added[table]) for table, rows in of_one.items() if rows * hours != added[table]}
    if other := {table: rows for table, rows in other.items() if not table.startswith("keys_")}:  # known once
        raise RuntimeError(f"rows of a run that are not those of the protocol: {other}")
    looker.ask("ANALYZE")  # as autovacuum does within a minute


def _maintenance(ctx: pipeline.Context, looker: Looker) -> dict[str, Any]:
    """What a store's nightly work takes: seconds of each."""
    took = {}
    for what, act in {
        "chain": lambda: ctx.store.chain.verify(scores=False),
        "sweep": lambda: pipeline.sweep(ctx, who="bench"),
        "vacuum": lambda: looker.ask("VACUUM (ANALYZE)"),
    }.items():
        began = time.perf_counter()
        found = act()
        took[what] = time.perf_counter() - began
        if what == "chain":
            if found.findings:
                raise RuntimeError(f"the chain does not hold: {found.findings[:3]}")
            took["entries"] = found.looked_at["entries"]
    return took


_COLUMNS = {
    "runs": "{:,}",
    "database_mb": "{:,.0f}",
    "scores_mb": "{:,.0f}",
    "largest_mb": "{:,.0f}",
    "partitions": "{}",
    "run_ms": "{:.0f}",
    **{f"{name}_ms": "{:.1f}" for name in QUERIES},
    **{f"{name}_pages": "{}" for name in QUERIES},
    "memory_mb": "{:,.0f}",
    "threads": "{}",
    "open_files": "{}",
    "children": "{}",
    "connections": "{}",
    "files": "{}",
}
_HEADS = {
    "runs": "runs",
    "database_mb": "database MB",
    "scores_mb": "of it scores",
    "largest_mb": "largest table",
    "partitions": "partitions",
    "run_ms": "a run ms",
    **{f"{name}_ms": f"{name} ms" for name in QUERIES},
    **{f"{name}_pages": f"{name}: pages read" for name in QUERIES},
    "memory_mb": "memory MB",
    "threads": "threads",
    "open_files": "open files",
    "children": "child processes but the server's",
    "connections": "connections",
    "files": "files",
}


def _table(looks: list[dict[str, Any]]) -> str:
    """Transposed: a line a measure, a column a look."""
    lines = ["| " + " | ".join([_HEADS["runs"], *(f"{look['runs']:,}" for look in looks)]) + " |"]
    lines.append("|---" * (len(looks) + 1) + "|")
    for name, form in list(_COLUMNS.items())[1:]:
        lines.append("| " + " | ".join([_HEADS[name], *(form.format(look[name]) for look in looks)]) + " |")
    return "\n".join(lines)


def _text(
    year: list[dict[str, Any]], day: list[dict[str, Any]], kept_up: dict[str, Any], given: argparse.Namespace
) -> str:
    whole = sorted({name for look in [*year, *day] for name in look["whole_reads"]})
    plans = f"read one from end to end: {', '.join(whole)}" if whole else "read none from end to end"
    return f"""\
One model, hour after hour, {given.rows} rows each ({os.cpu_count()} processors that others used, too);
{given.real} runs before each look by the protocol, those between by SQL.

{_table(year)}

Then {given.models} models, each hour of a day, in the same store; first and last hour by the protocol.

{_table(day)}

Of partitions of scores with more than two days, consumers' queries {plans}.
At the end {kept_up["entries"]:,} entries of the chain were verified in {kept_up["chain"]:.0f} s, a sweep took
{kept_up["sweep"]:.1f} s and VACUUM (ANALYZE) {kept_up["vacuum"]:.1f} s.
"""


_BEGIN, _END = "<!-- year_of_hours: begin -->", "<!-- year_of_hours: end -->"


def write(page: Path, text: str) -> None:
    """Put the tables between the page's marks."""
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n{text}{_END}{after}")


if __name__ == "__main__":
    main()
