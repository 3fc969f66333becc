"""Pictures of performance: realised beside what was expected, and whether probabilities come true."""

from __future__ import annotations

from typing import Any

import altair as alt

from rescore.performance import Calibration
from rescore.report.drawing import (
    BLUE,
    GREY,
    ORANGE,
    Rows,
    finish,
    inline,
    intervals,
    legend,
    nothing,
    over_time,
    sample_sizes,
    time_axis,
)
from rescore.shown_text import number_of

__all__ = ["calibration", "realised_performance"]

#: The side of the calibration picture, pixels.
SIDE = 260

_REALISED, _ESTIMATED, _HOLDOUT = "realised (95 % interval)", "estimated from the scores", "on the hold-out"


def realised_performance(
    rows: Rows,
    *,
    metric: str,
    unit: str = "",
    expected: float | None = None,
    title: str = "Performance",
    timezone: str = "UTC",
) -> Any:
    """Draw a metric per interval once labels are known, with its 95 % interval, beside the estimate.

    Parameters
    ----------
    rows : rows
        ``interval_start``, ``interval_end``, ``labelled`` (rows with a label), ``value``, ``low`` and
        ``high`` (None before labels are known), and optionally ``estimated``, the metric expected
        from the scores alone, with its band ``estimated_low`` and ``estimated_high``.
    metric, unit : str
        Its name, and its unit if it has one.
    expected : float, optional
        What was measured on the hold-out in training, drawn as a line across.
    title : str
        Above the picture.
    timezone : str
        Of the time axis.
    """
    placed = over_time(rows, timezone)
    for row in placed:
        row["labelled"] = row.get("labelled") or 0
    known = [row for row in placed if row.get("value") is not None]
    estimated = [row for row in placed if row.get("estimated") is not None]
    if not known and not estimated:
        return finish(nothing(title, "no labels yet"))
    lines = {_REALISED: BLUE, _ESTIMATED: ORANGE, _HOLDOUT: GREY}
    drawn = [bool(known), bool(estimated), expected is not None]
    names = [name for name, is_drawn in zip(lines, drawn, strict=True) if is_drawn]
    colour = alt.Color(
        "line:N",
        title=None,
        scale=alt.Scale(domain=names, range=[lines[name] for name in names]),
        legend=legend(symbolType="stroke", symbolStrokeWidth=3),
    )
    heading = f"{metric} ({unit})" if unit else metric
    x, middle = time_axis(placed, None), time_axis(placed, None, field="middle")
    scale = alt.Scale(zero=False)
    value = alt.Y("value:Q", title=heading, scale=scale)
    low = alt.Y("low:Q", title=heading, scale=scale)
    layers: list[Any] = []
    if estimated:
        layers += _estimates(estimated, placed, colour, {"x": x, "x2": "to:T"}, value, low)
    if expected is not None:
        across = [{"from": placed[0]["from"], "to": placed[-1]["to"], "value": expected, "line": _HOLDOUT}]
        layers.append(
            alt.Chart(inline(across, "from", "to", "value", "line"))
            .mark_rule(strokeWidth=1.5, strokeDash=[5, 3])
            .encode(x=x, x2="to:T", y=value, color=colour)
        )
    if known:
        data = [{**row, "line": _REALISED} for row in known]
        base = alt.Chart(inline(data, "middle", "value", "low", "high", "line"))
        size = min(48.0, max(10.0, 1600 / len(placed)))
        bars = base.mark_rule(strokeWidth=2 if len(placed) < 60 else 1, opacity=0.7)
        dots = base.mark_point(filled=True, size=size, opacity=1)
        layers += [
            bars.encode(x=middle, y=low, y2="high:Q", color=colour),
            dots.encode(x=middle, y=value, color=colour),
        ]
    chart = alt.layer(*layers).properties(height=180)
    said = alt.TitleParams(title, subtitle=_said(estimated))
    strip = sample_sizes(placed, "labelled", "labels", timezone)
    return finish(alt.vconcat(chart.properties(width=strip.width), strip, title=said))


def _estimates(
    rows: list[dict[str, Any]],
    placed: list[dict[str, Any]],
    colour: alt.Color,
    across: dict[str, Any],
    value: alt.Y,
    low: alt.Y,
) -> list[Any]:
    """The estimate of each interval across its width, with its band where every one has a band."""
    data = [
        {
            **row,
            "line": _ESTIMATED,
            "value": row["estimated"],
            "low": row.get("estimated_low"),
            "high": row.get("estimated_high"),
        }
        for row in rows
    ]
    base = alt.Chart(inline(data, "from", "to", "value", "low", "high", "line"))
    layers: list[Any] = []
    if all(row["low"] is not None for row in data):
        band = intervals(base, placed, opacity=0.25)
        layers.append(band.encode(y=low, y2="high:Q", color=colour, **across))
    rule = base.mark_rule(strokeWidth=2)
    return [*layers, rule.encode(y=value, color=colour, **across)]


def _said(estimated: list[dict[str, Any]]) -> str:
    banded = bool(estimated) and all(row.get("estimated_low") is not None for row in estimated)
    return "shaded: where it should come true, 95 %, if scores mean what they meant in training" * banded


def calibration(
    found: Calibration | None, *, meaning: str = "score", title: str = "Calibration", subtitle: str = ""
) -> Any:
    """Draw whether probabilities come true: the observed rate against the mean score, by tenths of rows.

    Parameters
    ----------
    found : Calibration or None
        Of a performance report; None without labels.
    meaning : str
        What a score is.
    title, subtitle : str
        Above the picture.
    """
    if found is None or not found.bins:
        return finish(nothing(title, "no labels yet"))
    groups = found.bins
    largest = max(max(one.mean_score, one.observed_high) for one in groups)
    domain = [0, min(1.0, largest * 1.05)]
    axis: dict[str, Any] = {
        "axis": alt.Axis(format="~%", tickCount=6),
        "scale": alt.Scale(domain=domain, nice=False),
    }
    line = alt.Chart(alt.InlineData(values=[{"at": one} for one in domain])).mark_line(
        color=GREY, strokeWidth=1.5, strokeDash=[5, 3]
    )
    diagonal = line.encode(x=alt.X("at:Q", title=f"mean {meaning}", **axis), y=alt.Y("at:Q", **axis))
    data = inline(map(dict, groups), "rows", "mean_score", "observed_rate", "observed_low", "observed_high")
    base = alt.Chart(data).encode(x=alt.X("mean_score:Q", title=f"mean {meaning}", **axis))
    title_y = "observed rate, 95 % interval"
    bars = base.mark_rule(color=BLUE, strokeWidth=2, opacity=0.7).encode(
        y=alt.Y("observed_low:Q", title=title_y, **axis), y2="observed_high:Q"
    )
    dots = base.mark_point(filled=True, color=BLUE, size=48, opacity=1).encode(
        y=alt.Y("observed_rate:Q", title=title_y, **axis)
    )
    total, least = sum(one.rows for one in groups), min(one.rows for one in groups)
    counted = (
        f"{number_of(total, 'labelled row')}, {least:,} and more a point; dashed: scores come true exactly"
    )
    lines = [subtitle, counted] if subtitle else [counted]
    chart = alt.layer(diagonal, bars, dots, title=alt.TitleParams(title, subtitle=lines))
    return finish(chart.properties(width=SIDE, height=SIDE))
