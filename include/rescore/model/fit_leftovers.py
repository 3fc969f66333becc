"""What a fit leaves in its estimators by accident: it differs each time, or stands in the way of writing.

Nothing that a prediction reads is here. Parts are known by their module, type and attributes; the libraries
are not imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rescore.model.boosters import forget_when
from rescore.model.runtime.artifact import walk

__all__ = ["distributions_apart", "remove_accidents"]

# What scikit-learn's fits note of each of their rows: no prediction reads it, here or in a package.
_ROW_BY_ROW = frozenset({"oob_decision_function_", "oob_prediction_", "outliers_", "inlier_mask_"})
_LABELS = {name: {"labels_"} for name in ("KMeans", "MiniBatchKMeans", "BisectingKMeans")}
_LABELS["SelfTrainingClassifier"] = {"transduction_", "labeled_iter_"}

_PARTED = ("_random_state", "vecentropy")


def remove_accidents(fitted: Any) -> None:
    """Take out of a fitted pipeline, in place, what its fit noted by accident.

    - How long the fits of a search took; the address of the stop words that a text vectorizer checked.
    - What a fit notes of each row: ``labels_`` of k-means, the labels that self-training gave, out-of-bag
      predictions, weights of rows, which rows were outliers.
    - The generator that a stacking ensemble gives to a splitter without a seed, even one that never draws.
    - When a booster was fitted (:func:`~rescore.model.boosters.forget_when`).
    """
    for _, part in walk(fitted):
        forget_when(part)
        # Without the address it checks the stop words again.
        vars(part).pop("_stop_words_id", None)
        results = getattr(part, "cv_results_", None)
        if isinstance(results, dict):
            part.cv_results_ = {key: value for key, value in results.items() if not key.endswith("_time")}
        if "refit_time_" in vars(part):
            part.refit_time_ = 0.0
        module = type(part).__module__
        if module.startswith("sklearn."):
            _forget_rows(part)
        if module.startswith("sklearn.model_selection.") and _draws_nothing(part):
            part.random_state = None


@contextmanager
def distributions_apart(fitted: Any) -> Iterator[None]:
    """While the pipeline is written, take out of scipy's distributions what they share or can't write.

    A discrete one keeps its own entropy as a function, a circle that can't be written; loading it, scipy
    makes the function again. All share numpy's global generator, whose state is not theirs: a new one stands
    for it. Distributions are shared, too (``scipy.stats.norm`` is one object): each gets its own back.
    """
    parted: list[tuple[dict[str, Any], dict[str, Any]]] = []
    try:
        for _, part in list(walk(fitted)):
            own = vars(part)
            if type(part).__module__.startswith("scipy.stats.") and "_random_state" in own:
                parted.append((own, {name: own[name] for name in _PARTED if name in own}))
                own.pop("vecentropy", None)
                if own["_random_state"] is np.random.mtrand._rand:
                    own["_random_state"] = np.random.RandomState(0)
        yield
    finally:
        for own, kept in parted:
            own.update(kept)


def _forget_rows(part: Any) -> None:
    # Forests and bagging note each row's weight, to say later which rows a tree drew; else None.
    if isinstance(vars(part).get("_sample_weight"), np.ndarray):
        del part._sample_weight
    for name in _ROW_BY_ROW.intersection(vars(part)) | _LABELS.get(type(part).__name__, set()):
        vars(part).pop(name, None)


def _draws_nothing(part: Any) -> bool:
    """Whether it is a splitter that does not shuffle; such a one takes no seed from its user."""
    return hasattr(part, "split") and vars(part).get("shuffle") is False and "random_state" in vars(part)
