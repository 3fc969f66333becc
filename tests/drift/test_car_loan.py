"""NannyML's car-loan data: published metrics are met, and the estimate follows what came true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import ks_2samp

from rescore.drift import DriftReport, build_reference, compare
from rescore.drift.reference import Reference
from rescore.performance import auc_interval
from rescore.spec import ModelSpec

DATA = Path(__file__).parents[1] / "data" / "car_loan" / "car_loan.parquet"
CHUNK = 5000

#: AUC of the analysis period per 5,000 rows, as NannyML has them.
AUC = (0.970962, 0.970248, 0.976282, 0.967721, 0.969886, 0.960050, 0.958530, 0.959041)

SPEC = ModelSpec.model_validate(
    {
        "name": "car_loan",
        "version": "1.0",
        "owner": "tests",
        "source": {"connection": "none", "key": ["id"], "known_by": {"column": "recorded_at"}},
        "features": [
            {"name": "car_value", "kind": "numeric", "unit": "euros"},
            {"name": "salary_range", "kind": "categorical"},
            {"name": "loan_length", "kind": "numeric", "unit": "months"},
            {"name": "repaid_loan_on_prev_car", "kind": "boolean"},
            {"name": "size_of_downpayment", "kind": "categorical"},
        ],
        "target": {"name": "repaid", "kind": "binary"},
        "output": {"unit": "probability", "meaning": "that the loan is repaid"},
        "schedule": {"cron": "0 0 * * *", "start": "2018-01-01T00:00:00Z"},
        "training": {"intervals": 50, "seed": 1},
    }
)
IMPORTANCE = {"car_value": 0.4, "salary_range": 0.2, "repaid_loan_on_prev_car": 0.4}


@pytest.fixture(scope="module")
def loans() -> pa.Table:
    return pq.read_table(DATA)


@pytest.fixture(scope="module")
def reference(loans: pa.Table) -> bytes:
    """The first 50,000 rows as 50 windows of 1,000."""
    past = loans.slice(0, 50_000)
    starts = [datetime(2018, 1, 1, tzinfo=UTC) + timedelta(days=number // 1000) for number in range(50_000)]
    past = past.append_column("interval_start", pa.array(starts, pa.timestamp("us", tz="UTC")))
    return build_reference(past, SPEC, past["y_pred_proba"].to_numpy(), IMPORTANCE)


@pytest.fixture(scope="module")
def chunks(loans: pa.Table) -> list[pa.Table]:
    return [loans.slice(50_000 + number * CHUNK, CHUNK) for number in range(10)]


@pytest.fixture(scope="module")
def reports(reference: bytes, chunks: list[pa.Table]) -> list[DriftReport]:
    return [compare(reference, chunk, chunk["y_pred_proba"].to_numpy(), SPEC.drift) for chunk in chunks]


def auc(chunk: pa.Table) -> float:
    found = auc_interval(chunk["y_pred_proba"].to_numpy(), chunk["repaid"].to_numpy())
    assert found is not None
    return found[0]


def test_auc_per_chunk_is_the_published_one(chunks: list[pa.Table]) -> None:
    assert [round(auc(chunk), 6) for chunk in chunks[: len(AUC)]] == list(AUC)


def test_the_estimate_follows_what_came_true(chunks: list[pa.Table], reports: list[DriftReport]) -> None:
    realised = np.array([auc(chunk) for chunk in chunks])
    estimated = np.array([report.estimated["auc"].value for report in reports])
    assert np.abs(estimated - realised).max() < 0.006
    assert estimated[:5].min() - estimated[5:].max() > 0.005  # the drop is seen before any label is
    for report, value in zip(reports, realised, strict=True):
        assert report.estimated["auc"].low <= value <= report.estimated["auc"].high


def test_scores_as_they_are_would_overstate_the_drop(chunks: list[pa.Table], reference: bytes) -> None:
    """The model is too sure of itself; what its scores meant in training mends that."""
    from rescore.performance import estimated_performance

    raw = [estimated_performance(chunk["y_pred_proba"].to_numpy())["auc"].value for chunk in chunks]
    assert max(abs(value - auc(chunk)) for value, chunk in zip(raw, chunks, strict=True)) > 0.012
    learnt = Reference.from_bytes(reference).calibration
    assert learnt is not None
    assert (learnt.probabilities[0], learnt.probabilities[-1]) == pytest.approx((0.022, 0.973), abs=0.003)


def test_the_dearer_cars_are_found_and_matter(
    loans: pa.Table, chunks: list[pa.Table], reports: list[DriftReport]
) -> None:
    past = loans["car_value"].slice(0, 50_000).to_numpy()
    distance = [ks_2samp(chunk["car_value"].to_numpy(), past).statistic for chunk in chunks]
    assert distance[4] == pytest.approx(0.011, abs=0.0005)
    assert distance[5] == pytest.approx(0.435, abs=0.0005)
    for report, found in zip(reports, distance, strict=True):
        bars = report.histograms["car_value"]
        before, now = (np.cumsum(of) / sum(of) for of in (bars.reference, bars.live))
        # At the bars' edges the distance is nearly that of all values, and never greater.
        assert found - 0.02 < np.abs(before - now).max() <= found + 1e-9
    assert [report.verdict for report in reports[5:]] == ["consequential"] * 5
    assert all("car_value" in report.sentence for report in reports[5:])
    assert sum(report.verdict != "ok" for report in reports[:5]) <= 1
