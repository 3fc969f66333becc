"""A model, its scores, and a run at any stage: what the store's tests have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from rescore.interval import Interval
from rescore.manifest import Manifest
from rescore.sha256 import bytes_sha256
from rescore.spec import ModelSpec
from rescore.store import RunHandle, Store

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TIMESTAMP = pa.timestamp("us", tz="UTC")


def day(number: int = 0) -> Interval:
    """The ``number``-th daily interval."""
    return Interval(START + number * DAY, START + (number + 1) * DAY)


def make_spec(
    name: str = "loans",
    key: tuple[str, ...] = ("branch", "loan_id"),
    event_time: str = "event_time",
    kind: str = "binary",
) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": name,
            "version": "1.0",
            "owner": "risk",
            "source": {
                "connection": "bank",
                "key": list(key),
                "event_time": event_time,
                "known_by": {"column": "recorded_at"},
            },
            "features": [{"name": "amount", "kind": "numeric"}],
            "target": {"name": "defaulted", "kind": kind},
            "output": {"unit": "probability", "meaning": "100 % 'sure' to default; see {docs}"},
            "schedule": {"cron": "0 0 * * *", "start": "2024-01-01T00:00:00Z"},
            "training": {"intervals": 10, "seed": 1},
        }
    )


KEY_TYPES = {"branch": pa.string(), "loan_id": pa.int64()}


def make_scores(
    interval: Interval,
    rows: int = 50,
    seed: int = 1,
    kind: str = "binary",
    values: Any = None,
    within: timedelta = DAY,
) -> pa.Table:
    rng = np.random.default_rng(seed)
    scores = rng.random(rows) if values is None else np.asarray(values, dtype="f8")
    start = int(interval.start.timestamp() * 1e6)
    columns = {
        "branch": pa.array(sorted(f"b{number % 5}é" for number in range(rows)), pa.string()),
        "loan_id": pa.array(range(rows), pa.int64()),
        "event_time": pa.array(start + rng.integers(0, round(within.total_seconds() * 1e6), rows), TIMESTAMP),
        "score": pa.array(scores, pa.float64(), from_pandas=False),
    }
    if kind != "regression":
        columns["label"] = pa.array(np.where(scores > 0.5, "default", "pays"), pa.string())
    return pa.table(columns)


def sha(text: str) -> str:
    return bytes_sha256(text.encode())


@dataclass
class Walk:
    """Takes runs of one model from stage to stage."""

    store: Store
    spec: ModelSpec = field(default_factory=make_spec)
    version: str = "1.0.0"

    def __post_init__(self) -> None:
        if self.store.pins.current(self.spec.name) is None:
            self.register()

    def register(self) -> None:
        self.store.models.ensure(self.spec, KEY_TYPES)
        sha256 = sha(self.spec.name + self.version)
        self.store.packages.add(self.spec.name, self.version, sha256, Manifest(seed=1), "file:///p.whl")
        self.store.pins.add(self.spec.name, self.version, sha256, who="ada", why="first")

    @property
    def package(self) -> dict[str, str]:
        """What made the scores, as staging takes it."""
        return {"package_version": self.version, "package_sha256": sha(self.spec.name + self.version)}

    def claim(self, interval: Interval) -> RunHandle:
        return self.store.runs.claim(self.spec.name, interval, interval.end, code_revision="abc")

    def extract(self, run: RunHandle, rows: int) -> None:
        self.store.runs.advance(run, "extracted", input_digest=sha("input"), rows_extracted=rows)

    def validate(self, run: RunHandle, excluded: pa.Table | None = None) -> None:
        self.store.reports.record_validation(run, {"success": True, "results": []})
        rows = make_scores(day()).slice(0, 0) if excluded is None else excluded
        count = rows.num_rows
        self.store.excluded.record(
            run,
            rows,
            positions=range(count),
            kinds=["quarantined" if number % 2 else "rejected" for number in range(count)],
            reasons=[f"reason {number}" for number in range(count)],
        )
        self.store.runs.advance(run, "validated")

    def score(self, run: RunHandle, scores: pa.Table) -> None:
        self.store.scores.stage(run, scores, **self.package)
        self.store.runs.advance(run, "scored")

    def check(self, run: RunHandle, verdict: str = "ok") -> None:
        self.store.reports.record_drift(
            run, {"verdict": verdict, "sentence": f"it is {verdict}", "p_value": np.nan}
        )
        self.store.runs.advance(run, "checked")

    def checked(self, interval: Interval, scores: pa.Table | None = None, **how: Any) -> RunHandle:
        """A run that only needs publishing."""
        scores = make_scores(interval) if scores is None else scores
        excluded = how.get("excluded")
        run = self.claim(interval)
        self.extract(run, scores.num_rows + (0 if excluded is None else excluded.num_rows))
        self.validate(run, excluded)
        self.score(run, scores)
        self.check(run, how.get("verdict", "ok"))
        return run
