"""A whole run with every guarantee, beside the least that anybody pays and beside what users write.

    python bench/whole_run.py [--rows 200000 ...] [--shape wide20 ...] [--models logistic boosted]
    python bench/whole_run.py --write docs/benchmarks.md --rounds 3 --rows 500000 1000000
    python bench/whole_run.py --quick

All three score the same day of the same table on one Postgres, one after another, each in an interpreter
of its own; see ``wholerun/ways.py`` for what each does. On a machine that does other work too, compare
processor seconds and memory, not the clock.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
from wholerun.limits import QUICK_ROWS, lost
from wholerun.measured import Case, Kept, Measured, machine
from wholerun.meter import Cost, folder_of, run
from wholerun.table import PIPELINES, SCORED, SHAPES, Shape, make_model, make_schema, make_table

from rescore import pipeline
from rescore.local import LocalPostgres, Logins
from rescore.model.environment import start_environment
from rescore.settings import Settings
from rescore.validation import Suites

WAYS = ("floor", "ours", "users")


def main() -> None:
    options = parse()
    if options.quick:
        options.rows, options.models, options.without = [*QUICK_ROWS], ["logistic"], ["users"]
    measured: list[Measured] = []
    with TemporaryDirectory() as home:
        server = LocalPostgres(Path(home), tied=True)
        version = prepare(server)
        try:
            for case in cases(Path(home), server, options):
                for one in case:
                    show(one)
                    measured.append(one)
                    if options.write:
                        keep(options.write, [one], version)
        finally:
            server.stop()
    problems = lost(measured) if options.quick else []
    if problems:
        raise SystemExit("a ratio was lost: " + "; ".join(problems))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000], help="rows of the scored day")
    parser.add_argument("--shape", choices=SHAPES, nargs="+", default=["wide20"])
    parser.add_argument("--models", nargs="+", choices=PIPELINES, default=list(PIPELINES))
    parser.add_argument("--rounds", type=int, default=1, help="how often each is measured")
    parser.add_argument("--without", nargs="*", choices=WAYS, default=[], help="ways that are left out")
    parser.add_argument(
        "--users-up-to", type=int, default=2_000_000, help="rows that are scored by hand, too"
    )
    parser.add_argument(
        "--write", type=Path, help="the page to write; plots and what was measured before are beside it"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fail if a ratio was lost; see wholerun/limits.py"
    )
    return parser.parse_args()


def prepare(server: LocalPostgres) -> str:
    """Start the server; its version."""
    with closing(psycopg2.connect(server.start())) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("ALTER SYSTEM SET autovacuum = off")  # it would start by chance
        cursor.execute("SELECT pg_reload_conf(), current_setting('server_version')")
        return str(cursor.fetchone()[1])


def cases(home: Path, server: LocalPostgres, options: argparse.Namespace) -> Iterator[Iterator[Measured]]:
    """Each case's measures, made while they are taken."""
    for shape in options.shape:
        bench = Bench(home / shape, server, SHAPES[shape])
        for model in options.models:
            for rows in options.rows:
                bench.prepare(model, rows)
                ways = [way for way in WAYS if way not in options.without]
                if rows > options.users_up_to:
                    ways = [way for way in ways if way != "users"]
                yield rounds(bench, Case(shape, model, rows), ways, options.rounds)


def rounds(bench: Bench, case: Case, ways: list[str], count: int) -> Iterator[Measured]:
    for number in range(count):
        for way in ways:
            costs = bench.run(way, case.model)
            kept = bench.bytes_of_a_row(case) if way == "ours" else {}
            yield Measured(case, way, number, costs, **kept)


def keep(page: Path, measured: list[Measured], version: str) -> None:
    """Write the page anew, of these and of what was measured before on this machine."""
    from wholerun.report import write

    raw = page.with_suffix(".json")
    kept = Kept.read(raw, machine(version))
    kept.add(measured, raw)
    write(page, kept)


class Bench:
    """The database with the tables, the store and the model folders."""

    def __init__(self, home: Path, server: LocalPostgres, shape: Shape) -> None:
        server.create_database(shape.name)
        process = server.process()
        assert process is not None
        self.shape, self.logins = shape, Logins.prepare(server, shape.name)
        self.variables = {
            "RESCORE_HOME": str(home / "home"),
            "RESCORE_MODELS": str(home / "models"),
            "RESCORE_DATABASE_URL": self.logins.run,
            "RESCORE_RELEASE_URL": self.logins.release,
            "RESCORE_OWNER_URL": self.logins.owner,
            "RESCORE_CONNECTION_BENCH": self.logins.extract,
            "BENCH_POSTMASTER": str(process.pid),
        }
        self.models = home / "models"
        self.trained: set[str] = set()
        make_schema(self.logins.owner)
        self.ctx = pipeline.Context.from_environment(Settings.from_environment(self.variables))
        self.ctx.store.schema.migrate()
        self.ctx.store.roles.create(source_schemas=["bench"])

    def prepare(self, model: str, rows: int) -> None:
        """Make the table of ``rows`` rows, and train and pin the model unless that was done."""
        make_table(self.logins.owner, model, self.shape, rows)
        if model not in self.trained:
            make_model(self.models / model, model, model, self.shape)
            package = pipeline.train_model(self.ctx, model, as_of=SCORED.start)
            pipeline.pin(self.ctx, model, package.version, who="bench", why="to be measured")
            # The first scoring of a machine keeps what Great Expectations makes of a suite; not each does.
            with Suites(self.ctx.settings.home / "suites").of(self.ctx.model(model)):
                pass
            self.trained.add(model)
        self.ctx.store.close()

    def bytes_of_a_row(self, case: Case) -> dict[str, float]:
        """What is kept of each row that was scored: the newest frozen input, and all runs' scores."""
        inputs = (self.models.parent / "home" / "archive" / "inputs").rglob("*.parquet")
        newest = max(inputs, key=lambda path: path.stat().st_mtime_ns)
        with closing(psycopg2.connect(self.logins.owner)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(%s)",
                [f"rescore.scores_{case.model}"],
            )
            ((stored,),) = cursor.fetchall()
            cursor.execute(f"SELECT count(*) FROM rescore.scores_{case.model}")
            ((rows,),) = cursor.fetchall()
        return {"frozen": newest.stat().st_size / case.rows, "stored": float(stored) / rows}

    def run(self, way: str, model: str) -> list[Cost]:
        """Score the day in one way; what each part cost."""
        program = folder_of(__file__) / "wholerun" / "ways.py"
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
        return run([str(program), way, model], kept | start_environment() | self.variables)


def show(done: Measured) -> None:
    title = f"{done.case.shape}, {done.case.model}, {done.case.rows:,} rows, {done.way}"
    busy = f"busy elsewhere {done.busy_elsewhere:.1f}"
    print(f"{title:<44} {'wall s':>8} {'our CPU s':>10} {'server s':>9} {'peak MB':>8}  {busy}")
    for cost in [*done.costs, done.all]:
        print(f"  {cost.part:<42} {cost.wall:8.2f} {cost.ours:10.2f} {cost.server:9.2f} {cost.peak:8.0f}")
    print(flush=True)


if __name__ == "__main__":
    main()
