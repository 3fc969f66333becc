"""Boosted trees that may only read "was late more often" as "will be late more likely"."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from .features.smoothed_share import SmoothedShare

#: New share: (count, out of). A flight number has a few arrivals, a route some dozens.
FLIGHT = {"flight_late_share": ("flight_late_28d", "flight_arrivals_28d")}
ROUTE = {"route_late_share": ("route_late_28d", "route_arrivals_28d")}

#: Shares of recent trouble. Ninety days of training hold odd days enough for trees to learn that a
#: bad yesterday promises a good today; held to one direction they rank later days better.
RISES_WITH = (
    "origin_late_24h",
    "carrier_late_24h",
    "carrier_late_7d",
    "flight_late_share",
    "route_late_share",
)


def build(hyperparameters: dict[str, Any], seed: int) -> Pipeline:
    """The unfitted pipeline.

    Parameters
    ----------
    hyperparameters : dict
        Of ``HistGradientBoostingClassifier``.
    seed : int
        Draws the features that each split looks at (``max_features``).
    """
    trees = HistGradientBoostingClassifier(
        # A random tenth of the rows to stop by would hold flights of the very days that train.
        early_stopping=False,
        categorical_features="from_dtype",
        monotonic_cst=dict.fromkeys(RISES_WITH, 1),
        random_state=seed,
        **hyperparameters,
    )
    return Pipeline(
        [
            ("flight_share", SmoothedShare(FLIGHT, weight=5.0)),
            ("route_share", SmoothedShare(ROUTE, weight=20.0)),
            ("trees", trees),
        ]
    )
