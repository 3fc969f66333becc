"""What a report keeps for pictures: a histogram of each feature, and the quantiles of the scores.

Counts in the groups that PSI is taken over, so that a picture needs neither the package nor the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rescore.drift.binning import LevelCells, OrderedCells
from rescore.drift.feature_distances import Measured
from rescore.drift.report import FeatureDrift, Histogram, ScoreQuantiles, worth_a_look

__all__ = ["MAX_FEATURES", "histograms_of", "score_quantiles"]

#: Features whose histogram is kept: a report of 1,500 columns must not weigh megabytes.
MAX_FEATURES = 60

#: Levels with a bar of their own; the others share one.
MAX_LEVELS = 14


def histograms_of(
    measured: Sequence[Measured], features: Sequence[FeatureDrift], chosen: npt.NDArray[np.intp]
) -> dict[str, Histogram]:
    """Histograms of the score and of the features most worth a look, ``MAX_FEATURES`` of them.

    The ``chosen`` reference windows, an array of int of shape (n_windows,), are counted together.
    """
    of = {one.reference.name: one for one in measured}
    ranked = sorted(worth_a_look(features), key=lambda one: one.kind != "score")
    return {one.name: _histogram(of[one.name], chosen) for one in ranked[:MAX_FEATURES]}


def _histogram(one: Measured, chosen: npt.NDArray[np.intp]) -> Histogram:
    training, live = one.reference.counts[chosen].sum(axis=0), one.tally.counts
    cells = one.reference.cells
    named = _levels(cells) if isinstance(cells, LevelCells) else _ranges(cells)
    names, before, now = [], [], []
    for label, members in [*named, ("missing", [len(training) - 1])]:
        rows = int(training[members].sum()), int(live[members].sum())
        if any(rows):
            names.append(label)
            before.append(rows[0])
            now.append(rows[1])
    return Histogram(names=tuple(names), reference=tuple(before), live=tuple(now))


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
    if low is None:
        return "any value" if high is None else f"up to {_bound(high)}"
    if high is None:
        return f"above {_bound(low)}"
    # A value with a cell of its own: the edge below it is the float just under it.
    return _bound(high) if np.nextafter(high, -np.inf) <= low else f"{_bound(low)} – {_bound(high)}"


def _bound(value: float) -> str:
    # The float just under zero is zero to whoever reads a picture.
    return "0" if abs(value) < np.finfo(np.float64).tiny else f"{value:.4g}"


def score_quantiles(scores: npt.NDArray[np.float64]) -> ScoreQuantiles:
    """How an interval's scores, shape (n_rows,), are spread; NaN is no score."""
    there = scores[np.isfinite(scores)]
    if not there.size:
        return ScoreQuantiles(rows=0)
    p05, p25, p50, p75, p95 = map(float, np.quantile(there, (0.05, 0.25, 0.5, 0.75, 0.95)))
    return ScoreQuantiles(
        rows=there.size, p05=p05, p25=p25, p50=p50, p75=p75, p95=p95, mean=float(there.mean())
    )
