"""Boosted trees that learn the logarithm of the price: ten percent weigh the same for every house."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor


def build(hyperparameters: dict[str, Any], seed: int) -> TransformedTargetRegressor:
    """The unfitted estimator; it predicts dollars.

    Parameters
    ----------
    hyperparameters : dict
        Of ``HistGradientBoostingRegressor``.
    seed : int
        Draws the features that each split looks at (``max_features``).
    """
    trees = HistGradientBoostingRegressor(
        # A random tenth of the rows to stop by would hold houses of the very months that train.
        early_stopping=False,
        categorical_features="from_dtype",
        random_state=seed,
        **hyperparameters,
    )
    return TransformedTargetRegressor(trees, func=np.log, inverse_func=np.exp, check_inverse=False)
