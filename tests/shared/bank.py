"""A bank whose loans are scored every day: what is measured and drawn, without a training.

Rows are extracted, frozen, compared and published by the real parts; the score is the very probability
that the labels were drawn with, so that estimates have to come true. From ``CHANGE`` on they are drawn
with another one, which no feature shows.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg2
import pyarrow as pa
import pytest
from psycopg2.extras import execute_values

from rescore import drift, pipeline, source
from rescore.interval import Interval
from rescore.local import LocalPostgres
from rescore.manifest import Manifest
from rescore.settings import Settings
from rescore.sha256 import bytes_sha256
from rescore.source.labelling import join_labels
from tests.shared.logins import set_up, store_settings

MODEL = "loans"
FIRST = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
TRAINED, DAYS, ROWS = 30, 51, 240
#: The first day whose labels follow another rule, and the first on which amounts are larger.
CHANGE, DRIFT = 44, 40
#: The last day that the fixture ``bank`` scores.
LAST = 47

FOLDER = {
    "model.yaml": """\
name: loans
version: "1.0"
owner: bank
source:
  connection: bank
  key: [loan]
  event_time: asked_at
  known_by: {column: recorded_at}
features:
  - {name: amount, kind: numeric, unit: thousand euros}
  - {name: income, kind: numeric, unit: thousand euros}
  - {name: branch, kind: categorical}
segments: [branch]
target: {name: defaulted, kind: binary, delay: 48h}
output: {name: probability, unit: probability, meaning: probability that the loan is not paid back}
schedule: {cron: "0 0 * * *", start: 2024-01-01}
training: {intervals: 30, seed: 1}
drift: {effect_floor: 0.1}
""",
    "extract.sql": """\
SELECT loan, asked_at, amount, income, branch FROM bank.loan
WHERE asked_at >= :interval_start AND asked_at < :interval_end AND recorded_at <= :as_of
""",
    "labels.sql": """\
SELECT loan, defaulted FROM bank.loan JOIN bank.outcome USING (loan)
WHERE asked_at >= :interval_start AND asked_at < :interval_end AND known_at <= :as_of
""",
    "pipeline.py": '"""Never built."""\n',
    "expectations.py": '"""Never run."""\n',
}

_TABLES = """
CREATE SCHEMA bank;
CREATE TABLE bank.loan (loan int PRIMARY KEY, asked_at timestamptz NOT NULL, amount float8, income float8,
  branch text, recorded_at timestamptz NOT NULL);
CREATE TABLE bank.outcome (loan int PRIMARY KEY, defaulted boolean NOT NULL, known_at timestamptz NOT NULL);
"""


def day(number: int) -> Interval:
    """The interval of the day ``number`` days after the first."""
    return Interval(FIRST + timedelta(days=number), FIRST + timedelta(days=number + 1))


def chance(amount: np.ndarray, income: np.ndarray) -> np.ndarray:
    """The probability of a default, as the labels before ``CHANGE`` were drawn."""
    return np.round(1 / (1 + np.exp(3 - amount / 8 + np.nan_to_num(income, nan=30.0) / 25)), 4)


@dataclass
class Bank:
    """A context over a database with the bank's tables and Rescore's."""

    ctx: pipeline.Context
    url: str
    reference: bytes

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def publish(self, number: int) -> str:
        """Extract, score, compare and publish one day; the run's id."""
        run_id = self.check(number)
        self.ctx.store.publications.publish(self.ctx.store.runs.get(run_id).handle)
        return run_id

    def check(self, number: int) -> str:
        """The same without publishing it."""
        ctx, spec = self.ctx, self.ctx.model(MODEL).spec
        run_id, kept, scores = self.validate(number)
        run, package = ctx.store.runs.get(run_id), ctx.store.pins.current(MODEL)
        ctx.store.scores.stage(run, scores, package_version=package.version, package_sha256=package.sha256)
        ctx.store.runs.advance(run, "scored")
        report = drift.compare(self.reference, kept, scores["score"].to_numpy(), spec.drift)
        ctx.store.reports.record_drift(run, report.to_dict())
        ctx.store.runs.advance(run, "checked")
        return run.run_id

    def validate(self, number: int, model: str = MODEL) -> tuple[str, pa.Table, pa.Table]:
        """Extract and validate one day alone; the run's id, the rows that passed, and their scores."""
        ctx = self.ctx
        run = ctx.store.runs.get(pipeline.begin_extract(ctx, model, day(number)))
        rows = source.read_frozen(ctx.archive.get_input(run.input_digest), run.input_digest)
        away = np.flatnonzero(rows["amount"].to_numpy() > 55)
        ctx.store.excluded.record(
            run,
            rows.take(pa.array(away)),
            positions=away.tolist(),
            kinds=["quarantined"] * len(away),
            reasons=["amount is larger than 55"] * len(away),
        )
        kept = rows.filter(pa.array(~np.isin(np.arange(rows.num_rows), away)))
        ctx.store.reports.record_validation(run, {"success": True})
        ctx.store.runs.advance(run, "validated")
        score = chance(kept["amount"].to_numpy(), kept["income"].to_numpy())
        label = pa.array(np.where(score > 0.5, "true", "false"), pa.string())
        scored = kept.select(["loan", "asked_at"]).append_column("score", pa.array(score))
        return run.run_id, kept, scored.append_column("label", label)


