"""What training is worth for the rows of a window: how far an estimate that was learnt there reaches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rescore.drift.feature_distances import Measured
from rescore.drift.feature_reference import SCORE
from rescore.evidence import effective_windows

__all__ = ["reach_of"]

Floats = npt.NDArray[np.float64]

#: A window is taken to have moved by what is beyond this part of training's own windows: each feature's
#: effect is cut at 0, so that many features that did not move add up to something in every window.
AS_USUAL = 0.9

#: Correlations of features are taken from the windows; smaller ones than this many standard errors are none.
SURE = 3.0


def reach_of(measured: Sequence[Measured]) -> float:
    """What a row of training is worth in the window's population, 0 to 1.

    The effective share of importance weights (Kong, *A note on importance sampling*, 1992). Of a normal
    feature that moved by d standard deviations it is ``exp(-d ** 2)``, and ``d ** 2`` is the feature's
    effect; of several independent features it is the product, of features that say the same that of one.
    Those that the model does not use don't count, nor does what training's own windows have, too.
    """
    features = [one for one in measured if one.reference.kind != SCORE]
    used = [one for one in features if one.reference.importance > 0] or features
    if not used:
        return 1.0
    effects = np.stack([one.effects for one in used], axis=1)
    # The last statistic is the shift where values have an order, else the first is of the levels.
    standing = np.stack([one.standing[:, -1 if one.two_sided[-1] else 0] for one in used], axis=1)
    ordered = np.asarray([one.two_sided[-1] for one in used])
    every = _together(effects, standing, ordered)
    usual = float(np.quantile(every[:-1], AS_USUAL)) if every.size > 1 else 0.0
    return math.exp(-max(float(every[-1]) - usual, 0.0))


def _together(effects: Floats, standing: Floats, ordered: npt.NDArray[np.bool_]) -> Floats:
    """Each window's effect in all features, what several say being counted once; shape (n_windows + 1,).

    Parameters
    ----------
    effects, standing : ndarray of float, shape (n_windows + 1, n_features)
        ``standing`` says how features go together: over windows their means are correlated as rows are.
    ordered : ndarray of bool, shape (n_features,)
        Whether the standing has a side. Features that are correlated and moved against each other don't say
        the same.
    """
    off = standing[:-1] - standing[:-1].mean(axis=0)
    length = np.sqrt((off**2).sum(axis=0))
    off = off / np.where(length > 0, length, 1.0)
    correlation = off.T @ off
    worth = effective_windows(standing[:-1]).mean()  # windows with memory go together by chance
    squared = np.where(np.abs(correlation) > SURE / math.sqrt(worth), correlation**2, 0.0)
    np.fill_diagonal(squared, 1.0)
    alike, unlike = np.where(correlation >= 0, squared, 0.0), np.where(correlation < 0, squared, 0.0)
    up = (standing >= 0) | ~ordered
    above, below = np.where(up, effects, 0.0), np.where(up, 0.0, effects)
    shared = np.where(up, above @ alike + below @ unlike, below @ alike + above @ unlike)
    return np.asarray((effects**2 / np.where(shared > 0, shared, 1.0)).sum(axis=1))
