"""Labels whose codes changed after training are counted; nothing is measured with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rescore.errors import DriftError
from rescore.evidence import Alarm
from rescore.performance import (
    LatestPerformance,
    PerformanceReport,
    adopted_bound,
    judged,
    measure,
    outcomes,
    realised,
)
from rescore.performance.verdict import expected_bound
from rescore.spec import ModelSpec

Spec = Callable[..., ModelSpec]

SCORES = pa.table({"id": range(8), "score": [0.9, 0.8, 0.7, 0.6, 0.65, 0.3, 0.2, 0.1]})
BAD = [True, True, True, True, False, False, False, False]


def measured(
    make_spec: Spec, labels: pa.Array, trained_on: list[str], *, positive: Any = True
) -> PerformanceReport:
    spec = make_spec(x="numeric")
    spec = spec.model_copy(update={"target": spec.target.model_copy(update={"positive": positive})})
    table = pa.table({"id": range(8), "y": labels})
    return measure(outcomes(SCORES, table, spec, trained_on=trained_on), spec)


@pytest.mark.parametrize(
    ("labels", "trained_on", "positive", "unknown", "labelled"),
    [
        (["BAD " if bad else "good" for bad in BAD], ["good", "bad"], "bad", {"BAD ": 4}, 4),
        (["yes" if bad else "no" for bad in BAD], ["false", "true"], True, {"yes": 4, "no": 4}, 0),
        ([2 if bad else 1 for bad in BAD], ["false", "true"], True, {"2": 4, "1": 4}, 0),
        (["pending"] * 4 + ["good"] * 4, ["good", "bad"], "bad", {"pending": 4}, 4),
        (["1.0" if bad else "0.0" for bad in BAD], ["0", "1"], 1, {"1.0": 4, "0.0": 4}, 0),
        (["Ja" if bad else None for bad in BAD], ["nein", "ja"], "ja", {"Ja": 4}, 0),
    ],
)
def test_labels_that_training_never_saw_are_counted_and_in_no_metric(
    make_spec: Spec,
    labels: list[Any],
    trained_on: list[str],
    positive: Any,
    unknown: dict[str, int],
    labelled: int,
) -> None:
    report = measured(make_spec, pa.array(labels), trained_on, positive=positive)
    assert report.unknown_labels == unknown
    assert report.labelled == labelled
    warning = report.unknown_label_warning()
    assert f"{sum(unknown.values())} rows have a label that training never saw" in warning
    assert all(repr(label) in warning for label in unknown)
    assert PerformanceReport.from_dict(report.to_dict()) == report


@pytest.mark.parametrize("labels", [[1.0 if bad else 0.0 for bad in BAD], [int(bad) for bad in BAD]])
def test_whole_numbers_are_the_same_label_whatever_their_type(make_spec: Spec, labels: list[Any]) -> None:
    report = measured(make_spec, pa.array(labels), ["0", "1"], positive=1)
    assert report.unknown_labels == {}
    assert report.measure("auc").value == pytest.approx(15 / 16)
    assert report.measure("base_rate").value == 0.5


def test_a_multiclass_label_of_another_form_is_no_wrong_answer(make_spec: Spec) -> None:
    scores = SCORES.append_column("label", pa.array(["1", "2"] * 4))
    spec = make_spec(target="multiclass", x="numeric")
    as_float = pa.table({"id": range(8), "y": [1.0, 2.0] * 4})
    report = measure(outcomes(scores, as_float, spec, trained_on=["1", "2"]), spec)
    assert (report.measure("accuracy").value, report.unknown_labels) == (1.0, {})
    as_text = pa.table({"id": range(8), "y": ["1.0", "2.0"] * 4})
    report = measure(outcomes(scores, as_text, spec, trained_on=["1", "2"]), spec)
    assert (report.labelled, report.unknown_labels) == (0, {"1.0": 4, "2.0": 4})


def test_without_knowing_training_a_binary_label_has_at_most_one_other_value(make_spec: Spec) -> None:
    spec = make_spec(x="numeric")
    with pytest.raises(DriftError, match="y has the values 'no', 'yes'"):
        realised(SCORES, pa.table({"id": range(8), "y": ["yes", "no"] * 4}), spec)


def test_a_regressions_label_that_became_text_is_refused(make_spec: Spec) -> None:
    spec = make_spec(target="regression", x="numeric")
    with pytest.raises(DriftError, match="labels of toy are string now"):
        outcomes(SCORES, pa.table({"id": range(8), "y": ["1.5"] * 8}), spec)


def test_a_regressions_whole_numbers_may_be_as_large_as_they_are(make_spec: Spec) -> None:
    spec = make_spec(target="regression", x="numeric")
    labels = pa.table({"id": range(8), "y": [2**53 + 1] * 8})
    assert measure(outcomes(SCORES, labels, spec), spec).measure("rmse").value == pytest.approx(2.0**53)


def test_keys_of_another_kind_are_named(make_spec: Spec) -> None:
    labels = pa.table({"id": [f"c{number}" for number in range(8)], "y": [True, False] * 4})
    with pytest.raises(DriftError, match="id of the labels is string, that of the scores int64") as caught:
        realised(SCORES, labels, make_spec(x="numeric"))
    assert caught.value.fix == "cast id in labels.sql to what extract.sql gives"


def latest(value: float | None, low: float | None, high: float | None, **more: Any) -> LatestPerformance:
    until = datetime(2024, 3, 1, tzinfo=UTC)
    given: dict[str, Any] = {"metric": "rmse", "value": value, "low": low, "high": high, "rows": 500}
    return LatestPerformance(**{**given, "until": until, **more})


def test_an_error_beyond_the_declared_bound_is_worse() -> None:
    assert judged(latest(121.0, 110.0, 130.0), 12.0, []).verdict == "worse"
    assert judged(latest(12.5, 11.0, 14.0), 12.0, []).verdict == "ok"  # it may be chance
    report = judged(latest(121.0, 110.0, 130.0), 12.0, [])
    assert "rmse of 500 rows" in report.sentence and "worse than the declared bound, 12" in report.sentence


def test_a_metric_without_a_value_is_not_judged() -> None:
    report = judged(latest(None, None, None), 12.0, [])
    assert (report.verdict, report.sentence) == ("ok", "rmse has no value for these labels")


def test_without_a_declared_bound_hold_out_and_folds_give_one() -> None:
    trained = [8.6, 8.2, 9.1, 8.4]
    # Student's t at 3 degrees of freedom, 3.182, times .3862 times sqrt(1 + 1 / 4), above their mean, 8.575.
    report = judged(latest(9.5, 9.2, 9.8), None, trained)
    assert report.verdict == "ok"
    assert report.bound == pytest.approx(8.575 + 3.18245 * 0.386221 * 1.25**0.5, rel=1e-4)
    # 8.6 to 121 waits for no evidence of many windows; a little beyond the bound does.
    told = {"alarm": Alarm.model_construct(new=False, raised=False)}
    broken = judged(latest(121.0, 110.0, 130.0), None, trained)
    assert (broken.verdict, broken.far, broken.model_copy(update=told).to_be_told) == ("worse", True, True)
    assert broken.sentence.endswith(
        "worse than the bound that hold-out and folds give, 9.949; it was 8.6 on the hold-out"
    )
    little = judged(latest(10.5, 10.2, 10.8), None, trained)
    assert (little.verdict, little.far, little.model_copy(update=told).to_be_told) == ("worse", False, False)
    assert judged(latest(0.5, 0.45, 0.55, metric="auc"), None, [0.9, 0.91, 0.89, 0.9]).far
    assert judged(latest(0.5, 0.45, 0.55, metric="auc"), None, [0.7, 0.72, 0.69]).verdict == "worse"
    assert judged(latest(0.9, 0.85, 0.95, metric="auc"), None, [0.7, 0.72, 0.69]).verdict == "ok"
    few = judged(latest(121.0, 110.0, 130.0), None, [8.6])
    assert (few.verdict, few.bound) == ("ok", None)
    assert "no bound is declared" in few.sentence


def test_an_adopted_package_is_held_to_its_first_windows_and_to_a_constant() -> None:
    first = [8.6, 8.2, 9.1, 8.4]
    usual = adopted_bound("rmse", {"rmse": 3.0, "r2": 0.96}, first)  # its own rows: it knows them by heart
    assert (
        usual is not None and usual.whose == "the bound that the package's first 4 windows with labels give"
    )
    assert usual.value == pytest.approx(8.575 + 3.18245 * 0.386221 * 1.25**0.5, rel=1e-4)
    # What breaks later does not widen it, and what was broken from the start is measured by a constant.
    assert adopted_bound("rmse", {}, [*first, 121.0, 120.0]) == usual
    broken = adopted_bound("rmse", {"rmse": 3.0, "r2": 0.96}, [121.0, 120.0, 122.0])
    assert broken is not None and "always scoring the same" in broken.whose
    assert broken.value == pytest.approx(15.0)
    assert adopted_bound("auc", {}, [0.7]) == (0.5, broken.whose)
    assert adopted_bound("auc", {}, [0.7, 0.72, 0.69]) > (0.5, "")
    report = judged(latest(121.0, 110.0, 130.0), None, (), broken)
    assert (report.verdict, report.bound, report.to_be_told) == ("worse", broken.value, True)
    assert "121 (110 to 130), worse than what always scoring the same would reach" in report.sentence
    assert judged(latest(121.0, 110.0, 130.0), 200.0, (), broken).verdict == "ok"
    assert adopted_bound("rmse", {}, [8.6, 8.2]) is None


@pytest.mark.parametrize("number", [3, 6])
def test_the_bound_is_passed_by_chance_as_often_as_it_says(seed: int, number: int) -> None:
    draws = np.random.default_rng(seed).standard_normal((4_000, number + 1))
    bounds = [expected_bound("auc", draw[:number].tolist()) or 0.0 for draw in draws]
    assert 0.015 < (draws[:, number] < bounds).mean() < 0.036  # one side of 95 %, at four standard errors


def test_labels_that_training_never_saw_are_not_judged() -> None:
    report = judged(latest(None, None, None, unknown_labels={"pending": 12}), 1.0, [8.6, 8.2, 9.1])
    assert report.verdict == "unknown_labels"
    assert "12 rows" in report.sentence and "'pending'" in report.sentence
