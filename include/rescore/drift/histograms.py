"""What a report keeps for pictures: a few bars per feature, and the quantiles of the scores.

Counts in the groups that PSI is taken over, so that a picture needs neither the package nor the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rescore.drift.binning import LevelCells, OrderedCells
from rescore.drift.feature_distances import Measured
from rescore.drift.report import FeatureDrift

__all__ = ["MOST_FEATURES", "bars_of", "score_quantiles"]

#: Features whose bars are kept: a report of 1,500 columns must not weigh megabytes.
MOST_FEATURES = 60

#: Levels with a bar of their own; the others share one.
MOST_LEVELS = 14

Counts = npt.NDArray[np.int64]


def bars_of(
    measured: Sequence[Measured], features: Sequence[FeatureDrift], chosen: npt.NDArray[np.intp]
) -> dict[str, dict[str, Any]]:
    """Each feature's rows by bar, in the ``chosen`` reference windows together and in the live window.

    Returns
    -------
    dict
        Feature to ``names`` of its bars in order (``5 – 10``, a level, ``missing``), ``reference`` and
        ``live``, the rows in each. The score, what is flagged or an outage, and else the most important
        features, ``MOST_FEATURES`` of them.
    """
    ranked = sorted(
        zip(measured, features, strict=True),
        key=lambda pair: (
            pair[1].kind != "score",
            not pair[1].outage,
            not pair[1].flagged,
            -pair[1].importance,
            -pair[1].effect,
            pair[1].name,
        ),
    )
    return {row.name: _bars(one, chosen) for one, row in ranked[:MOST_FEATURES]}


def _bars(one: Measured, chosen: npt.NDArray[np.intp]) -> dict[str, Any]:
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
    return {"names": names, "reference": before, "live": now}


def _levels(cells: LevelCells) -> list[tuple[str, list[int]]]:
    own = list(range(len(cells.levels)))
    named = [(cells.levels[cell], [cell]) for cell in own[:MOST_LEVELS]]
    rest = [*own[MOST_LEVELS:], len(own)]
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


def score_quantiles(scores: npt.NDArray[np.float64]) -> dict[str, float | int | None]:
    """``rows``, ``p05``, ``p25``, ``p50``, ``p75``, ``p95`` and ``mean`` of an interval's scores."""
    there = scores[np.isfinite(scores)]
    names = ("p05", "p25", "p50", "p75", "p95")
    if not there.size:
        return {"rows": 0, **dict.fromkeys(names), "mean": None}
    values = np.quantile(there, (0.05, 0.25, 0.5, 0.75, 0.95))
    found = dict(zip(names, map(float, values), strict=True))
    return {"rows": int(there.size), **found, "mean": float(there.mean())}
