"""The model of flight delays: learns, ranks later months, gives the same bits; its expectations."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from rescore import source
from rescore.folder import ModelFolder
from rescore.model.code_tree import code_tree, write_tree
from rescore.model.runtime.frames import Features
from rescore.validation import Validation, gate, validate
from tests.demo.conftest import Extract, due, new_york

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As training and scoring have it; on a busy machine more threads are slower, too."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def build(folder: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """``build`` of the model's pipeline, imported as its package does."""
    tree = tmp_path_factory.mktemp("tree")
    write_tree(code_tree(folder), tree)
    sys.path.insert(0, str(tree))
    try:
        yield import_module("flight_delay.pipeline").build
    finally:
        sys.path.remove(str(tree))
        for name in [name for name in sys.modules if name.split(".")[0] == "flight_delay"]:
            del sys.modules[name]


class Fitted:
    """The pipeline fitted on the training snapshot, and how to score a table with it."""

    def __init__(self, build: Any, folder: ModelFolder, table: pa.Table) -> None:
        self._build = build
        self._hyperparameters = folder.spec.training.hyperparameters
        self.features = Features.learn({one.name: one.kind for one in folder.spec.features}, table)
        self.frame = self.features.frame(self.features.conform(table))
        self.late = table["late"].to_numpy(zero_copy_only=False)
        self.estimator = self.fit(folder.spec.training.seed)

    def fit(self, seed: int, rows: slice = slice(None)) -> Any:
        return self._build(self._hyperparameters, seed).fit(self.frame[rows], self.late[rows])

    def score(self, frame: pd.DataFrame) -> np.ndarray:
        scores: np.ndarray = self.estimator.predict_proba(frame)[:, 1]
        return scores

    def read(self, table: pa.Table) -> pd.DataFrame:
        return self.features.frame(self.features.conform(table))


@pytest.fixture(scope="module")
def fitted(build: Any, folder: ModelFolder, snapshot: source.TrainingSnapshot) -> Fitted:
    return Fitted(build, folder, source.read_frozen(snapshot.path, snapshot.digest.root))


def test_it_ranks_the_flights_of_later_months(
    fitted: Fitted, extract: Extract, folder: ModelFolder, flights_url: str
) -> None:
    """Honest skill is .60 to .75 whatever the day; .88 would be the flight's own departure delay."""
    scores, truth = [], []
    days = [new_york(4, 3) + timedelta(days=13 * number) for number in range(21)]  # every weekday three times
    key = ["time_hour", "carrier", "flight"]
    intervals = [due(folder, day.month, day.day) for day in days]
    labels = source.labels(flights_url, folder, intervals, new_york(1, 3, year=2014)).to_pandas()
    for day in days:
        table = extract(day.month, day.day)
        frame = fitted.read(table)
        scored = table.select(key).to_pandas().assign(score=fitted.score(frame)).merge(labels, on=key)
        scores.append(scored["score"].to_numpy())
        truth.append(scored["late"].to_numpy(dtype=bool))
    area = roc_auc_score(np.concatenate(truth), np.concatenate(scores))
    assert 0.62 < area < 0.80
    # Calibrated in the large: what it promises is about what happens.
    assert np.concatenate(scores).mean() == pytest.approx(np.concatenate(truth).mean(), abs=0.05)


def test_the_seed_alone_decides_what_chance_decides(fitted: Fitted) -> None:
    some = slice(0, None, 8)
    frame = fitted.frame[some]
    first, again, other = (fitted.fit(seed, some).predict_proba(frame) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("feature", ["origin_late_24h", "carrier_late_24h", "carrier_late_7d"])
def test_a_worse_yesterday_never_promises_a_better_today(fitted: Fitted, feature: str) -> None:
    frame = fitted.frame.iloc[5_000::400]
    scores = [fitted.score(frame.assign(**{feature: share})) for share in (0.0, 0.2, 0.4, 0.8)]
    for less, more in pairwise(scores):
        assert (more >= less - 1e-12).all()


def test_a_morning_without_weather_can_be_scored(fitted: Fitted, extract: Extract) -> None:
    scores = fitted.score(fitted.read(extract(12, 31)))
    assert len(scores) == 776
    assert ((scores > 0) & (scores < 1)).all()


# -- expectations ---------------------------------------------------------------------------------


def _failed(report: Validation, severity: str) -> set[str | None]:
    return {one.column for one in report.results if not one.success and one.severity == severity}


def test_an_impossible_gale_sets_its_airport_aside(extract: Extract, folder: ModelFolder) -> None:
    """12 February, 03:00: EWR reports 1,048 mph. Its flights are set aside, the others are scored."""
    table = extract(2, 12)
    assert pc.max(table["weather_wind_speed"]).as_py() > 1_000
    report = validate(table, folder)
    from_newark = np.flatnonzero(pc.equal(table["origin"], "EWR").to_numpy(zero_copy_only=False))
    assert sorted(report.quarantined) == from_newark.tolist()
    assert "weather_wind_speed" in report.quarantined[int(from_newark[0])]
    assert 0.3 < len(from_newark) / table.num_rows < folder.spec.validation.max_quarantined_fraction
    gate(report, folder.spec)


def test_ordinary_days_pass_whole(extract: Extract, folder: ModelFolder) -> None:
    for month, day in ((2, 13), (4, 1), (7, 1), (12, 31)):
        report = validate(extract(month, day), folder)
        gate(report, folder.spec)
        assert (report.quarantined, report.rejected) == ({}, {}), (month, day)
        assert _failed(report, "critical") == set()


def test_half_of_all_pressures_missing_is_noted_and_no_more(extract: Extract, folder: ModelFolder) -> None:
    report = validate(extract(4, 1), folder)
    assert "weather_pressure" in _failed(report, "info")
    assert report.quarantined == {}


@pytest.mark.parametrize(
    ("column", "value"),
    [("origin", "PHL"), ("dest", "nowhere"), ("departure_minute", 1440), ("origin_late_24h", 1.5)],
)
def test_a_broken_query_stops_the_run(
    extract: Extract, folder: ModelFolder, column: str, value: object
) -> None:
    table = extract(4, 6)
    position = table.column_names.index(column)
    values = table[column].to_pylist()
    values[3] = value
    broken = table.set_column(position, column, pa.array(values, table.schema.field(column).type))
    report = validate(broken, folder)
    assert column in _failed(report, "critical")
    assert not report.success


def test_the_folder_declares_what_it_says(folder: ModelFolder) -> None:
    """Names that would tell the outcome are in no feature; the files belong together."""
    names = set(folder.spec.feature_names)
    assert names.isdisjoint(
        {"dep_time", "dep_delay", "air_time", "arr_time", "arr_delay", "tailnum", "month"}
    )
    assert 20 <= len(names) <= 30
    assert {one.kind for one in folder.spec.features} >= {"numeric", "categorical", "boolean"}
    assert "features/smoothed_share.py" in folder.source_files()
    readme = (Path(folder.path) / "README.md").read_text(encoding="utf-8")
    assert [name for name in sorted(names) if f"`{name}`" not in readme] == []
