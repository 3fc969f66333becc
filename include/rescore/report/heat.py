"""Features by time as rows of cells: how unusual each one was in each window, and what was flagged.

The colours of the shades are in ``drift_charts.py`` for the chart, in the console's ``colours.css`` for the
table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rescore.shown_text import number_of

if TYPE_CHECKING:
    from rescore.drift import FeatureDrift
    from rescore.report.stored_windows import DriftWindow

__all__ = ["SHADES", "HeatCell", "HeatRow", "heat_rows", "heat_said"]

#: From which p-value down a cell has the next darker shade. The p-value holds for all of a window's features
#: together, so that a window that is ok has no dark cell, whatever the season does to a feature's effect.
SHADES = (0.2, 0.1, 0.05, 0.01)


@dataclass(frozen=True)
class HeatCell:
    """One feature in one window.

    Attributes
    ----------
    shade : int
        0 (as in training) to 4.
    mark : str
        ``flagged``, ``broken`` (an outage) or empty.
    said : str
        The cell in words.
    """

    window: DriftWindow
    shade: int
    mark: str
    said: str


@dataclass(frozen=True)
class HeatRow:
    """One feature over time; a window without it has None."""

    feature: str
    importance: float | None
    cells: tuple[HeatCell | None, ...]
    contributed: float


def heat_rows(windows: Sequence[DriftWindow], most: int | None = None) -> tuple[list[HeatRow], int]:
    """The features, what contributed most first: flagged or broken windows, then shares of the statistic.

    Parameters
    ----------
    windows : sequence of DriftWindow
        Oldest first.
    most : int, optional
        Only so many features, the first.

    Returns
    -------
    list of HeatRow, int
        The rows, and how many features there are.
    """
    names: dict[str, FeatureDrift] = {}
    marks: dict[str, float] = {}
    for window in windows:
        for one in window.report.features:
            names[one.name] = one
            marks[one.name] = (
                marks.get(one.name, 0.0) + (one.flagged or one.outage) + one.share_of_statistic / 1e3
            )
    ordered = sorted(names, key=lambda name: (-marks[name], -names[name].importance, name))
    by_window = [{one.name: one for one in window.report.features} for window in windows]
    rows = [
        HeatRow(
            name,
            None if names[name].kind == "score" else names[name].importance,
            tuple(
                _cell(window, features[name]) if name in features else None
                for window, features in zip(windows, by_window, strict=True)
            ),
            marks[name],
        )
        for name in ordered[:most]
    ]
    return rows, len(ordered)


def _cell(window: DriftWindow, one: FeatureDrift) -> HeatCell:
    shade = sum(one.p_value <= bound for bound in SHADES)
    if one.outage:
        return HeatCell(window, shade, "broken", one.note or "broken")
    said = f"p {one.p_value:.2g}, effect {one.effect:.2f}"
    return HeatCell(
        window, shade, "flagged" if one.flagged else "", said + (", flagged" if one.flagged else "")
    )


def heat_said(rows: Sequence[HeatRow]) -> str:
    """What the picture shows, in words."""
    marked = {row.feature: sum(bool(cell and cell.mark) for cell in row.cells) for row in rows}
    named = [f"{feature} in {count}" for feature, count in marked.items() if count]
    count = max((len(row.cells) for row in rows), default=0)
    if not named:
        return f"no feature was flagged in {number_of(count, 'window')}"
    return f"flagged in {number_of(count, 'window')}: {', '.join(named[:5])}" + (
        " and others" if len(named) > 5 else ""
    )
