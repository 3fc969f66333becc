"""What a package remembers of one feature: its cells, and each training window's rows in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rescore.drift.binning import LevelCells, OrderedCells, ordered_values
from rescore.spec import Feature

__all__ = ["MIN_ROWS", "SCORE", "FeatureReference", "feature_reference", "ordered_reference"]

#: Fewer rows than this never get a level name, an edge or a mean of their own.
MIN_ROWS = 10

#: The unit of a kind that has the same one whatever the feature.
UNITS = {"datetime": "days", "text": "characters"}

#: The name and kind of the row for the model's own scores.
SCORE = "score"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FeatureReference:
    """One feature's reference.

    Attributes
    ----------
    counts : ndarray of int, shape (n_windows, n_cells + 1)
        Rows per cell of each window; the last cell is missing.
    moved : ndarray of int, shape (n_windows,)
        Rows among the known levels that are unseen if the window itself is left out of training.
    top_share : ndarray of float, shape (n_windows,)
        Share of the most frequent single value or level among those there (an upper bound where it
        is far from all), 0 if none.
    """

    name: str
    kind: str
    unit: str
    importance: float
    cells: OrderedCells | LevelCells
    counts: npt.NDArray[np.int64]
    moved: npt.NDArray[np.int64]
    top_share: Floats

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {
            "name": self.name,
            "kind": self.kind,
            "unit": self.unit,
            "importance": self.importance,
            "cells": self.cells.to_dict(),
            "counts": self.counts.tolist(),
            "moved": self.moved.tolist(),
            "top_share": [float(f"{share:.3g}") for share in self.top_share],
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> FeatureReference:
        """Inverse of :meth:`to_dict`."""
        of_levels = "levels" in stored["cells"]
        return cls(
            name=stored["name"],
            kind=stored["kind"],
            unit=stored["unit"],
            importance=stored["importance"],
            cells=(LevelCells if of_levels else OrderedCells).from_dict(stored["cells"]),
            counts=np.asarray(stored["counts"], dtype=np.int64),
            moved=np.asarray(stored["moved"], dtype=np.int64),
            top_share=np.asarray(stored["top_share"], dtype=np.float64),
        )


def feature_reference(
    feature: Feature,
    importance: float,
    column: pa.ChunkedArray,
    event_time: Floats | None,
    bounds: npt.NDArray[np.intp],
) -> FeatureReference:
    """Count a column of training, window by window.

    Parameters
    ----------
    feature : Feature
        As declared.
    importance : float
        Its share of the model's importance, 0 to 1.
    column : ChunkedArray, shape (n_rows,)
        Its values, windows in order.
    event_time : ndarray of float64, shape (n_rows,), or None
        Days since 1970 in UTC of each row's event; moments are counted as ages at it.
    bounds : ndarray of intp, shape (n_windows + 1,)
        The first row of each window, and the one after the last.
    """
    if feature.kind not in ("categorical", "boolean"):
        values = ordered_values(column, feature.kind, event_time)
        return ordered_reference(feature.name, feature.kind, feature.unit, importance, values, bounds)
    cells, tallies = LevelCells.fit_windows(column, bounds, min_rows=MIN_ROWS)
    counts = np.stack([tally.counts for tally in tallies])
    there = np.maximum(counts[:, :-1].sum(axis=1), 1)
    # The cells "rare" and "unseen" are of many levels, unless the window holds only one.
    top = np.where([tally.constant for tally in tallies], 1.0, counts[:, :-3].max(axis=1, initial=0) / there)
    return FeatureReference(
        name=feature.name,
        kind=feature.kind,
        unit="",
        importance=importance,
        cells=cells,
        counts=counts,
        moved=np.asarray([tally.moved for tally in tallies], dtype=np.int64),
        top_share=top,
    )


def ordered_reference(
    name: str, kind: str, unit: str, importance: float, values: Floats, bounds: npt.NDArray[np.intp]
) -> FeatureReference:
    """Count values that have an order, window by window.

    Parameters
    ----------
    name, kind, unit : str
        Of the feature.
    importance : float
        Its share of the model's importance, 0 to 1.
    values : ndarray of float64, shape (n_rows,)
        Windows in order; NaN where missing.
    bounds : ndarray of intp, shape (n_windows + 1,)
        The first row of each window, and the one after the last.
    """
    cells = OrderedCells.fit(values, min_rows=MIN_ROWS)
    counts, top_share = cells.count_windows(values, bounds)
    return FeatureReference(
        name=name,
        kind=kind,
        unit=UNITS.get(kind, unit),
        importance=importance,
        cells=cells,
        counts=counts,
        moved=np.zeros(counts.shape[0], dtype=np.int64),
        top_share=top_share,
    )
