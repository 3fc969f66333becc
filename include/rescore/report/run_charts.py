"""Pictures of runs over time: how their scores are spread, and what became of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from rescore.report.drawing import (
    BLUE,
    ORANGE,
    RED,
    SKY,
    WIDTH,
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

__all__ = ["extracted_rows", "score_distribution"]


def score_distribution(
    rows: Rows,
    *,
    name: str = "score",
    meaning: str = "",
    title: str = "Scores",
    timezone: str = "UTC",
) -> Any:
    """Draw how scores are spread in each interval.

    Parameters
    ----------
    rows : rows
        ``interval_start``, ``interval_end``, ``rows`` and the quantiles ``p05``, ``p25``, ``p50``,
        ``p75``, ``p95``; a drift report has them as ``scores``.
    name : str
        What stands at the axis, with its unit: short.
    meaning : str
        What a score is, said under the title.
    title : str
        Above the picture.
    timezone : str
        Of the time axis.
    """
    placed = [row for row in over_time(rows, timezone) if row["rows"]]
    if not placed:
        return finish(nothing(title, "no scores yet"))
    parts = {"middle 90 % of rows": ("p05", "p95"), "middle half": ("p25", "p75"), "median": ("p50", "p50")}
    shades = {"middle 90 % of rows": "#C6DDEC", "middle half": SKY, "median": "#003B5C"}
    colour = alt.Color(
        "part:N",
        title=None,
        scale=alt.Scale(domain=list(parts), range=list(shades.values())),
        legend=legend(symbolType="square"),
    )
    layers = []
    for part, (low, high) in parts.items():
        data = inline(
            [{**row, "low": row[low], "high": row[high], "part": part} for row in placed],
            *("from", "to", "low", "high", "part"),
        )
        chart = alt.Chart(data, width=WIDTH, height=180)
        drawn = chart.mark_rule(strokeWidth=2) if low == high else intervals(chart, placed)
        encoding = {
            "x": time_axis(placed, None),
            "x2": alt.X2("to:T"),
            "y": alt.Y("low:Q", title=name, scale=alt.Scale(zero=False, nice=True)),
            "color": colour,
        }
        if low != high:
            encoding["y2"] = alt.Y2("high:Q")
        layers.append(drawn.encode(**encoding))
    return finish(
        alt.vconcat(
            alt.layer(*layers),
            sample_sizes(placed, "rows", "rows", timezone),
            title=alt.TitleParams(title, subtitle=meaning),
        )
    )


def extracted_rows(rows: Rows, *, title: str = "Extracted rows", timezone: str = "UTC") -> Any:
    """Draw how many rows each interval had and what became of them.

    Parameters
    ----------
    rows : rows
        ``interval_start``, ``interval_end``, ``scored``, ``quarantined``, ``rejected`` and optionally
        ``published`` (False: the run was stopped or failed, so all its rows are drawn as such).
    title : str
        Above the picture.
    timezone : str
        Of the time axis.

    Returns
    -------
    altair.VConcatChart
        Rows stacked by outcome; below it the share set aside, which a stack of thousands hides.
    """
    placed = over_time(rows, timezone)
    if not placed:
        return finish(nothing(title, "no run yet"))
    outcomes = {"scored": BLUE, "quarantined": ORANGE, "rejected": RED, "not published": "#BDBDBD"}
    stacks, shares = [], []
    for row in placed:
        counts = {name: int(row.get(name) or 0) for name in ("scored", "quarantined", "rejected")}
        total = sum(counts.values())
        published = row.get("published", True)
        stacked = counts if published else {"not published": total}
        stacks += _stack(row, stacked, 1)
        shares += _stack(row, {name: counts[name] for name in ("quarantined", "rejected")}, total or 1)
    used = [name for name in outcomes if any(part["outcome"] == name for part in [*stacks, *shares])]
    colour = alt.Color(
        "outcome:N",
        title=None,
        scale=alt.Scale(domain=used, range=[outcomes[name] for name in used]),
        legend=legend(symbolType="square"),
    )
    counts_chart = _stacked(stacks, placed, 160, None, colour, alt.Y("low:Q", title="rows"))
    largest = max([part["high"] for part in shares], default=0.0)
    share_axis = alt.Y(
        "low:Q",
        title="set aside",
        axis=alt.Axis(format="~%" if largest >= 0.03 else ".1~%", tickCount=3),
        scale=alt.Scale(domain=[0, max(largest * 1.1, 0.01)]),
    )
    share_chart = _stacked(shares, placed, 60, timezone, colour, share_axis)
    return finish(alt.vconcat(counts_chart, share_chart, title=title))


def _stack(row: Mapping[str, Any], counts: Mapping[str, int], per: int) -> list[dict[str, Any]]:
    parts, low = [], 0.0
    for outcome, count in counts.items():
        if count:
            high = low + count / per
            parts.append({"from": row["from"], "to": row["to"], "outcome": outcome, "low": low, "high": high})
            low = high
    return parts


def _stacked(
    parts: Sequence[Mapping[str, Any]],
    placed: Sequence[Mapping[str, Any]],
    height: int,
    timezone: str | None,
    colour: alt.Color,
    y: alt.Y,
) -> Any:
    chart = alt.Chart(inline(parts, "from", "to", "outcome", "low", "high"), width=WIDTH, height=height)
    return intervals(chart, placed).encode(
        x=time_axis(placed, timezone), x2="to:T", y=y, y2="high:Q", color=colour
    )
