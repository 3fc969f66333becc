"""Pictures of a comparison: who gains where, day by day, whether predictions come true, moved scores."""

from __future__ import annotations

from typing import Any

import altair as alt

from rescore.comparison import ComparisonReport, MovedScores, Side
from rescore.report.drawing import BLACK, BLUE, GREY, ORANGE, SKY, WIDTH, finish, inline, legend, nothing

__all__ = ["gains", "gains_by_day", "moved_scores", "reliability"]

#: The side of the square pictures, pixels.
SIDE = 300
_SIDES: dict[Side, str] = {"champion": GREY, "challenger": BLUE}


def gains(report: ComparisonReport) -> Any:
    """Draw the gain on all rows and in each segment, with its interval; right of 0 is better."""
    metric = report.metric
    rows = [{"name": "all rows", "rows": report.holdout.rows, **report.main.to_dict(), "judged": True}]
    for column, segments in report.segments.items():
        rows += [{"name": f"{column}: {segment.value}", **segment.to_dict()} for segment in segments]
    shown = [row for row in rows if row["gain"] is not None]
    if not shown:
        return finish(nothing("Gain", f"{metric} is not defined on these rows"))
    for row in shown:
        row["name"] = f"{row['name']} ({row['rows']:,})"
        row["kind"] = "judged" if row["judged"] else "too small to judge"
    order = [row["name"] for row in shown]
    title = f"gain in {metric}, with its 95 % interval; right of the line the challenger is better"
    x = alt.X("gain:Q", title=title, axis=alt.Axis(format="+.3~f"))
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=260, ticks=False, domain=False))
    shape = alt.Shape(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=["judged", "too small to judge"], range=["circle", "diamond"]),
        legend=legend() if any(not row["judged"] for row in shown) else None,
    )
    base = alt.Chart(inline(shown, "name", "gain", "low", "high", "kind"), width=WIDTH - 140)
    zero = alt.Chart(inline([{"gain": 0}], "gain")).mark_rule(color=BLACK).encode(x=x)
    bars = base.mark_rule(strokeWidth=2, color=BLUE).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y)
    dots = base.mark_point(filled=True, size=60, opacity=1, color=BLUE).encode(x=x, y=y, shape=shape)
    return finish((zero + bars + dots).properties(height={"step": 22}))


def gains_by_day(report: ComparisonReport) -> Any:
    """Draw the gain of each day of the hold-out: whether it rests on a few days."""
    metric = report.metric
    days = [day.to_dict() for day in report.blocks if day.gain is not None]
    if not days:
        return finish(nothing("Gain by day", f"{metric} is not defined on any one day"))
    for day in days:
        day["better"] = "challenger" if day["gain"] > 0 else "champion"
    better = alt.Color(
        "better:N",
        title="better that day",
        scale=alt.Scale(domain=list(_SIDES), range=["#5C5C5C", BLUE]),
        legend=legend(),
    )
    axis = alt.Axis(title="day of the hold-out", labelAngle=-45 if len(days) > 8 else 0, labelOverlap=True)
    base = alt.Chart(inline(days, "block", "gain", "better"), width=WIDTH - 60, height=140)
    return finish(
        base.mark_bar(size=max(2, min(24, 0.6 * (WIDTH - 60) / len(days)))).encode(
            x=alt.X("block:O", axis=axis),
            y=alt.Y("gain:Q", title=f"gain in {metric}", axis=alt.Axis(format="+.3~f")),
            color=better,
        )
    )


def reliability(report: ComparisonReport) -> Any:
    """Draw what was predicted beside what came true; on the diagonal the two are the same."""
    rows = [{**one.to_dict(), "side": side} for side in _SIDES for one in report.calibration[side].bins]
    values = [
        row[name]
        for row in rows
        for name in ("predicted", "observed", "low", "high")
        if row[name] is not None
    ]
    low, high = min(values), max(values)
    pad = 0.03 * (high - low or 1)
    scale = alt.Scale(domain=[low - pad, high + pad], nice=False)
    said = _reliability_axes(report)
    x = alt.X("predicted:Q", title=said[0], scale=scale)
    y = alt.Y("observed:Q", title=said[1], scale=scale)
    colour = alt.Color(
        "side:N",
        title=None,
        scale=alt.Scale(domain=list(_SIDES), range=list(_SIDES.values())),
        legend=legend(),
    )
    shape = alt.Shape(
        "side:N",
        title=None,
        scale=alt.Scale(domain=list(_SIDES), range=["square", "circle"]),
        legend=legend(),
    )
    base = alt.Chart(inline(rows, "predicted", "observed", "low", "high", "side"), width=SIDE, height=SIDE)
    bars = base.mark_rule(opacity=0.6).encode(
        x=x, y=alt.Y("low:Q", title=said[1], scale=scale), y2="high:Q", color=colour
    )
    dots = base.mark_point(filled=True, size=50, opacity=1).encode(x=x, y=y, color=colour, shape=shape)
    return finish(_diagonal(low, high, scale) + bars + dots)


def _reliability_axes(report: ComparisonReport) -> tuple[str, str]:
    """What the axes say; only a binary target has a last label, the one that is scored."""
    if report.kind == "binary":
        return "predicted probability", f"share that came true ({report.target.labels[-1]})"
    if report.kind == "multiclass":
        return "probability of the label named", "share in which it was right"
    unit = report.output.unit
    return f"predicted ({unit})", f"observed ({unit})"


def moved_scores(report: ComparisonReport) -> Any:
    """Draw live rows by both scores; on the diagonal nothing moves."""
    moved = report.movement
    if not isinstance(moved, MovedScores):
        return finish(nothing("Moved scores", "no live rows could be scored with both"))
    edges = moved.edges
    cells = [
        {"x": edges[x], "x2": edges[x + 1], "y": edges[y], "y2": edges[y + 1], "rows": rows}
        for x, y, rows in moved.cells
    ]
    scale = alt.Scale(domain=[edges[0], edges[-1]], nice=False)
    name = "probability of the champion's label" if report.kind == "multiclass" else "score"
    colour = alt.Color(
        "rows:Q",
        title="live rows",
        scale=alt.Scale(type="log", range=["#D6E4EE", SKY, BLUE, "#00324F"]),
        legend=alt.Legend(gradientLength=100, tickCount=3, format=",d"),
    )
    heat = (
        alt.Chart(inline(cells, "x", "x2", "y", "y2", "rows"), width=SIDE, height=SIDE)
        .mark_rect()
        .encode(
            x=alt.X("x:Q", title=f"champion's {name}", scale=scale),
            x2="x2:Q",
            y=alt.Y("y:Q", title=f"challenger's {name}", scale=scale),
            y2="y2:Q",
            color=colour,
        )
    )
    line = alt.Chart(inline([{"x": edges[0], "y": edges[0]}, {"x": edges[-1], "y": edges[-1]}], "x", "y"))
    diagonal = line.mark_line(color=ORANGE, strokeWidth=1.5).encode(
        x=alt.X("x:Q", scale=scale), y=alt.Y("y:Q", scale=scale)
    )
    return finish(heat + diagonal)


def _diagonal(low: float, high: float, scale: alt.Scale) -> Any:
    ends = [{"predicted": low, "observed": low}, {"predicted": high, "observed": high}]
    line = alt.Chart(inline(ends, "predicted", "observed")).mark_line(color=ORANGE, strokeWidth=1.5)
    return line.encode(x=alt.X("predicted:Q", scale=scale), y=alt.Y("observed:Q", scale=scale))
