"""The values behind two of the pictures: one feature's cells, and the quantiles of scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rescore.drift.cells import LevelCells, OrderedCells, moments, ordered_values
from rescore.drift.reference import FeatureReference, Reference
from rescore.errors import ParameterError

__all__ = ["feature_cells", "score_quantiles"]

#: Levels drawn by name; the others are one bar.
MAX_LEVELS = 14


def feature_cells(
    reference: bytes, window: pa.Table, name: str, *, scores: npt.NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """Count one feature of a window in the cells of a package's reference.

    Parameters
    ----------
    reference : bytes
        The package's reference profile.
    window : pyarrow.Table
        A frozen input.
    name : str
        A feature, or ``score``.
    scores : ndarray of float, shape (n_rows,), optional
        The window's scores, for ``score``.

    Returns
    -------
    dict
        The arguments of :func:`rescore.report.charts.feature_distribution`.

    Raises
    ------
    ParameterError
        No such feature, or ``score`` without scores.
    """
    profile = Reference.from_bytes(reference)
    feature = _find(profile, name, with_scores=scores is not None)
    if isinstance(feature.cells, LevelCells):
        live = feature.cells.tally(window[name]).counts
        named = _levels(feature.cells)
    else:
        values = scores
        if values is None:
            values = ordered_values(window[name], feature.kind, _event_time(profile, window))
        live = feature.cells.tally(np.asarray(values, dtype=np.float64)).counts
        named = _ranges(feature.cells)
    training = feature.counts.sum(axis=0)
    cells = []
    for label, members in [*named, ("missing", [len(training) - 1])]:
        before, now = int(training[members].sum()), int(live[members].sum())
        if before or now:
            cells.append(
                {
                    "cell": label,
                    "reference": before / max(int(training.sum()), 1),
                    "live": now / max(int(live.sum()), 1),
                }
            )
    return {
        "cells": cells,
        "name": name,
        "unit": feature.unit,
        "reference_rows": int(training.sum()),
        "live_rows": int(live.sum()),
    }


def _find(profile: Reference, name: str, *, with_scores: bool) -> FeatureReference:
    known = {feature.name: feature for feature in profile.features}
    if profile.score is not None and with_scores:
        known[profile.score.name] = profile.score
    if name not in known:
        raise ParameterError(
            f"the reference of {profile.model} has no feature {name!r}",
            expected=", ".join(known),
            fix="name one of these" + ("" if with_scores else "; for 'score', pass the scores"),
        )
    return known[name]


def _event_time(profile: Reference, window: pa.Table) -> npt.NDArray[np.float64] | None:
    if profile.event_time not in window.column_names:
        return None
    return moments(window[profile.event_time])


def _levels(cells: LevelCells) -> list[tuple[str, list[int]]]:
    own = list(range(len(cells.levels)))
    named = [(cells.levels[cell], [cell]) for cell in own[:MAX_LEVELS]]
    rest = [*own[MAX_LEVELS:], len(own)]
    return [*named, ("other levels", rest), ("not in training", [cells.unseen_cell])]


def _ranges(cells: OrderedCells) -> list[tuple[str, list[int]]]:
    """The groups that PSI is taken over (about a tenth of training each), by their bounds."""
    edges, ranges = cells.edges, []
    for group in range(int(cells.groups.max()) + 1):
        members = np.flatnonzero(cells.groups == group)
        low = None if members[0] == 0 else float(edges[members[0] - 1])
        high = None if members[-1] == edges.size else float(edges[members[-1]])
        ranges.append((_range(low, high), members.tolist()))
    return ranges


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "any value"
    if low is None:
        return f"up to {_short(high)}"
    if high is None:
        return f"above {_short(low)}"
    # A value with a cell of its own: the edge below it is the float just under it.
    return _short(high) if np.nextafter(high, -np.inf) <= low else f"{_short(low)} – {_short(high)}"


def _short(value: float | None) -> str:
    return f"{value:.4g}"


def score_quantiles(scores: npt.NDArray[np.float64]) -> dict[str, float | int | None]:
    """``rows``, ``p05``, ``p25``, ``p50``, ``p75``, ``p95`` and ``mean`` of an interval's scores."""
    there = scores[np.isfinite(scores)]
    names = ("p05", "p25", "p50", "p75", "p95")
    if not there.size:
        return {"rows": 0, **dict.fromkeys(names), "mean": None}
    values = np.quantile(there, (0.05, 0.25, 0.5, 0.75, 0.95))
    found = dict(zip(names, map(float, values), strict=True))
    return {"rows": int(there.size), **found, "mean": float(there.mean())}
