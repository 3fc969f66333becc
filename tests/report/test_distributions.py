"""The values behind two pictures, from a real reference and a real window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rescore.drift import build_reference, compare
from rescore.errors import ParameterError
from rescore.report import charts
from rescore.report.distributions import feature_cells, score_quantiles
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


def test_cells_are_shares_of_all_rows_in_the_cells_of_the_reference(reference: bytes, seed: int) -> None:
    window = table(seed + 1, 1, 400)
    found = feature_cells(reference, window, "wind")
    assert (found["unit"], found["reference_rows"], found["live_rows"]) == ("mph", 6000, 400)
    cells = found["cells"]
    assert sum(cell["reference"] for cell in cells) == pytest.approx(1)
    assert sum(cell["live"] for cell in cells) == pytest.approx(1)
    assert cells[0]["cell"].startswith("up to") and cells[-2]["cell"].startswith("above")
    assert cells[-1]["cell"] == "missing"
    assert cells[-1]["live"] == pytest.approx(window["wind"].null_count / 400)
    inner = [cell["reference"] for cell in cells[:-1]]
    assert 8 <= len(inner) <= 12 and max(inner) < 0.2


def test_a_value_that_holds_much_of_the_mass_has_a_bar_of_its_own(reference: bytes, seed: int) -> None:
    cells = {
        cell["cell"]: cell for cell in feature_cells(reference, table(seed + 1, 1, 400), "rain")["cells"]
    }
    assert cells["0"]["reference"] == pytest.approx(0.8, abs=0.03)


def test_levels_that_training_did_not_have_are_named_so(reference: bytes, seed: int) -> None:
    window = table(seed + 1, 1, 100)
    window = window.set_column(5, "sky", pa.array(["clear"] * 60 + ["green"] * 40))
    found = {cell["cell"]: cell["live"] for cell in feature_cells(reference, window, "sky")["cells"]}
    assert found == {"clear": 0.6, "cloudy": 0, "fog": 0, "not in training": 0.4}


def test_scores_have_cells_like_a_feature(reference: bytes, seed: int) -> None:
    window = table(seed + 1, 1, 100)
    found = feature_cells(reference, window, "score", scores=np.full(100, 0.99))
    assert found["cells"][-1]["live"] == 1
    with pytest.raises(ParameterError, match="no feature 'score'"):
        feature_cells(reference, window, "score")
    with pytest.raises(ParameterError, match="no feature 'temp'"):
        feature_cells(reference, window, "temp")


def test_quantiles_of_scores() -> None:
    found = score_quantiles(np.array([*np.linspace(0, 1, 101), np.nan]))
    assert found == pytest.approx(
        {"rows": 101, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "mean": 0.5}
    )
    assert score_quantiles(np.array([]))["p50"] is None


def test_real_reports_and_cells_draw(reference: bytes, seed: int, tmp_path: Path) -> None:
    rows = []
    for day in range(3):
        window = table(seed + day, 1, 200)
        start = datetime(2013, 4, 1 + day, tzinfo=UTC)
        report = compare(reference, window, np.full(200, 0.3), SPEC.drift).to_dict()
        rows.append({"interval_start": start, "interval_end": start + timedelta(days=1), "report": report})
    charts.save(charts.drift_heatmap(rows), tmp_path / "drift.svg")
    drawn = charts.feature_distribution(**feature_cells(reference, window, "sky"))
    charts.save(drawn, tmp_path / "sky.png")
    assert "wind  50 %" in " ".join((tmp_path / "drift.svg").read_text().split("\n"))
