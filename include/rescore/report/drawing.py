"""What all charts share: palette, time axis, a strip of sample sizes, and saving to a file.

Colours are those of Okabe and Ito (*Color Universal Design*, 2008), the red darkened so that it is
far from the orange for those who see no red or green. Bands differ in lightness, and what was flagged
has a shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import altair as alt
import vl_convert

from rescore.errors import ParameterError

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "RED",
    "SKY",
    "WIDTH",
    "Rows",
    "finish",
    "inline",
    "intervals",
    "legend",
    "nothing",
    "over_time",
    "records",
    "sample_sizes",
    "save",
    "svg",
    "time_axis",
]

BLUE, ORANGE, GREEN, RED, SKY = "#0072B2", "#E69F00", "#009E73", "#A63603", "#56B4E9"
BLACK, GREY = "#222222", "#8A8A8A"

#: Width of the plotting area, pixels.
WIDTH = 560

#: Gaps of more than so many intervals are cut out of the time axis.
LONG_GAP = 6

#: Rows to draw: mappings, values with attributes, or a pandas frame.
Rows = Any


def records(rows: Rows) -> list[dict[str, Any]]:
    """A list of dicts of what was given: mappings, dataclasses or a pandas frame."""
    if hasattr(rows, "to_dict"):
        return list(rows.to_dict("records"))
    return [dict(vars(row)) if is_dataclass(row) else dict(row) for row in rows]


def over_time(rows: Rows, timezone: str) -> list[dict[str, Any]]:
    """Rows in order of time, each with its ``start`` in ``timezone`` and its place on the axis.

    ``interval_start`` and ``interval_end`` are aware datetimes or ISO 8601 text. ``from``, ``middle`` and
    ``to`` are the same clock, less the gaps: where nothing ran for a long while, one blank interval is
    left of it, so that a week in April and a day in December fit into one picture.
    """
    zone = ZoneInfo(timezone)
    placed = []
    for row in records(rows):
        start, end = _clock(row["interval_start"], zone), _clock(row["interval_end"], zone)
        placed.append((start, end, row))
    placed.sort(key=lambda one: one[:2])
    blank = timedelta(
        seconds=median((end - start).total_seconds() for start, end, _ in placed) if placed else 0
    )
    drawn, cut, last = [], timedelta(0), placed[0][1] if placed else None
    for start, end, row in placed:
        if last is not None and start - last > LONG_GAP * blank:
            cut += start - last - blank
        last = end if last is None else max(last, end)
        middle = start + (end - start) / 2
        where = {"from": _text(start - cut), "middle": _text(middle - cut), "to": _text(end - cut)}
        drawn.append({**row, "start": _text(start), **where})
    return drawn


def _clock(moment: Any, zone: ZoneInfo) -> datetime:
    value = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    # Vega knows UTC and the browser's zone only, so the wall clock is drawn as if it were UTC.
    local: datetime = value.astimezone(zone).replace(tzinfo=UTC)
    return local


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def inline(rows: Iterable[Mapping[str, Any]], *fields: str) -> alt.InlineData:
    """The fields a chart needs, as data inside it; Altair's limit of 5,000 rows is for frames."""
    return alt.InlineData(values=[{field: _value(row.get(field)) for field in fields} for row in rows])


def _value(value: Any) -> Any:
    return value.item() if hasattr(value, "item") and not isinstance(value, str) else value


