"""Pictures of drift: features by time, and one feature in training and now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from rescore.drift import FeatureDrift, Histogram
from rescore.report.drawing import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    RED,
    SKY,
    WIDTH,
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

if TYPE_CHECKING:
    from rescore.report.stored_windows import DriftWindow

__all__ = ["drift_heatmap", "feature_distribution"]

#: Features drawn in one heat map.
MAX_FEATURES = 40

#: From so many rows on, a heat map has its legend at its side.
LEGEND_ROWS = 12

#: Effect (PSI) from which a cell of the heat map is as dark as it gets.
DARKEST = 0.5

_VERDICTS = {"ok": GREEN, "drifted": ORANGE, "consequential": RED, "outage": BLACK}


def drift_heatmap(windows: Sequence[DriftWindow], *, title: str = "Drift", timezone: str = "UTC") -> Any:
    """Draw features by time: how far each window is from training, and which were flagged.

    Parameters
    ----------
    windows : sequence of DriftWindow
        See :func:`rescore.report.drift_windows`.
    title : str
        Above the picture.
    timezone : str
        Of the time axis.

    Returns
    -------
    altair.VConcatChart
        A strip of verdicts; features (most important first, the score last) with colour for the
        effect (PSI beyond what the window's size makes of it), a dot where flagged, a cross at an
        outage; a strip of window sizes.
    """
    placed = over_time(windows, timezone)
    labels, total = _features_shown([feature for one in windows for feature in one.report.features])
    cells = [
        {
            "from": row["from"],
            "middle": row["middle"],
            "to": row["to"],
            "effect": feature.effect,
            "label": labels[feature.name],
            "mark": "outage" if feature.outage else "flagged" if feature.flagged else None,
        }
        for row in placed
        for feature in row["report"].features
        if feature.name in labels
    ]
    if not cells:
        return finish(nothing(title, "no drift report yet"))
    subtitle = "features with their share of the model's importance"
    if total > MAX_FEATURES:
        subtitle = f"the {MAX_FEATURES} of {total:,} {subtitle}, by largest effect"
    bands = alt.Scale(paddingInner=0.07, paddingOuter=0)
    labelled = alt.Y("label:N", sort=list(labels.values()), title=None, axis=_names(), scale=bands)
    # Beside a few rows a legend would be higher than they are.
    place: dict[str, Any] = (
        {"orient": "bottom", "direction": "horizontal"} if len(labels) < LEGEND_ROWS else {}
    )
    thin: dict[str, Any] = {"titleOrient": "left", "gradientThickness": 9, "offset": 4} if place else {}
    colour = alt.Color(
        "effect:Q",
        title="effect (PSI beyond chance)" if place else ["effect (PSI", "beyond chance)"],
        scale=alt.Scale(domain=[0, DARKEST], range=["#F1F4F7", SKY, BLUE, "#00324F"], clamp=True),
        legend=alt.Legend(gradientLength=80, tickCount=3, **place, **thin),
    )
    chart = alt.Chart(inline(cells, "from", "to", "label", "effect"), width=WIDTH, height={"step": 15})
    heat = intervals(chart, placed).encode(x=time_axis(placed, None), x2="to:T", y=labelled, color=colour)
    marked = [cell for cell in cells if cell["mark"]]
    if marked:
        size = min(42.0, max(6.0, (0.8 * WIDTH / len(placed)) ** 2))
        shape = alt.Shape(
            "mark:N",
            title=None,
            scale=alt.Scale(domain=["flagged", "outage"], range=["circle", "cross"]),
            legend=alt.Legend(**place),
        )
        points = alt.Chart(inline(marked, "middle", "label", "mark")).mark_point(
            filled=True, fill=BLACK, stroke="white", strokeWidth=0.8, size=size, opacity=1
        )
        heat += points.encode(x=time_axis(placed, None, field="middle"), y=labelled, shape=shape)
    return finish(
        alt.vconcat(
            _verdict_strip(placed),
            heat,
            sample_sizes([{**row, "rows": row["report"].rows} for row in placed], "rows", "rows", timezone),
            title=alt.TitleParams(title, subtitle=subtitle),
        ).resolve_scale(color="independent", shape="independent")
    )


def _names() -> alt.Axis:
    return alt.Axis(ticks=False, domain=False, labelLimit=220)


def _features_shown(features: Sequence[FeatureDrift]) -> tuple[dict[str, str], int]:
    """Labels of the features drawn by name, in order, and how many features there are."""
    largest: dict[str, float] = {}
    importance: dict[str, float] = {}
    scores: list[str] = []
    for one in features:
        if one.kind == "score":
            scores = [one.name]
            continue
        effect = float("inf") if one.outage else one.effect
        largest[one.name] = max(largest.get(one.name, 0.0), effect)
        importance[one.name] = one.importance
    kept = sorted(largest, key=lambda name: (-largest[name], -importance[name], name))[:MAX_FEATURES]
    labels = {
        name: f"{name}  {_share(importance[name])}"
        for name in sorted(kept, key=lambda name: (-importance[name], name))
    }
    return labels | {name: name for name in scores}, len(largest)


def _share(importance: float) -> str:
    return "<1 %" if 0 < importance < 0.005 else f"{100 * importance:.0f} %"


def _verdict_strip(placed: Sequence[Mapping[str, Any]]) -> Any:
    rows = [{**row, "verdict": row["report"].verdict, "row": "verdict"} for row in placed]
    chart = alt.Chart(inline(rows, "from", "to", "verdict", "row"), width=WIDTH, height={"step": 15})
    return intervals(chart, rows).encode(
        x=time_axis(rows, None),
        x2="to:T",
        y=alt.Y("row:N", title=None, axis=_names()),
        color=alt.Color(
            "verdict:N",
            title=None,
            scale=alt.Scale(domain=list(_VERDICTS), range=list(_VERDICTS.values())),
            legend=legend(symbolType="square"),
        ),
    )


def feature_distribution(
    histogram: Histogram,
    *,
    name: str,
    unit: str = "",
    stratum: str = "all",
    title: str | None = None,
) -> Any:
    """Draw one feature in training and now.

    Parameters
    ----------
    histogram : Histogram
        The feature's, of a drift report.
    name, unit : str
        Of the feature.
    stratum : str
        Which of training's windows were compared: ``all``, or those of a ``weekday`` or ``weekend``.
    title : str, optional
        Above the picture; the feature's name otherwise.

    Returns
    -------
    altair.Chart
        Two bars a name: the wide pale one is training, the narrow dark one is now.
    """
    heading = title or name
    if not histogram.names:
        return finish(nothing(heading, "nothing to compare"))
    like = "training" if stratum == "all" else f"training's {stratum} windows"
    training, now = (
        f"{like}, {number_of(sum(histogram.reference), 'row')}",
        f"this window, {number_of(sum(histogram.live), 'row')}",
    )
    bars = [
        {"cell": bar, "share": share, "of": of}
        for bar, reference, live in histogram.shares
        for share, of in ((reference, training), (live, now))
    ]
    colour = alt.Color(
        "of:N",
        title=None,
        scale=alt.Scale(domain=[training, now], range=["#BFBFBF", BLUE]),
        legend=legend(symbolType="square"),
    )
    share = alt.X("share:Q", title="share of rows", axis=alt.Axis(format="~%", tickCount=6, labelFlush=False))
    bands = alt.Y(
        "cell:N", sort=list(histogram.names), title=None, axis=alt.Axis(labelLimit=180, ticks=False)
    )
    base = alt.Chart(inline(bars, "cell", "share", "of"), width=WIDTH * 0.6, height={"step": 20})
    base = base.encode(x=share, y=bands, color=colour)
    wide = base.transform_filter(alt.datum.of == training).mark_bar(height=15)
    narrow = base.transform_filter(alt.datum.of == now).mark_bar(height=6)
    subtitle = f"in {unit}" if unit else ""
    return finish(alt.layer(wide, narrow, title=alt.TitleParams(heading, subtitle=subtitle)))
