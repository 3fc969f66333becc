"""Reports of the first format are read; numbers that are undefined equal themselves."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from rescore.performance import Measure, Outcomes, PerformanceReport, measure
from rescore.performance.report import Agreement
from rescore.spec import ModelSpec

FIRST_FORMAT = {
    "rows": 10,
    "labelled": 8,
    "coverage": 0.8,
    "auc": 0.7,
    "auc_low": 0.6,
    "auc_high": 0.8,
    "base_rate": 0.5,
    "base_rate_low": 0.2,
    "base_rate_high": 0.8,
    "mean_score": 0.4,
    "calibration": [
        {"rows": 8, "mean_score": 0.4, "observed_rate": 0.5, "observed_low": 0.2, "observed_high": 0.8}
    ],
    "calibration_error": 0.1,
    "calibration_error_low": 0.0,
    "calibration_error_high": 0.2,
    "calibration_error_by_chance": 0.05,
    "estimated": {"auc": 0.71, "auc_low": 0.61, "auc_high": 0.81},
    "agreement": {"auc": {"realised": 0.7, "estimated": 0.7, "low": 0.6, "high": 0.8, "within": True}},
    "segments": {"place": [{"value": "a", "rows": 10, "labelled": 8, "coverage": 0.8, "auc": None}]},
    "week": {
        "week": "2024-01-01",
        "runs": 1,
        "interval_start": "2024-01-01T00:00:00+00:00",
        "interval_end": "2024-01-02T00:00:00+00:00",
        "metrics": {"rows": 10, "labelled": 0, "coverage": 0.0, "estimated": {"auc": 0.7}},
    },
    "added_later": {"kept": True},
}


def test_a_report_of_the_first_format_is_read_and_written_as_the_second() -> None:
    report = PerformanceReport.from_dict(FIRST_FORMAT)
    assert report.measure("auc") == Measure(value=0.7, low=0.6, high=0.8)
    assert report.estimated["auc"].high == 0.81
    assert report.calibration is not None and report.calibration.error.high == 0.2
    assert report.segments["place"][0].measure("auc").value is None
    assert report.week is not None and report.week.metrics.estimated["auc"].value == 0.7
    written = report.to_dict()
    assert written["format"] == written["week"]["metrics"]["format"] == 2
    assert written["added_later"] == {"kept": True}
    assert PerformanceReport.from_dict(written) == report


def test_an_undefined_number_is_none_and_equals_itself() -> None:
    assert Measure(value=math.nan, high=math.inf) == Measure(value=math.nan) == Measure()


@pytest.mark.parametrize(
    ("realised", "outside", "said"),
    [
        (0.26, False, ""),
        (0.41, False, "rows like these more often come true than in training, so the relation"),
        (0.11, False, "rows like these less often come true"),
        (0.41, True, "the rows are outside of what training saw"),
    ],
)
def test_a_base_rate_that_features_do_not_explain_is_said_with_the_assumption_that_failed(
    realised: float, outside: bool, said: str
) -> None:
    rate = {"realised": realised, "estimated": 0.25, "low": 0.22, "high": 0.28, "within": realised == 0.26}
    report = PerformanceReport(
        rows=10, labelled=10, coverage=1.0, agreement={"base_rate": Agreement(**rate)}, outside=outside
    )
    found = report.contradiction()
    assert said in found
    if said:
        assert found.startswith(
            f"{realised} of the rows with a label came true, and their scores let 0.25 be"
        )
    else:
        assert not found


def test_an_expected_error_is_set_against_what_came_true_only_where_nearly_all_rows_have_a_label(
    make_spec: Callable[..., ModelSpec],
) -> None:
    expected = {"rmse": Measure(value=1.0, low=0.9, high=1.1)}
    truth = np.linspace(0, 10, 100)
    for missing, compared in ((5, True), (20, False)):
        known = np.where(np.arange(100) < missing, np.nan, truth)
        found = measure(
            Outcomes(truth + 1.0, known, {}), make_spec(x="numeric", target="regression"), expected=expected
        )
        assert found.estimated == expected
        assert ("rmse" in found.agreement) is compared
        if compared:
            assert found.agreement["rmse"].within