def time_axis(rows: Sequence[Mapping[str, Any]], timezone: str | None, *, field: str = "from") -> alt.X:
    """The horizontal axis: a tick where an interval starts, labelled with that moment.

    Without a ``timezone``, labels are left to the chart below.
    """
    last = max(row["to"] for row in rows)
    scale = alt.Scale(type="utc", domain=[rows[0]["from"], last], nice=False)
    if timezone is None:
        axis = alt.Axis(title=None, labels=False, ticks=False, domain=False, grid=False)
        return alt.X(f"{field}:T", axis=axis, scale=scale)
    starts = {row["from"]: row["start"] for row in rows}
    by_day = len({start[:10] for start in starts.values()}) == len(starts)
    every = -(-len(starts) // (12 if by_day else 7))
    shown = list(starts)[::every]
    after_gap = [at for at, before in zip(list(starts)[1:], starts, strict=False) if _cut(before, at, starts)]
    shown = sorted(
        {*after_gap, *(at for at in shown if all(_apart(at, gap, last, rows) for gap in after_gap))}
    )
    lengths = [_seconds(row["from"], row["to"]) for row in rows]
    # Days of 23 and 25 hours are alike; weeks of which only two days were measured are not.
    alike = max(lengths) < 1.2 * min(lengths)
    names = {str(_milliseconds(at)): _label(starts[at], by_day=by_day) for at in shown}
    axis = alt.Axis(
        title=_time_title(sorted(starts.values()), timezone) + (", gaps cut out" if after_gap else ""),
        # Positions are shifted by the gaps cut out, so the labels are looked up.
        labelExpr=f"{json.dumps(names)}[toString(time(datum.value))]",
        values=shown,
        # One label an interval stands under its middle, one for several at the first one's start.
        labelFlush=False,
        labelOffset=WIDTH * lengths[0] / _seconds(rows[0]["from"], last) / 2 if every == 1 and alike else 0,
        grid=False,
    )
    return alt.X(f"{field}:T", axis=axis, scale=scale)


def _cut(before: str, at: str, starts: Mapping[str, str]) -> bool:
    """Whether time was cut out between two positions."""
    return _seconds(before, at) != _seconds(starts[before], starts[at])


def _apart(at: str, gap: str, last: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether labels of two positions don't touch."""
    return at == gap or abs(_seconds(at, gap)) > 0.09 * _seconds(rows[0]["from"], last)


def _milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _label(text: str, *, by_day: bool) -> str:
    moment = datetime.fromisoformat(text)
    return f"{moment.day} {moment:%b}" if by_day else f"{moment.day} {moment:%b %H:%M}"


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _time_title(starts: Sequence[str], timezone: str) -> str:
    years = sorted({start[:4] for start in starts})
    span = years[0] if len(years) == 1 else f"{years[0]}–{years[-1]}"
    return f"start of interval, {span}, {timezone.replace('_', ' ')}"


def intervals(chart: Any, rows: Sequence[Mapping[str, Any]], **look: Any) -> Any:
    """Rectangles over intervals, with a hair's breadth between them where there is room for it."""
    gap = 0.5 if WIDTH / len(rows) > 4 else 0
    return chart.mark_rect(xOffset=gap, x2Offset=-gap, **look)


def legend(**look: Any) -> alt.Legend:
    """A legend above a chart, close to it, in full colour."""
    return alt.Legend(orient="top", offset=4, symbolOpacity=1, labelLimit=240, **look)


def sample_sizes(rows: Sequence[Mapping[str, Any]], field: str, title: str, timezone: str) -> Any:
    """A strip of bars under a chart: how many rows each interval's statement stands on."""
    largest = max(row[field] for row in rows)
    axis = alt.Axis(tickCount=2, format="~s" if largest >= 10_000 else ",d", grid=False)
    chart = alt.Chart(inline(rows, "from", "to", field), width=WIDTH, height=36)
    return intervals(chart, rows, color=GREY).encode(
        x=time_axis(rows, timezone),
        x2="to:T",
        y=alt.Y(f"{field}:Q", title=title, axis=axis),
        y2=alt.datum(0),
    )


def nothing(title: str, why: str) -> Any:
    """What is drawn where there is nothing to draw: it says so."""
    return (
        alt.Chart(alt.InlineData(values=[{"why": why}]), title=title, width=WIDTH, height=60)
        .mark_text(color=GREY, fontSize=13)
        .encode(text="why:N")
    )


def finish(chart: Any) -> Any:
    """The common look, set on the outermost chart."""
    return (
        chart.configure(background="white", font="Liberation Sans, Arial, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=BLACK,
            titleColor=BLACK,
            titleFontWeight="normal",
            labelFontSize=11,
            titleFontSize=11,
            gridColor="#EEEEEE",
            domainColor=GREY,
            tickColor=GREY,
        )
        .configure_legend(
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
            labelColor=BLACK,
            titleColor=BLACK,
            symbolStrokeWidth=1,
        )
        .configure_title(
            fontSize=13, subtitleFontSize=11, anchor="start", color=BLACK, subtitleColor="#555555", offset=8
        )
        .configure_concat(spacing=6)
    )


def svg(chart: Any) -> str:
    """The chart as SVG text, without script, for a page."""
    return str(vl_convert.vegalite_to_svg(chart.to_dict()))


def save(chart: Any, path: Path | str) -> Path:
    """Write a chart as PNG (two pixels per point) or SVG, by the file's ending.

    Raises
    ------
    ParameterError
        Another ending.
    """
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in {".png", ".svg"}:
        raise ParameterError(
            f"a picture can't be saved as {target.name!r}",
            expected="a name that ends in .png or .svg",
            fix="choose one of the two",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    if ending == ".svg":
        target.write_text(svg(chart), encoding="utf-8")
    else:
        target.write_bytes(vl_convert.vegalite_to_png(chart.to_dict(), scale=2))
    return target
