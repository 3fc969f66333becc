"""Pictures of a comparison as geometry: who gains where and when, what comes true, which scores move.

What a template draws as HTML and SVG, in the theme's colours; each says its finding in words. Nothing of a
drawing library is imported: a page is answered in hundredths of a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rescore.comparison import ComparisonReport, MovedScores, Side, SureGain, gain_in_words, number_in_words
from rescore.report.wording import evenly
from rescore.shown_text import number_of

__all__ = ["GainRow", "Gains", "Picture", "gains", "gains_by_day", "moved_scores", "reliability"]

_SIDES: tuple[Side, ...] = ("champion", "challenger")
_WIDTH, _HEIGHT, _SIDE = 1000.0, 150.0, 100.0

#: Shades of the picture of moved scores.
_SHADES = 4


@dataclass(frozen=True)
class GainRow:
    """A gain and its interval, at per cents of the width; None where it is not defined."""

    name: str
    rows: int
    judged: bool
    words: str
    at: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Gains:
    """The gain on all rows and in each segment, and where no gain is."""

    rows: tuple[GainRow, ...]
    zero: float
    said: str


@dataclass(frozen=True)
class Picture:
    """Paths by their class, and the labels of both axes.

    Attributes
    ----------
    y : tuple of str
        Labels from top to bottom, evenly spaced.
    x : tuple of str
        Labels from left to right, evenly spaced.
    said : str
        What the picture shows, in words.
    """

    paths: tuple[tuple[str, str], ...]
    y: tuple[str, ...]
    x: tuple[str, ...]
    said: str
    y_title: str = ""
    x_title: str = ""
    legend: tuple[tuple[str, str], ...] = ()


class _Scale:
    """Values as places between 0 and ``size``."""

    def __init__(self, values: Iterable[float | None], size: float, *, margin: float = 0.04) -> None:
        known = [value for value in values if value is not None]
        low, high = min(known), max(known)
        pad = margin * (high - low) if high > low else abs(high) * 0.05 or 1.0
        self.low, self.high, self._size = low - pad, high + pad, size

    def at(self, value: float) -> float:
        return round(self._size * (value - self.low) / (self.high - self.low), 2)

    def down(self, value: float) -> float:
        """From the top, as SVG counts."""
        return round(self._size - self.at(value), 2)

    def labels(self, count: int) -> tuple[str, ...]:
        """From the lowest to the highest."""
        return evenly(self.low, self.high, count)


def gains(report: ComparisonReport) -> Gains:
    """The gain on all rows and in each segment, with its interval; right of ``zero`` is better."""
    found: list[tuple[str, int, bool, SureGain]] = [("all rows", report.holdout.rows, True, report.main)]
    found += [
        (f"{column}: {one.value}", one.rows, one.judged, one)
        for column, segments in report.segments.items()
        for one in segments
    ]
    scale = _Scale([0.0, *(value for *_, one in found for value in (one.gain, one.low, one.high))], 100.0)
    rows = []
    for name, count, judged, one in found:
        whole = one.gain is not None and one.low is not None and one.high is not None
        rows.append(
            GainRow(
                name,
                count,
                judged,
                gain_in_words(one),
                None if one.gain is None else scale.at(one.gain),
                scale.at(one.low) if whole and one.low is not None else None,
                scale.at(one.high) if whole and one.high is not None else None,
            )
        )
    judged_segments = [one for _, _, judged, one in found[1:] if judged]
    said = f"the gain on all rows is {gain_in_words(report.main)}"
    if judged_segments:
        better = sum(one.low is not None and one.low > 0 for one in judged_segments)
        worse = sum(one.high is not None and one.high < 0 for one in judged_segments)
        said += f"; of {len(judged_segments)} judged segments {better} gain and {worse} lose beyond chance"
    return Gains(tuple(rows), scale.at(0.0), said)


def gains_by_day(report: ComparisonReport) -> Picture:
    """The gain of each day of the hold-out: whether it rests on a few days."""
    metric = report.metric.replace("_", " ")
    days = report.blocks
    known = [day.gain for day in days if day.gain is not None]
    ends = (days[0].block, days[-1].block) if len(days) > 1 else (days[0].block,)
    if not known:
        return Picture((), (), ends, f"{metric} is not defined on any one day")
    scale = _Scale([0.0, *known], _HEIGHT)
    room = _WIDTH / len(days)
    bar = min(24.0, 0.6 * room)
    bars: dict[str, list[str]] = {side: [] for side in _SIDES}
    for number, day in enumerate(days):
        if day.gain is not None:
            left = round((number + 0.5) * room - bar / 2, 1)
            side = "challenger" if day.gain > 0 else "champion"
            bars[side].append(f"M{left} {scale.down(0)}V{scale.down(day.gain)}h{bar:.1f}V{scale.down(0)}Z")
    paths = [("zero", f"M0 {scale.down(0)}H{_WIDTH:g}")]
    paths += [(f"bars {side}", "".join(drawn)) for side, drawn in bars.items() if drawn]
    said = f"the challenger is better on {len(bars['challenger'])} of {number_of(len(known), 'day')}"
    if len(known) < len(days):
        said += f"; {metric} is not defined on {len(days) - len(known)} more"
    legend = (("challenger", "challenger is better"), ("champion", "champion is better"))
    labels = scale.labels(4)[::-1]
    return Picture(tuple(paths), labels, ends, said, f"Gain in {metric}", "Days of the hold-out", legend)


def reliability(report: ComparisonReport) -> Picture:
    """What was predicted beside what came true; on the diagonal the two are the same."""
    bins = {side: report.calibration[side].bins for side in _SIDES}
    scale = _Scale(
        (
            v
            for side in _SIDES
            for one in bins[side]
            for v in (one.predicted, one.observed, one.low, one.high)
        ),
        _SIDE,
        margin=0,
    )
    paths = [("even", f"M0 {_SIDE:g}L{_SIDE:g} 0")]
    for side in _SIDES:
        whiskers = "".join(
            f"M{scale.at(one.predicted)} {scale.down(one.low)}V{scale.down(one.high)}"
            for one in bins[side]
            if one.low is not None and one.high is not None
        )
        dots = "".join(f"M{scale.at(one.predicted)} {scale.down(one.observed)}h.01" for one in bins[side])
        paths += [(f"whisker {side}", whiskers), (f"dot {side}", dots)]
    errors = [f"{side} {number_in_words(report.calibration[side].error)}" for side in _SIDES]
    predicted, observed = _reliability_axes(report)
    labels = scale.labels(3)
    said = f"the mean distance from what came true: {', '.join(errors)}"
    legend = (("champion", "champion"), ("challenger", "challenger"), ("even", "predicted = came true"))
    return Picture(tuple(paths), labels[::-1], labels, said, observed, f"Across: {predicted}", legend)


def _reliability_axes(report: ComparisonReport) -> tuple[str, str]:
    """What the axes say; only a binary target has a last label, the one that is scored."""
    if report.kind == "binary":
        return "predicted probability", f"Share that came true ({report.target.labels[-1]})"
    if report.kind == "multiclass":
        return "probability of the label named", "Share in which it was right"
    unit = report.output.unit
    return f"predicted ({unit})", f"Observed ({unit})"


def moved_scores(report: ComparisonReport) -> Picture | None:
    """Live rows by both scores, on the diagonal nothing moves; None where none could be scored with both."""
    moved = report.movement
    if not isinstance(moved, MovedScores):
        return None
    edges = moved.edges
    low, high = edges[0], edges[-1]
    width = (high - low) or 1.0
    most = max(rows for _, _, rows in moved.cells)
    shades: dict[int, list[str]] = {}
    for x, y, rows in moved.cells:
        left, right = (round(_SIDE * (edges[x + step] - low) / width, 2) for step in (0, 1))
        top, bottom = (round(_SIDE * (high - edges[y + step]) / width, 2) for step in (1, 0))
        shades.setdefault(_shade(rows, most), []).append(f"M{left} {top}H{right}V{bottom}H{left}Z")
    paths = [(f"h{shade}", "".join(drawn)) for shade, drawn in sorted(shades.items())]
    paths.append(("even", f"M0 {_SIDE:g}L{_SIDE:g} 0"))
    name = "probability of the champion's label" if report.kind == "multiclass" else "score"
    labels = evenly(low, high, 3)
    below = sum(rows for x, y, rows in moved.cells if y < x)
    above = sum(rows for x, y, rows in moved.cells if y > x)
    said = (
        f"of {number_of(moved.rows, 'live row')} {above:,} move to a higher cell of scores and "
        f"{below:,} to a lower one"
    )
    legend = tuple((f"h{shade}", _rows_of(shade, most)) for shade in sorted(shades))
    across = f"Across: champion's {name}"
    return Picture(
        tuple(paths),
        labels[::-1],
        labels,
        said,
        f"Challenger's {name}",
        across,
        (*legend, ("even", "unmoved")),
    )


def _shade(rows: int, most: int) -> int:
    """1 for few rows to 4 for the most, by the logarithm."""
    return min(_SHADES, 1 + int(_SHADES * math.log(rows) / math.log(most))) if most > 1 else _SHADES


def _rows_of(shade: int, most: int) -> str:
    low, high = (math.ceil(most ** (part / _SHADES)) for part in (shade - 1, shade))
    last = most if shade == _SHADES else max(low, high - 1)
    return number_of(low, "row") if low == last else f"{low:,} to {number_of(last, 'row')}"
