"""Weights of classes: named in ``pipeline.py`` by label, asked for by an estimator by position.

An estimator is fitted to positions in the target's labels. A ``class_weight`` that is written for the labels
would be taken for positions, and for whole numbers nobody would notice: a weight would be another class's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rescore.errors import TrainingError

__all__ = ["place_class_weights"]

#: The names of such parameters; the second is CatBoost's.
_WEIGHTS = ("class_weight", "class_weights")
#: Where a search keeps what its candidates are given.
_GRIDS = ("param_grid", "param_distributions")


def place_class_weights(estimator: Any, labels: Sequence[str]) -> None:
    """Replace the labels in each ``class_weight`` that is a mapping by their positions, in place.

    Parameters
    ----------
    estimator : estimator
        Anywhere in its parameters, the candidates of a search too.
    labels : sequence of str
        The target's labels in the order of their positions; none of a regression.

    Raises
    ------
    TrainingError
        A weight of a class that the target does not have.
    """
    if not labels:
        return
    positions = {label: position for position, label in enumerate(labels)}
    changed = {
        name: placed
        for name, value in estimator.get_params(deep=True).items()
        if (placed := _placed(name, value, positions)) is not value
    }
    if changed:
        estimator.set_params(**changed)


def _placed(name: str, value: Any, positions: Mapping[str, int]) -> Any:
    last = name.rpartition("__")[2]
    if last in _WEIGHTS:
        if isinstance(value, Mapping):
            return {_position(name, key, positions): weight for key, weight in value.items()}
        return value
    if last in _GRIDS:
        grids = value if isinstance(value, list) else [value]
        if any(key.rpartition("__")[2] == "class_weight" for grid in grids for key in grid):
            placed = [
                {key: _candidates(key, given, positions) for key, given in grid.items()} for grid in grids
            ]
            return placed if isinstance(value, list) else placed[0]
    return value


def _candidates(key: str, given: Any, positions: Mapping[str, int]) -> Any:
    return [_placed(key, one, positions) for one in given] if isinstance(given, list | tuple) else given


def _position(name: str, key: Any, positions: Mapping[str, int]) -> int:
    if isinstance(key, float | np.floating) and key == int(key):
        key = int(key)
    text = str(key)
    if "true" in positions and key in (0, 1):  # as True is 1 to Python and to scikit-learn
        text = "true" if key else "false"
    if text not in positions:
        raise TrainingError(
            f"{name} weights a class {key!r}, which the target does not have",
            where="build() in pipeline.py",
            expected=f"the target's own labels: {', '.join(list(positions)[:20])}",
            fix="name the classes as labels.sql gives them",
        )
    return positions[text]
