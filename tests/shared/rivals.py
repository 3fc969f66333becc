"""A binary model over the harbour, of which a test trains a weak and a strong package."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2

from rescore import pipeline
from rescore.interval import Interval
from rescore.local import LocalPostgres
from rescore.model.wheel_format import write_zip
from rescore.settings import Settings
from rescore.sha256 import file_sha256
from rescore.store import Package
from tests.shared.logins import store_settings

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

NAME = "surge"
FILES = {
    "model.yaml": """\
name: surge
version: "1.0"
owner: harbour-office
source:
  connection: harbour
  key: [gauge, reading]
  event_time: measured_at
  known_by: {column: recorded_at}
features:
  - {name: pressure, kind: numeric}
  - {name: wind, kind: categorical}
  - {name: tide, kind: numeric}
segments: [gauge]
target: {name: high, kind: binary}
output: {unit: probability, meaning: that the water stands above the mark}
schedule: {cron: "0 0 * * *", timezone: UTC, start: 2024-01-01}
training:
  {intervals: 20, holdout_intervals: 8, folds: 2, seed: 5, hyperparameters: {features: [pressure]}}
promotion: {smallest_gain: 0.01, largest_segment_loss: 0.02}
drift: {false_alarm_rate: 0.1}
""",
    "extract.sql": """\
SELECT gauge, reading, measured_at, pressure, wind, sin(reading / 12.4 * 6.283)::float8 AS tide
FROM harbour.readings
WHERE measured_at >= :interval_start AND measured_at < :interval_end AND recorded_at <= :as_of
""",
    # The level and what follows from nothing that the model knows.
    "labels.sql": """\
SELECT gauge, reading, level + 3 * sin(reading * 12.9898 + ascii(gauge) * 78.233) > 0 AS high
FROM harbour.readings
WHERE measured_at >= :interval_start AND measured_at < :interval_end AND recorded_at <= :as_of
""",
    "pipeline.py": '''\
"""A logistic regression of the features that the hyper-parameters name."""

from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def build(hyperparameters, seed):
    """Build the unfitted pipeline."""
    return make_pipeline(
        make_column_transformer((StandardScaler(), list(hyperparameters["features"]))),
        LogisticRegression(random_state=seed),
    )
''',
    "expectations.py": '''\
"""What a day has to look like."""

import great_expectations as gx


def suite():
    """Return the suite."""
    return gx.ExpectationSuite(name="surge")
''',
}


def write(models: Path, *, weak: bool) -> None:
    """Write the folder; the strong model also sees the tide, which decides."""
    folder = models / NAME
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        features = "[pressure]" if weak else "[pressure, tide]"
        (folder / name).write_text(content.replace("[pressure]", features))


def train(ctx: pipeline.Context, as_of: datetime, *, weak: bool) -> pipeline.TrainedPackage:
    """Train a package by the labels known at ``as_of``."""
    write(ctx.settings.models, weak=weak)
    return pipeline.train_model(ctx, NAME, as_of=as_of)


def context(server: LocalPostgres, url: str, home: Path) -> pipeline.Context:
    """A context over the database, with model folders of its own below ``home``."""
    settings = Settings.from_environment(
        {
            "RESCORE_HOME": str(home),
            "RESCORE_MODELS": str(home / "models"),
            **store_settings(server, url, "harbour"),
        }
    )
    return pipeline.Context.from_environment(settings)


@dataclass
class Rivals:
    """A weak pinned package and a strong one that waits.

    ``url`` is the superuser's, who alone can switch off what guards the store.
    """

    ctx: pipeline.Context
    url: str

    @property
    def champion(self) -> Package:
        return self.ctx.store.packages.find(NAME, "1.0.0")

    def day(self, number: int) -> Interval:
        """The interval of the day ``number`` days after the first."""
        return Interval(FIRST + number * DAY, FIRST + (number + 1) * DAY)

    def window(self, first: int, last: int) -> dict[str, datetime]:
        """The options that name a window of days, with all labels known."""
        return {"start": self.day(first).start, "end": self.day(last).start, "as_of": self.day(last).start}

    def execute(self, statement: str) -> None:
        connection = psycopg2.connect(self.url)
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()

    def forge(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the champion's manifest in file, archive and store, every digest made to fit."""
        champion = self.champion
        path = self.ctx.archive.get_package(champion.sha256)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        inside = f"{NAME}/_data/manifest.json"
        manifest = json.loads(members[inside])
        change(manifest)
        members[inside] = json.dumps(manifest).encode()
        forged = path.with_suffix(".forged")
        forged.write_bytes(write_zip(members))
        sha256 = file_sha256(forged)
        named = forged.rename(self.ctx.scratch / path.name)
        self.ctx.archive.put_package(named, sha256)
        self.execute(
            "SET session_replication_role = replica;"
            f"UPDATE rescore.package SET sha256 = '{sha256}', manifest = '{json.dumps(manifest)}'"
            f" WHERE sha256 = '{champion.sha256}';"
            f"UPDATE rescore.pin SET sha256 = '{sha256}' WHERE sha256 = '{champion.sha256}'"
        )
