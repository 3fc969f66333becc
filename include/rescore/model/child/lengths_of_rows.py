"""Lengths that tell rows: as many as the fit had, or as a part of them that a parameter names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rescore.model.runtime.artifact import walk

__all__ = ["QUANTILE_ROWS", "close_quantiles", "lengths_of_rows"]

#: Quantiles with fewer rows between them are those rows' values, however they are interpolated.
QUANTILE_ROWS = 10

#: Fewer rows than this give no telling length.
MIN_ROWS = 30

_SUBSAMPLES = frozenset({"subsample", "max_samples", "train_size", "test_size", "validation_fraction"})
_STRUCTURE = frozenset(
    {
        "hidden_layer_sizes", "max_features", "max_iter", "n_components", "n_estimators", "n_features_in_",
        "n_features_to_select", "n_knots",
    }
)  # fmt: skip
#: Rounds that were run: a loss or a score of each is kept, and sometimes the one before the first.
_ROUNDS = frozenset({"n_estimators_", "n_iter_"})


def lengths_of_rows(estimator: Any, rows: int) -> dict[int, str]:
    """Lengths that mean one entry per row, with the reason; less those of the pipeline's structure."""
    if rows < MIN_ROWS:
        return {}
    found = {rows: "the number of rows that were fitted"}
    for _, part in walk(estimator):
        for name, value in vars(part).items():
            if not _sets_rows_aside(part, name) or isinstance(value, bool):
                continue
            if isinstance(value, float) and 0 < value < 1:
                for size in (value * rows, (1 - value) * rows):
                    for whole in (math.floor(size), round(size), math.ceil(size)):
                        found.setdefault(whole, f"a subsample by {name}")
            elif isinstance(value, int) and value < rows:
                found.setdefault(value, f"a subsample by {name}")
    structure = {size for _, part in walk(estimator) for size in _structure(part)}
    return {size: why for size, why in found.items() if size >= MIN_ROWS and size not in structure}


def _structure(part: Any) -> set[int]:
    """Lengths that a part has whatever rows it was fitted to."""
    sizes = {size for name in _STRUCTURE & vars(part).keys() for size in _sizes(vars(part)[name])}
    rounds = {size for name in _ROUNDS for size in _sizes(_attribute(part, name))}
    return sizes | rounds | {size + 1 for size in rounds}


def _attribute(part: Any, name: str) -> Any:
    try:
        return getattr(part, name, None)
    except Exception:  # a property of a class of one's own
        return None


def _sizes(value: Any) -> set[int]:
    values = value if isinstance(value, list | tuple) else [value]
    return {int(one) for one in values if isinstance(one, int | np.integer)}


def _sets_rows_aside(part: Any, name: str) -> bool:
    """Whether a parameter says how many rows a fit takes; those that it stops by only if it stops early."""
    if name == "validation_fraction":
        # "auto" may; without the parameter it is the number of rounds to wait that asks for it.
        return bool(getattr(part, "early_stopping", getattr(part, "n_iter_no_change", None) is not None))
    return name in _SUBSAMPLES


def close_quantiles(estimator: Any, rows: int) -> dict[str, set[int]]:
    """Lengths of quantiles that lie so close that they tell single rows, though drawn between two; by type.

    Of quantile transformers, and of bins and splines whose edges and knots are quantiles.
    """
    found: dict[str, set[int]] = {}
    for _, part in walk(estimator):
        kind, numbers = type(part).__name__, []
        if kind == "QuantileTransformer":
            numbers = [getattr(part, "n_quantiles_", 0)]
        elif kind == "KBinsDiscretizer" and getattr(part, "strategy", "") == "quantile":
            numbers = [len(edges) for edges in getattr(part, "bin_edges_", ())]
        elif kind == "SplineTransformer" and isinstance(part.knots, str) and part.knots == "quantile":
            numbers = [len(spline.t) for spline in getattr(part, "bsplines_", ())]
        of_rows = min(rows, getattr(part, "subsample", None) or rows)
        around = 2 * part.degree if kind == "SplineTransformer" else 0
        close = {int(number) for number in numbers if (number - around) * QUANTILE_ROWS > of_rows}
        found.setdefault(kind, set()).update(close)
    return {kind: close for kind, close in found.items() if close}
