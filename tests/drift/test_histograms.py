"""What a report keeps for pictures: bars of a real reference and a real window, quantiles of scores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rescore.drift import build_reference, compare
from rescore.drift.histograms import MAX_FEATURES, score_quantiles
from rescore.spec import ModelSpec

SPEC = ModelSpec.model_validate(
    {
        "name": "weather",
        "version": "1.0",
        "owner": "tests",
        "source": {"connection": "s", "key": ["id"], "known_by": {"column": "recorded_at"}},
        "features": [
            {"name": "wind", "kind": "numeric", "unit": "mph"},
            {"name": "rain", "kind": "numeric"},
            {"name": "sky", "kind": "categorical"},
        ],
        "target": {"name": "late", "kind": "binary"},
        "output": {"unit": "probability", "meaning": "late"},
        "schedule": {"cron": "0 4 * * *", "start": "2013-01-01"},
        "training": {"intervals": 30, "seed": 1},
    }
)


def table(seed: int, windows: int, rows: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    count = windows * rows
    start = datetime(2013, 1, 1, tzinfo=UTC)
    starts = [start + timedelta(days=number // rows) for number in range(count)]
    rain = np.where(draw.random(count) < 0.8, 0.0, draw.normal(0, 3, count))
    return pa.table(
        {
            "interval_start": pa.array(starts, pa.timestamp("us", tz="UTC")),
            "id": np.arange(count),
            "event_time": pa.array(starts, pa.timestamp("us", tz="UTC")),
            "wind": pa.array(draw.normal(10, 3, count), mask=draw.random(count) < 0.05),
            "rain": rain,
            "sky": pa.array(np.array(["clear", "cloudy", "fog"])[draw.integers(0, 3, count)]),
        }
    )


@pytest.fixture(scope="module")
def reference(seed: int) -> bytes:
    snapshot = table(seed, 30, 200)
    scores = np.random.default_rng(seed).beta(2, 5, snapshot.num_rows)
    return build_reference(snapshot, SPEC, scores, {"wind": 0.5, "rain": 0.2, "sky": 0.3})


def bars(reference: bytes, window: pa.Table, scores: np.ndarray | None = None) -> dict[str, Any]:
    return compare(reference, window, scores, SPEC.drift).to_dict()["histograms"]


def test_bars_hold_every_row_in_the_cells_of_the_reference(reference: bytes, seed: int) -> None:
    window = table(seed + 1, 1, 400)
    found = bars(reference, window)["wind"]
    assert (sum(found["reference"]), sum(found["live"])) == (6000, 400)
    assert found["names"][0].startswith("up to") and found["names"][-2].startswith("above")
    assert found["names"][-1] == "missing"
    assert found["live"][-1] == window["wind"].null_count
    inner = np.array(found["reference"][:-1]) / 6000
    assert 8 <= len(inner) <= 12 and max(inner) < 0.2
    low = float(found["names"][0].removeprefix("up to "))
    values = window["wind"].drop_null().to_numpy()
    assert found["live"][0] == pytest.approx((values <= low).sum(), abs=1)  # the name is rounded


def test_a_value_that_holds_much_of_the_mass_has_a_bar_of_its_own(reference: bytes, seed: int) -> None:
    found = bars(reference, table(seed + 1, 1, 400))["rain"]
    assert not any("e-" in name for name in found["names"])  # the float just under zero is zero to a reader
    assert found["reference"][found["names"].index("0")] / 6000 == pytest.approx(0.8, abs=0.03)


def test_levels_that_training_did_not_have_are_named_so(reference: bytes, seed: int) -> None:
    window = table(seed + 1, 1, 100)
    window = window.set_column(5, "sky", pa.array(["clear"] * 60 + ["green"] * 40))
    found = bars(reference, window)["sky"]
    assert found["names"][-1] == "not in training"
    live = dict(zip(found["names"], found["live"], strict=True))
    assert live == {"clear": 60, "cloudy": 0, "fog": 0, "not in training": 40}


def test_bars_are_of_the_reference_windows_that_were_compared(reference: bytes, seed: int) -> None:
    by_day = SPEC.drift.model_copy(update={"strata": "weekday", "false_alarm_rate": 0.2})
    found = compare(reference, table(seed + 1, 1, 100), None, by_day)
    assert sum(found.histograms["rain"].reference) == 200 * found.reference_windows < 6000


def test_scores_have_bars_and_quantiles(reference: bytes, seed: int) -> None:
    window = table(seed + 1, 1, 100)
    report = compare(reference, window, np.full(100, 0.99), SPEC.drift).to_dict()
    assert report["histograms"]["score"]["live"][-1] == 100
    assert report["scores"]["p50"] == 0.99
    unscored = compare(reference, window, None, SPEC.drift).to_dict()
    assert unscored["scores"] is None
    assert "score" not in unscored["histograms"]


def test_of_many_features_those_worth_a_look_are_kept(seed: int) -> None:
    draw = np.random.default_rng(seed)
    names = [f"f{number}" for number in range(MAX_FEATURES + 20)]
    spec = SPEC.model_copy(
        update={"features": [SPEC.features[1].model_copy(update={"name": name}) for name in names]}
    )
    days = table(seed, 30, 50).select(["interval_start", "id", "event_time"])
    for name in names:
        days = days.append_column(name, pa.array(draw.normal(size=days.num_rows)))
    profile = build_reference(days, spec, None, dict.fromkeys(names[:-1], 1.0))
    window = days.slice(0, 50).set_column(2 + len(names), names[-1], pa.array(np.full(50, 9.0)))
    found = compare(profile, window, None, spec.drift)
    assert len(found.histograms) == MAX_FEATURES
    assert names[-1] in found.histograms  # no importance, but broken


def test_quantiles_of_scores() -> None:
    found = score_quantiles(np.array([*np.linspace(0, 1, 101), np.nan]))
    assert dict(found) == pytest.approx(
        {"rows": 101, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "mean": 0.5}
    )
    assert score_quantiles(np.array([])).p50 is None
