"""Pictures as people get them: drawn by the real renderer, read back as text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from rescore import report as charts
from rescore.drift import DriftReport, FeatureDrift, Histogram
from rescore.errors import ParameterError
from rescore.performance import Calibration
from rescore.report import drawing, drift_charts

NEW_YORK = "America/New_York"
EMPTY = Histogram(names=(), reference=(), live=())


def days(count: int) -> list[dict[str, Any]]:
    """New York days from 1 April 2013, 04:00 to 04:00, in UTC as the store has them."""
    start = datetime(2013, 4, 1, 8, tzinfo=UTC)
    return [
        {
            "interval_start": start + timedelta(days=day),
            "interval_end": start + timedelta(days=day + 1),
        }
        for day in range(count)
    ]


def feature(name: str, **values: Any) -> FeatureDrift:
    plain = {"kind": "numeric", "effect": 0.01, "importance": 0.1, "flagged": False, "outage": False}
    numbers = dict.fromkeys(("psi", "distance", "missing", "missing_reference_max"), 0.0)
    rest = {"unit": "", "p_value": 0.5, "share_of_statistic": 0.0, "note": ""}
    return FeatureDrift(name=name, **{**plain, **numbers, **rest, **values})


def drift_rows(count: int, *features: FeatureDrift, verdict: str = "ok") -> list[charts.DriftWindow]:
    report = DriftReport(
        verdict=verdict,
        sentence="",
        p_value=0.5,
        method="conformal",
        rate=0.05,
        effect_floor=0.0,
        rows=970,
        reference_windows=60,
        reference_rows=(900, 1000),
        stratum="all",
        with_scores=True,
        features=features,
        estimated={},
        notes=(),
    )
    return [
        charts.DriftWindow(run_id=str(number), published=True, report=report, **day)
        for number, day in enumerate(days(count))
    ]


def texts(chart: Any) -> list[str]:
    """Every text in the picture, after checking that it is well-formed SVG."""
    picture = charts.svg(chart)
    root = ElementTree.fromstring(picture)
    return ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text")]


def performance(count: int, labelled: int) -> list[dict[str, Any]]:
    return [
        {
            **day,
            "labelled": 900 if number < labelled else 0,
            "value": 0.66 if number < labelled else None,
            "low": 0.63,
            "high": 0.69,
            "estimated": 0.67,
        }
        for number, day in enumerate(days(count))
    ]


def scores(count: int) -> list[dict[str, Any]]:
    quantiles = {"p05": 0.1, "p25": 0.2, "p50": 0.25, "p75": 0.4, "p95": 0.6}
    return [{**day, "rows": 970, **quantiles} for day in days(count)]


def outcomes(count: int, **values: Any) -> list[dict[str, Any]]:
    return [{**day, "scored": 950, "quarantined": 12, "rejected": 0, **values} for day in days(count)]


def test_the_heat_map_orders_features_and_marks_what_was_flagged() -> None:
    rows = drift_rows(
        3,
        feature("temp", importance=0.002, flagged=True, effect=0.4),
        feature("origin", importance=0.7),
        feature("score", kind="score", importance=0.0),
        feature("wind_speed", importance=0.298, outage=True, effect=0.0),
        verdict="outage",
    )
    shown = texts(charts.drift_heatmap(rows, title="flight_delay", timezone=NEW_YORK))
    names = [text for text in shown if re.match(r"(temp|origin|score|wind_speed)\b", text)]
    assert [" ".join(name.split()) for name in names] == [
        "origin 70 %",
        "wind_speed 30 %",
        "temp <1 %",
        "score",
    ]
    assert {"flight_delay", "flagged", "outage", "verdict", "rows", "1 Apr"} <= set(shown)
    marks = [cell["mark"] for cell in _values(charts.drift_heatmap(rows), "mark")]
    assert sorted(marks) == ["flagged"] * 3 + ["outage"] * 3


def test_the_heat_map_of_many_features_says_which_it_leaves_out() -> None:
    many = [feature(f"f{number}", effect=number / 1500, importance=0.0) for number in range(1500)]
    chart = charts.drift_heatmap(drift_rows(2, *many, feature("score", kind="score")))
    shown = texts(chart)
    assert any(text.startswith("the 40 of 1,500 features") for text in shown)
    names = {text.split()[0] for text in shown if re.match(r"f\d+ ", text)}
    assert names == {f"f{number}" for number in range(1460, 1500)}
    assert "score" in shown


@pytest.mark.slow
def test_more_cells_than_altair_allows_in_a_frame() -> None:
    rows = drift_rows(126, *(feature(f"f{number}") for number in range(drift_charts.MAX_FEATURES)))
    assert len(texts(charts.drift_heatmap(rows))) > drift_charts.MAX_FEATURES


def test_intervals_are_named_by_their_start_on_the_models_own_clock() -> None:
    assert "1 Apr" in texts(charts.extracted_rows(outcomes(1), timezone=NEW_YORK))
    hours = [
        {
            "interval_start": (datetime(2013, 4, 1, 8, tzinfo=UTC) + timedelta(hours=hour)).isoformat(),
            "interval_end": (datetime(2013, 4, 1, 9, tzinfo=UTC) + timedelta(hours=hour)).isoformat(),
            "scored": 5,
        }
        for hour in range(3)
    ]
    shown = texts(charts.extracted_rows(hours[::-1], timezone=NEW_YORK))
    assert [text for text in shown if text.startswith("1 Apr")] == [
        "1 Apr 04:00",
        "1 Apr 05:00",
        "1 Apr 06:00",
    ]
    assert "start of interval, 2013, America/New York" in shown
    assert "start of interval, 2013, UTC" in texts(charts.extracted_rows(hours))


def test_units_and_sample_sizes_are_on_the_axes() -> None:
    shown = texts(charts.score_distribution(scores(7), name="late", meaning="probability of arriving late"))
    assert {"late", "probability of arriving late", "rows", "1,000", "median"} <= set(shown)
    shown = texts(charts.realised_performance(performance(7, 5), metric="RMSE", unit="minutes", expected=0.7))
    assert {"RMSE (minutes)", "labels", "realised (95 % interval)", "on the hold-out"} <= set(shown)
    found = Histogram(names=("up to 5", "missing"), reference=(70_119, 7_791), live=(452, 451))
    drawn = charts.feature_distribution(found, name="wind_speed", unit="mph")
    assert {"wind_speed", "in mph", "training, 77,910 rows", "this window, 903 rows"} <= set(texts(drawn))
    drawn = charts.feature_distribution(found, name="x", stratum="weekend")
    assert "training's weekend windows, 77,910 rows" in texts(drawn)


def test_cells_are_drawn_in_the_order_given() -> None:
    found = Histogram(names=("up to 9", "9 – 10", "above 10"), reference=(1, 1, 1), live=(1, 1, 1))
    shown = texts(charts.feature_distribution(found, name="x"))
    assert [text for text in shown if text in {"up to 9", "9 – 10", "above 10"}] == [
        "up to 9",
        "9 – 10",
        "above 10",
    ]


def test_rows_of_a_run_that_was_not_published_are_drawn_as_such() -> None:
    rows = outcomes(3)
    rows[2]["published"] = False
    chart = charts.extracted_rows(rows)
    stacked = [part for part in _values(chart, "outcome") if part["high"] > 1]
    assert [part["high"] for part in stacked if part["outcome"] == "not published"] == [962]
    assert [part["high"] for part in stacked if part["outcome"] == "quarantined"] == [962, 962]
    shares = [part for part in _values(chart, "outcome") if part["high"] <= 1]
    assert {round(part["high"], 4) for part in shares} == {0.0125}
    assert "rejected" not in texts(chart)  # no legend for what does not occur


@pytest.mark.parametrize(
    ("chart", "says"),
    [
        (charts.drift_heatmap([]), "no drift report yet"),
        (charts.score_distribution([]), "no scores yet"),
        (charts.realised_performance([], metric="auc"), "no labels yet"),
        (charts.extracted_rows([]), "no run yet"),
        (charts.calibration(None), "no labels yet"),
        (
            charts.feature_distribution(Histogram(names=(), reference=(), live=()), name="x"),
            "nothing to compare",
        ),
    ],
)
def test_nothing_to_draw_is_said(chart: Any, says: str) -> None:
    assert says in texts(chart)


def test_a_label_stands_at_the_start_where_intervals_are_of_different_lengths() -> None:
    weeks = [{**one, "labelled": 9, "value": 0.7, "low": 0.6, "high": 0.8} for one in days(2)]
    weeks[1]["interval_end"] += timedelta(days=6)
    axis = str(charts.realised_performance(weeks, metric="auc").to_dict())
    assert "'labelOffset': 0," in axis
    assert "'labelOffset': 0," not in str(charts.realised_performance(weeks[:1], metric="auc").to_dict())


def test_a_long_gap_is_cut_out_and_said() -> None:
    december = datetime(2013, 12, 30, 9, tzinfo=UTC)
    rows = [*days(7), {"interval_start": december, "interval_end": december + timedelta(days=1)}]
    chart = charts.extracted_rows([{**row, "scored": 900} for row in rows], timezone=NEW_YORK)
    shown = texts(chart)
    assert {"1 Apr", "7 Apr", "30 Dec", "start of interval, 2013, America/New York, gaps cut out"} <= set(
        shown
    )
    drawn = _values(chart, "outcome")
    assert drawn[-1]["from"] == "2013-04-09T04:00:00Z"  # one blank day after the 7th
    assert not any("gaps" in text for text in texts(charts.extracted_rows(outcomes(7))))


def test_calibration_says_how_many_rows_it_stands_on() -> None:
    parts = [
        {"rows": 90, "mean_score": 0.1, "observed_rate": 0.2, "observed_low": 0.1, "observed_high": 0.3},
        {"rows": 91, "mean_score": 0.4, "observed_rate": 0.4, "observed_low": 0.3, "observed_high": 0.5},
    ]
    error = {"value": 0.1, "low": 0.0, "high": 0.2}
    found = Calibration.from_dict({"bins": parts, "error": error, "by_chance": 0.05})
    shown = texts(charts.calibration(found, meaning="probability_late"))
    assert "mean probability_late" in shown
    assert "observed rate, 95 % interval" in shown
    assert any(text.startswith("181 labelled rows, 90 and more a point") for text in shown)


def test_an_estimate_is_drawn_before_labels_are_known() -> None:
    shown = texts(charts.realised_performance(performance(4, 0), metric="auc"))
    assert "estimated from the scores" in shown
    assert "realised (95 % interval)" not in shown


def test_frames_and_dicts_draw_the_same() -> None:
    rows = outcomes(5)
    assert charts.svg(charts.extracted_rows(pd.DataFrame(rows))) == charts.svg(charts.extracted_rows(rows))


def test_saving_follows_the_ending(tmp_path: Path) -> None:
    chart = charts.extracted_rows(outcomes(2))
    assert charts.save(chart, tmp_path / "new" / "rows.png").read_bytes().startswith(b"\x89PNG\r\n")
    first = charts.save(chart, tmp_path / "rows.SVG").read_text()
    assert first.startswith("<svg") and "<script" not in first
    assert first == charts.svg(charts.extracted_rows(outcomes(2)))
    with pytest.raises(ParameterError, match=r"rows\.pdf"):
        charts.save(chart, tmp_path / "rows.pdf")


#: Machado, Oliveira and Fernandes (IEEE TVCG 15, 2009), full severity, for linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize(
    "palette",
    [
        (drawing.GREEN, drawing.ORANGE, drawing.RED, drawing.BLACK),  # verdicts
        (drawing.BLUE, drawing.ORANGE, drawing.RED, "#BDBDBD"),  # outcomes
        (drawing.BLUE, drawing.ORANGE, drawing.GREY),  # lines
    ],
)
def test_colours_are_told_apart_with_any_colour_vision(deficiency: str, palette: tuple[str, ...]) -> None:
    seen = [_lab(colour, np.asarray(DEFICIENCIES[deficiency])) for colour in palette]
    distances = [np.linalg.norm(a - b) for number, a in enumerate(seen) for b in seen[:number]]
    assert min(distances) > 30  # CIE76; 2.3 is just noticeable


def _lab(colour: str, deficiency: np.ndarray) -> np.ndarray:
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(deficiency @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ linear / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _values(chart: Any, field: str) -> list[dict[str, Any]]:
    """Data rows with ``field``, each data set of the picture once."""
    datasets = chart.to_dict()["datasets"].values()
    return [row for rows in datasets for row in rows if field in row]
