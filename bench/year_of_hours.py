"""A year of one model scored hourly, and a day of a hundred models: what grows, and what does not.

    python bench/year_of_hours.py [--hours 8760] [--models 100] [--minutes 4] [--write docs/scaling.md]

Every run goes through the store's own protocol, over the login of runs: claimed, extracted, validated,
scored by COPY, compared, published, and in the hash chain. What is left out is what no growth of the store
can change: the extraction, and the processes that predict. Noted as the history grows: the size of the
tables, what a run costs (the median of the last hundred, this process and the server's backend together),
what consumers' queries cost and whether their plans read a whole table of scores, and the memory, threads,
open files and connections of the process. Hours that ``--minutes`` do not suffice for are written by SQL,
as a run of the protocol left them. At the end the store is maintained: the chain is verified, a sweep runs,
autovacuum has kept up or not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
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
    parser.add_argument("--minutes", type=float, default=4, help="stop the year after so long")
    parser.add_argument("--day-minutes", type=float, default=1, help="stop the day after so long")
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
        proved = _verify(ctx, scores=True)
        year += _rest(scorer, looker, given, year[-1]["runs"])
        kept_up = _maintenance(ctx, looker)
    return _text(year, day, proved, kept_up, given)


def _year(scorer: Scorer, looker: Looker, given: argparse.Namespace) -> list[dict[str, Any]]:
    looks, until = [], time.monotonic() + 60 * given.minutes
    marks = {given.hours * share // 12 for share in (1, 2, 3, 6, 9, 12)}
    for number in range(given.hours):
        scorer.publish("hourly", hour(number))
        late = time.monotonic() > until
        if number + 1 in marks or late:
            looks.append(looker.look(number + 1, "hourly", hour(number).end, scorer.seconds))
            print(json.dumps(looks[-1]), file=sys.stderr, flush=True)
        if late:
            break
    return looks


def _day(scorer: Scorer, looker: Looker, given: argparse.Namespace) -> list[dict[str, Any]]:
    """A hundred models, each hour of a day, beside the year."""
    names, looks = [f"model_{number:03d}" for number in range(given.models)], []
    for name in names:
        scorer.register(name)
    scorer.seconds.clear()
    until = time.monotonic() + 60 * given.day_minutes
    for number in range(24):
        for name in names:
            scorer.publish(name, hour(number))
        late = time.monotonic() > until
        if number in {0, 11, 23} or late:
            done = (number + 1) * len(names)
            looks.append(looker.look(done, names[0], hour(number).end, scorer.seconds))
            print(json.dumps(looks[-1]), file=sys.stderr, flush=True)
        if late:
            break
    return looks


def _rest(scorer: Scorer, looker: Looker, given: argparse.Namespace, done: int) -> list[dict[str, Any]]:
    """The hours that time did not suffice for, by SQL; then a hundred more by the protocol."""
    if done >= given.hours:
        return []
    before = looker.rows()
    publish = partial(scorer.publish, "hourly")
    last = publish(hour(done))
    of_one = {name: rows - before[name] for name, rows in looker.rows().items()}
    by_sql = given.hours - done - 1
    pass_over(looker, "hourly", last, by_sql)
    added = {name: rows - before[name] for name, rows in looker.rows().items()}
    other = {name: (rows, added[name]) for name, rows in of_one.items() if rows * (by_sql + 1) != added[name]}
    if other.keys() - {"keys_hourly"}:  # of which there are as many as keys
        raise RuntimeError(f"rows of a run that are not those of the protocol: {other}")
    looker.ask("ANALYZE")  # as autovacuum does within a minute
    scorer.seconds.clear()
    for number in range(given.hours, given.hours + 100):
        publish(hour(number))
    looks = [looker.look(given.hours + 100, "hourly", hour(number).end, scorer.seconds)]
    print(json.dumps(looks[-1]), file=sys.stderr, flush=True)
    return looks


def _verify(ctx: pipeline.Context, *, scores: bool) -> tuple[float, int, int]:
    """Seconds, entries and runs whose scores were compared."""
    began = time.perf_counter()
    found = ctx.store.chain.verify(scores=scores)
    if found.findings:
        raise RuntimeError(f"the chain does not hold: {found.findings[:3]}")
    return time.perf_counter() - began, found.looked_at["entries"], found.looked_at.get("runs with scores", 0)


def _maintenance(ctx: pipeline.Context, looker: Looker) -> dict[str, Any]:
    seconds, entries, _ = _verify(ctx, scores=False)
    began = time.perf_counter()
    swept = pipeline.sweep(ctx, who="bench")
    took = time.perf_counter() - began
    [(dead,)] = looker.ask(
        "SELECT max(n_dead_tup::float8 / greatest(n_live_tup, 1)) FILTER (WHERE n_live_tup > 1000)"
        " FROM pg_stat_user_tables"
    )
    return {
        "verify_s": seconds,
        "entries": entries,
        "sweep_s": took,
        "swept": len(swept),
        "dead_share": float(dead or 0),
    }


_COLUMNS = {
    "runs": "{:,}",
    "database_mb": "{:,.0f}",
    "scores_mb": "{:,.0f}",
    "largest_mb": "{:,.0f}",
    "partitions": "{}",
    "run_ms": "{:.0f}",
    **{f"{name}_ms": "{:.1f}" for name in QUERIES},
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
    year: list[dict[str, Any]],
    day: list[dict[str, Any]],
    proved: tuple[float, int, int],
    kept_up: dict[str, Any],
    given: argparse.Namespace,
) -> str:
    whole = sorted({name for look in [*year, *day] for name in look["whole_reads"]})
    plans = f"read one from end to end: {', '.join(whole)}" if whole else "read none from end to end"
    if year[-1]["runs"] > given.hours:
        rest = " In the last column all but the first and the last hours were written by SQL."
    else:
        rest = ""
    seconds, entries, runs = proved
    return f"""\
One model, hour after hour, {given.rows} rows each ({os.cpu_count()} processors that others used, too).{rest}

{_table(year)}

{given.models} models, each hour of a day, in the same store, before the hours by SQL:

{_table(day)}

Of partitions of scores with more than two days, consumers' queries {plans}.
{entries:,} entries of the chain and the scores of {runs:,} runs were verified in {seconds:.0f} s
({1_000 * seconds / runs:.0f} ms a run); at the end {kept_up["entries"]:,} entries without scores
in {kept_up["verify_s"]:.0f} s. A sweep took {kept_up["sweep_s"]:.1f} s,
and of no table above 1,000 rows were more than {100 * kept_up["dead_share"]:.0f} % dead.
"""


_BEGIN, _END = "<!-- year_of_hours: begin -->", "<!-- year_of_hours: end -->"


def write(page: Path, text: str) -> None:
    """Put the tables between the page's marks."""
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n{text}{_END}{after}")


if __name__ == "__main__":
    main()
