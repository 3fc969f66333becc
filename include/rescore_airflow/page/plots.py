"""Lines, bands and bars as the geometry of an SVG file: what a template draws, in the theme's colours.

A picture is 1000 wide and 150 high and stretched to its place; labels are HTML beside it, so that they stay
legible at any width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from rescore.report import DriftWindow, PerformancePoint, short
from rescore.shown_text import number_of

__all__ = ["Plot", "effect_plot", "performance_plot", "score_plot"]

_WIDTH, _HEIGHT = 1000.0, 150.0

#: A pause of more than so many typical steps breaks a line.
_PAUSE = 2.5


@dataclass(frozen=True)
class Plot:
    """A picture: paths by their class, whiskers and dots, and the labels of its axes.

    Attributes
    ----------
    paths : tuple of (str, str)
        Class and path.
    y : tuple of str
        Labels from top to bottom, evenly spaced.
    x : tuple of datetime
        Moments at the left and right end.
    said : str
        What the picture shows, in words.
    legend : tuple of (str, str)
        Class of a line and its name.
    """

    title: str
    paths: tuple[tuple[str, str], ...]
    y: tuple[str, ...]
    x: tuple[datetime, ...]
    said: str
    legend: tuple[tuple[str, str], ...] = ()


class _Frame:
    """Where moments and values lie."""

    def __init__(
        self,
        moments: Sequence[datetime],
        values: Sequence[float],
        *,
        least: float | None = None,
        most: float | None = None,
    ) -> None:
        self.first, self.last = min(moments), max(moments)
        low, high = min(values), max(values)
        if least is not None:
            low = least
        margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
        below = 0.0 if least is not None else min(margin, low) if low >= 0 else margin
        above = margin if most is None or high > most else min(margin, most - high)
        if high - low + below + above == 0:  # all values at the highest there can be
            below = margin
        self.low, self.high = low - below, high + above
        ordered = sorted(set(moments))
        steps = sorted((b - a).total_seconds() for a, b in pairwise(ordered))
        self.step = steps[len(steps) // 2] if steps else 0.0

    def x(self, moment: datetime) -> float:
        length = (self.last - self.first).total_seconds()
        return round(_WIDTH * (moment - self.first).total_seconds() / length, 1) if length else _WIDTH / 2

    def y(self, value: float) -> float:
        return round(_HEIGHT * (self.high - value) / (self.high - self.low), 1)

    def parts(
        self, points: Sequence[tuple[datetime, tuple[float, ...]]]
    ) -> list[list[tuple[datetime, tuple[float, ...]]]]:
        """The points cut where there is a pause."""
        cut: list[list[tuple[datetime, tuple[float, ...]]]] = []
        for point in points:
            if not cut or (point[0] - cut[-1][-1][0]).total_seconds() > _PAUSE * self.step:
                cut.append([])
            cut[-1].append(point)
        return cut

    def line(self, points: Sequence[tuple[datetime, tuple[float, ...]]]) -> str:
        parts = (
            "L".join(f"{self.x(moment)} {self.y(values[0])}" for moment, values in part)
            for part in self.parts(points)
        )
        # A point alone is drawn as a stroke of no length, which round ends make a dot.
        return "".join(f"M{part}" + ("h.01" if "L" not in part else "") for part in parts)

    def band(self, points: Sequence[tuple[datetime, tuple[float, ...]]]) -> str:
        drawn = []
        for part in self.parts(points):
            low = "L".join(f"{self.x(moment)} {self.y(values[0])}" for moment, values in part)
            high = "L".join(f"{self.x(moment)} {self.y(values[1])}" for moment, values in reversed(part))
            drawn.append(f"M{low}L{high}Z")
        return "".join(drawn)

    def labels(self) -> tuple[str, ...]:
        return tuple(short(self.high - (self.high - self.low) * part / 3) for part in range(4))


def performance_plot(
    metric: str,
    points: Sequence[PerformancePoint],
    title: str,
    expected: float | None,
    *,
    most: float | None,
) -> Plot | None:
    """A realised metric with its intervals over what the scores let expect; None without any value.

    The axis does not go beyond ``most``, the highest value that the metric can have.
    """
    known = [(p.interval_start, p.value, p.low, p.high) for p in points if p.value is not None]
    if not known:
        return None
    band = [
        (p.interval_start, (p.estimated_low, p.estimated_high))
        for p in points
        if p.estimated_low is not None and p.estimated_high is not None
    ]
    values = [number for one in known for number in one[1:] if number is not None]
    values += [number for _, both in band for number in both]
    values += [] if expected is None else [expected]
    frame = _Frame([p.interval_start for p in points], values, most=most)
    paths = [("band", frame.band(band))] if band else []
    if expected is not None:
        paths.append(("line dashed", f"M0 {frame.y(expected)}H{_WIDTH:g}"))
    whiskers = "".join(
        f"M{frame.x(at)} {frame.y(low)}V{frame.y(high)}"
        for at, _, low, high in known
        if low is not None and high is not None
    )
    dots = "".join(f"M{frame.x(at)} {frame.y(value)}h.01" for at, value, _, _ in known)
    paths += [("whisker", whiskers), ("dot", dots)]
    _, value, low, high = known[-1]
    within = [p.within for p in points if p.within is not None]
    said = f"the last {metric} was {short(value)}"
    if low is not None and high is not None:
        said += f" ({short(low)} to {short(high)})"
    if within:
        said += f"; {sum(within)} of {len(within)} lie where the scores let expect them"
    if expected is not None:
        said += f"; on the hold-out it was {short(expected)}"
    legend = [("dot", "realised, 95 % interval")]
    legend += [("band", "as the scores let expect")] if band else []
    legend += [("dashed", "on the hold-out")] if expected is not None else []
    return Plot(title, tuple(paths), frame.labels(), (frame.first, frame.last), said, tuple(legend))


def score_plot(windows: Sequence[DriftWindow], name: str, *, most: float | None) -> Plot | None:
    """How scores are spread in each window; None without any score. The axis does not go beyond ``most``."""
    points = []
    for window in windows:
        spread = window.report.scores
        if spread is not None and spread.p05 is not None and spread.p95 is not None:
            points.append((window.interval_start, spread))
    if not points:
        return None
    frame = _Frame(
        [at for at, _ in points],
        [value for _, one in points for value in (one.p05, one.p95) if value is not None],
        most=most,
    )
    paths = (
        ("wide", frame.band([(at, (one.p05 or 0.0, one.p95 or 0.0)) for at, one in points])),
        ("half", frame.band([(at, (one.p25 or 0.0, one.p75 or 0.0)) for at, one in points])),
        ("line blue", frame.line([(at, (one.p50 or 0.0,)) for at, one in points])),
    )
    first, last = points[0][1], points[-1][1]
    said = f"the median score was {short(first.p50 or 0)} and is {short(last.p50 or 0)}; "
    said += f"90 % of scores lie between {short(last.p05 or 0)} and {short(last.p95 or 0)}"
    legend = (("blue", "median"), ("half", "middle half"), ("wide", "middle 90 %"))
    return Plot(f"Scores: {name}", paths, frame.labels(), (frame.first, frame.last), said, legend)


def effect_plot(windows: Sequence[DriftWindow], feature: str, floor: float) -> Plot | None:
    """A feature's effect over time, and the floor that a flag needs; None without any window of it."""
    found = [(w.interval_start, one) for w in windows if (one := w.report.feature(feature)) is not None]
    if not found:
        return None
    frame = _Frame([at for at, _ in found], [floor, *(one.effect for _, one in found)], least=0.0)
    paths = [("line blue", frame.line([(at, (one.effect,)) for at, one in found]))]
    if floor:
        paths.insert(0, ("line dashed", f"M0 {frame.y(floor)}H{_WIDTH:g}"))
    flagged = [at for at, one in found if one.flagged or one.outage]
    paths.append(
        ("dot", "".join(f"M{frame.x(at)} {frame.y(one.effect)}h.01" for at, one in found if one.flagged))
    )
    said = (
        f"the effect is {found[-1][1].effect:.2f} now; flagged in {len(flagged)} of "
        f"{number_of(len(found), 'window')}"
    )
    legend = (
        ("blue", "effect (PSI beyond chance)"),
        ("dot", "flagged"),
        *([("dashed", "floor of a flag")] if floor else []),
    )
    return Plot("Effect over time", tuple(paths), frame.labels(), (frame.first, frame.last), said, legend)
