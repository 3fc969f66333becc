"""The levels of categorical features that a fitted model knows: its encoders' and its boosters'."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rescore.model.runtime.artifact import walk
from rescore.model.runtime.frames import Features

__all__ = ["levels_like_missing", "with_known_levels"]

_Levels = Iterator[tuple[str, Iterable[Any]]]


def with_known_levels(features: Features, estimator: Any) -> Features:
    """The features with the levels that the estimator knows, beside those that they have.

    What is no level becomes missing before the estimator sees it, though it was fitted to it. CatBoost keeps
    its levels as hashes: of it there are none to be found.

    Parameters
    ----------
    features : Features
        With the levels of the rows at hand.
    estimator : estimator
        As fitted, elsewhere.
    """
    found = {name: set(levels) for name, levels in features.levels.items()}
    for name, levels in _known(estimator, list(features.kinds), list(features.levels)):
        if name in found:
            found[name].update(level for level in levels if isinstance(level, str))
    return Features(features.kinds, {name: tuple(sorted(levels)) for name, levels in found.items()})


def levels_like_missing(estimator: Any, features: Features) -> list[str]:
    """A sentence for each feature whose unseen levels get what an encoder learned of missing values.

    A level that training never saw becomes missing before an encoder sees it. Where it saw missing values in
    training it has a category for them, so what it would do with unknown levels is never asked.
    """
    return [
        f"{name}: a level that training never saw counts as a missing one, which {type(part).__name__} "
        "learned as a category of its own; impute before it (SimpleImputer) if they differ"
        for path, part, names in _encoders(estimator, list(features.kinds))
        if "._preprocessor" not in path  # histogram boosting takes both for missing itself
        for name, levels in _encoded(part, names)
        if name in features.levels and not all(isinstance(level, str) for level in levels)
    ]


def _known(estimator: Any, names: Sequence[str], categorical: Sequence[str]) -> _Levels:
    for _, part, columns in _encoders(estimator, names):
        yield from _encoded(part, columns)
    for _, part in walk(estimator):
        listed = getattr(part, "pandas_categorical", None)  # LightGBM's, in the order of the frame
        if isinstance(listed, list) and len(listed) == len(categorical):
            yield from zip(categorical, listed, strict=True)
        if type(part).__module__ == "xgboost.core" and hasattr(part, "get_categories"):
            for name, levels in part.get_categories(export_to_arrow=True).to_arrow() or ():
                yield name, levels.to_pylist() if levels is not None else ()


def _encoders(estimator: Any, names: Sequence[str]) -> Iterator[tuple[str, Any, Sequence[str]]]:
    """Each part with its path and the names of its columns, as far as they are known."""
    parts = list(walk(estimator))
    unnamed = () if any(hasattr(part, "transformers_") for _, part in parts) else names
    for path, part in parts:
        yield path, part, getattr(part, "feature_names_in_", unnamed)
        # Behind an imputer a column has no name; the transformer of columns knows it.
        for _, transformer, columns in getattr(part, "transformers_", ()):
            if isinstance(columns, list | tuple) and all(isinstance(one, str) for one in columns):
                for inner_path, inner in walk(transformer):
                    if not hasattr(inner, "feature_names_in_"):
                        yield path + inner_path, inner, columns


def _encoded(part: Any, names: Sequence[str]) -> _Levels:
    """An encoder's levels, by the names of its columns where it is known which they are."""
    levels = getattr(part, "categories_", None)
    if isinstance(levels, list) and len(levels) == len(names):
        yield from zip([str(name) for name in names], levels, strict=True)
