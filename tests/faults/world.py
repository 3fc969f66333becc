"""A harbour whose readings have keepers, two trained packages, and the right score of each for each reading.

The scores that are right are computed by the packages' own wheels, by a plain interpreter from plain rows:
without Rescore, its store or its protocol.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2

from rescore import pipeline
from rescore.interval import Interval
from rescore.local import LocalPostgres, Logins
from rescore.pipeline.scoring import shards
from rescore.settings import Settings
from tests.shared.harbour import FIRST, MODELS, TRAINED_AS_OF
from tests.shared.logins import set_up

__all__ = ["DATABASE", "MODEL", "Expected", "World"]

MODEL = "tides"
DATABASE = "harbour"
#: Days that are scored, as numbers after the first; the days before are trained on.
DAYS = range(31, 39)
KEEPERS = 24
#: Rows of a leaf here, so that a day of six gauges has three, and can be scored in as many shards.
LEAF_ROWS = 64
#: A writer that stalls in a transaction, or waits for one, is not waited for as long as in production.
_SHORT_WAITS = "?options=-c%20lock_timeout%3D3000%20-c%20idle_in_transaction_session_timeout%3D3000"

_CHANGES = (
    ("extract.sql", "SELECT gauge,", "SELECT keeper, gauge,"),
    ("model.yaml", "  key: [gauge, reading]\n", "  key: [gauge, reading]\n  subject: [keeper]\n"),
    ("model.yaml", "schedule:", "retention: {superseded_scores: 1s, abandoned_runs: 1d}\nschedule:"),
    # The more people are erased, the fewer rows there are.
    ("model.yaml", "schedule:", "drift: {on_outage: publish_flagged}\nschedule:"),
)

_PREDICT = """
import importlib, json, sys
import pandas as pd
sys.path.insert(0, sys.argv[1])
package = importlib.import_module(sys.argv[2])
rows = json.load(sys.stdin)
frame = pd.DataFrame(rows["rows"], columns=rows["columns"])
json.dump([float(score).hex() for score in package.predict(frame)["score"]], sys.stdout)
"""

Key = tuple[str, int]


def cut_small_leaves() -> None:
    """From now on, leaves of this process and of its forks are small, and a shard is one of them."""
    for name, module in [*sys.modules.items()]:
        if name.startswith("rescore.") and hasattr(module, "LEAF_ROWS"):
            module.LEAF_ROWS = LEAF_ROWS
    sizes = shards.shard_sizes
    shards.shard_sizes = lambda rows, _: sizes(rows, LEAF_ROWS)


@dataclass(frozen=True)
class Expected:
    """What is right.

    Attributes
    ----------
    scores : dict
        For each package by its sha256: key to score, as ``float.hex``.
    keys : dict
        For each day's start the keys of its readings.
    keeper : dict
        Whose reading a key is.
    rows, columns : list
        All readings before anybody is erased: what packages that are trained later would score.
    """

    scores: dict[str, dict[Key, str]]
    keys: dict[datetime, frozenset[Key]]
    keeper: dict[Key, str]
    rows: list[Any]
    columns: list[str]


@dataclass
class World:
    """A server of its own, a store that is set up, and packages, the first of them pinned."""

    home: Path
    packages: int = 2
    server: LocalPostgres = field(init=False)

    def __post_init__(self) -> None:
        # Commits survive a server that is stopped hard; nobody pulls the plug of the machine.
        self.server = LocalPostgres(self.home / "server", tied=True, settings={"fsync": "off"})

    @property
    def rescore_home(self) -> Path:
        """What Rescore writes to."""
        return self.home / "rescore"

    @property
    def url(self) -> str:
        """As superuser."""
        return self.server.url(DATABASE)

    @property
    def reader_url(self) -> str:
        """As a consumer."""
        return self.url.replace("//rescore:", "//pilot:")

    def day(self, number: int) -> Interval:
        """The interval of the day ``number`` days after the first."""
        start = FIRST + timedelta(days=number)
        return Interval(start, start + timedelta(days=1))

    def context(self) -> pipeline.Context:
        """A context of its own."""
        logins = Logins.of(self.server, DATABASE)  # nothing connects before it is used
        urls = {
            "RESCORE_DATABASE_URL": logins.run,
            "RESCORE_RELEASE_URL": logins.release,
            "RESCORE_OWNER_URL": logins.owner,
            "RESCORE_CONNECTION_HARBOUR": logins.extract,
        }
        return pipeline.Context.from_environment(
            Settings.from_environment(
                {
                    "RESCORE_HOME": str(self.rescore_home),
                    "RESCORE_MODELS": str(self.home / "models"),
                    **{name: url + _SHORT_WAITS for name, url in urls.items()},
                }
            )
        )

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run SQL as superuser."""
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def prepare(self) -> None:
        """Fill it; in a process that is then gone."""
        shutil.copytree(MODELS / MODEL, self.home / "models" / MODEL)
        for name, old, new in _CHANGES:
            file = self.home / "models" / MODEL / name
            assert old in file.read_text(), f"{name} of the harbour has changed"
            file.write_text(file.read_text().replace(old, new))
        connection = psycopg2.connect(self.server.create_database(DATABASE))
        with connection, connection.cursor() as cursor:
            cursor.execute(
                (MODELS.parent / "harbour.sql").read_text(), {"first": FIRST, "hours": DAYS.stop * 24}
            )
            cursor.execute(
                "INSERT INTO harbour.readings SELECT gauge || ' ' || wind, reading + 100000, measured_at,"
                " pressure + 1, moon, wind, level, recorded_at FROM harbour.readings;"
                "ALTER TABLE harbour.readings ADD keeper text;"
                f"UPDATE harbour.readings SET keeper = 'keeper-' || reading % {KEEPERS}"
            )
        connection.close()
        Logins.prepare(self.server, DATABASE)
        with self.context() as ctx:
            set_up(ctx, "harbour")
            for number in range(self.packages):
                as_of = TRAINED_AS_OF + timedelta(days=number)
                package = pipeline.train_model(ctx, MODEL, as_of=as_of)
                if ctx.store.pins.current(MODEL) is None:
                    pipeline.pin(ctx, MODEL, package.version, who="ada", why="first")
            # One score makes the model's tables, which the reader reads.
            pipeline.score_interval(ctx, MODEL, self.day(DAYS[0]))
        self.execute(
            f"CREATE ROLE pilot LOGIN PASSWORD '{self.server.password}'; GRANT rescore_consumer TO pilot"
        )

    def expected(self) -> Expected:
        """What is right, before anybody is erased."""
        columns = ["gauge", "reading", "measured_at", "pressure", "moon", "wind", "keeper"]
        rows = self.execute(
            f"SELECT {', '.join(columns)} FROM harbour.readings WHERE measured_at >= %s ORDER BY 1, 2",
            self.day(DAYS[0]).start,
        )
        keys: dict[datetime, set[Key]] = {}
        for row in rows:
            start = row[2].astimezone(UTC).replace(hour=0, minute=0)
            keys.setdefault(start, set()).add((row[0], row[1]))
        plain = [[*row[:2], row[2].isoformat(), *row[3:6]] for row in rows]
        expected = Expected(
            scores={},
            keys={start: frozenset(of_day) for start, of_day in keys.items()},
            keeper={row[:2]: row[6] for row in rows},
            rows=plain,
            columns=columns[:6],
        )
        return self.with_every_package(expected)

    def with_every_package(self, expected: Expected) -> Expected:
        """The same with the scores of packages trained since: whom an erasure took is in none of them."""
        with self.context() as ctx:
            packages = {one.sha256: ctx.archive.get_package(one.sha256) for one in ctx.store.packages.all()}
        keys = [(row[0], row[1]) for row in expected.rows]
        new = {
            sha256: dict(zip(keys, self._predict(path, expected.rows, expected.columns), strict=True))
            for sha256, path in packages.items()
            if sha256 not in expected.scores
        }
        return replace(expected, scores=expected.scores | new)

    def _predict(self, wheel: Path, rows: list[Any], columns: list[str]) -> list[str]:
        unpacked = self.home / "wheels" / wheel.parent.name
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PREDICT, str(unpacked), MODEL],
            input=json.dumps({"rows": rows, "columns": columns}),
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        return list(json.loads(done.stdout))