def _context(server: LocalPostgres, url: str, home: Path) -> pipeline.Context:
    return pipeline.Context.from_environment(
        Settings.from_environment(
            {
                "RESCORE_HOME": str(home),
                "RESCORE_MODELS": str(home / "models"),
                **store_settings(server, url, "bank"),
            }
        )
    )


def open_bank(server: LocalPostgres, url: str, home: Path, seed: int) -> Bank:
    """Fill the database, and register a package with the first 30 days as its reference."""
    models = home / "models"
    (models / MODEL).mkdir(parents=True)
    for name, content in FOLDER.items():
        (models / MODEL / name).write_text(content)
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(_TABLES)
        loans, outcomes = _history(seed)
        execute_values(cursor, "INSERT INTO bank.loan VALUES %s", loans, page_size=5000)
        execute_values(cursor, "INSERT INTO bank.outcome VALUES %s", outcomes, page_size=5000)
    connection.close()
    ctx = _context(server, url, home)
    set_up(ctx, "bank")
    spec = ctx.model(MODEL).spec
    ctx.store.models.ensure(spec, {"loan": pa.int32(), "asked_at": pa.timestamp("us", tz="UTC")})
    manifest = Manifest(metrics={"auc": 0.74, "brier": 0.13})
    sha256 = bytes_sha256(b"loans")
    ctx.store.packages.add(MODEL, "1.0.0", sha256, manifest, "file:///loans.whl")
    ctx.store.pins.add(MODEL, "1.0.0", sha256, who="ada", why="first")
    past = [source.probe(url, ctx.model(MODEL), day(n), day(n).end) for n in range(TRAINED)]
    starts = np.repeat([day(n).start for n in range(TRAINED)], [one.num_rows for one in past])
    rows = pa.concat_tables(past)
    rows = rows.append_column("interval_start", pa.array(list(starts), pa.timestamp("us", tz="UTC")))
    days = [day(n) for n in range(TRAINED)]
    known = source.labels(url, ctx.model(MODEL), days, days[-1].end + timedelta(days=2))
    rows = join_labels(rows, known, ["loan"], "defaulted")
    scores = chance(rows["amount"].to_numpy(), rows["income"].to_numpy())
    importance = {"amount": 0.7, "income": 0.29, "branch": 0.01}
    return Bank(ctx, url, drift.build_reference(rows, spec, scores, importance))


def _history(seed: int) -> tuple[list[tuple], list[tuple]]:
    """All loans and what became of them: one in eight never gets a label."""
    draw = np.random.default_rng(seed)
    loans, outcomes = [], []
    for number in range(DAYS):
        start = day(number).start
        amount = draw.gamma(4, 6.0 if number < DRIFT else 7.5, ROWS)
        income = np.where(draw.random(ROWS) < 0.1, np.nan, draw.gamma(9, 4, ROWS))
        branch = np.array(["north", "east", "south", "west"])[draw.integers(0, 4, ROWS)]
        p = chance(amount, income)
        bad = draw.random(ROWS) < (p if number < CHANGE else np.full(ROWS, p.mean()))
        for row in range(ROWS):
            loan, asked = number * ROWS + row, start + timedelta(minutes=5 * row)
            known = None if np.isnan(income[row]) else float(income[row])
            loans.append((loan, asked, float(amount[row]), known, str(branch[row]), asked))
            if loan % 8:
                outcomes.append((loan, bool(bad[row]), asked + timedelta(hours=30)))
    return loans, outcomes


@contextmanager
def copied(bank: Bank, server: LocalPostgres, home: Path) -> Iterator[Bank]:
    """A copy of a closed bank: its database, and its home in ``home``; dropped afterwards."""
    shutil.copytree(bank.ctx.settings.home, home, dirs_exist_ok=True)
    name = f"bank_{uuid.uuid4().hex[:12]}"
    url = server.create_database(name, template=bank.url.rpartition("/")[2])
    made = Bank(_context(server, url, home), url, bank.reference)
    yield made
    made.ctx.store.close()
    server.drop_database(name)


@pytest.fixture(scope="session")
def bank_template(
    postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> Bank:
    """A bank where nothing was scored, to be copied."""
    home = tmp_path_factory.mktemp("bank_template")
    made = open_bank(postgres_server, postgres_server.create_database("bank_template"), home, seed)
    made.ctx.store.close()
    return made


@pytest.fixture
def fresh_bank(postgres_server: LocalPostgres, bank_template: Bank, tmp_path: Path) -> Iterator[Bank]:
    """A bank of this test's own, with a pinned package, where nothing was scored."""
    with copied(bank_template, postgres_server, tmp_path) as bank:
        yield bank


@pytest.fixture(scope="session")
def bank(
    postgres_server: LocalPostgres, bank_template: Bank, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bank]:
    """Days 40 to 47 scored, the labels of the last two not known yet; tests only read it."""
    with copied(bank_template, postgres_server, tmp_path_factory.mktemp("bank")) as made:
        for number in range(40, LAST + 1):
            made.publish(number)
        pipeline.measure_due(made.ctx, MODEL, day(LAST).end)
        yield made
