"""What a joint comparison sees of the features: a few columns of numbers, ranked within each window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import ndtri

from rescore.drift.binning import LevelCells, moments, ordered_values
from rescore.drift.feature_reference import FeatureReference
from rescore.drift.reference import Reference

__all__ = ["MAX_COLUMNS", "Column", "columns_of", "normal_scores"]

Floats = npt.NDArray[np.float64]

#: Pairs grow with the square of this; the most important features come first.
MAX_COLUMNS = 30

#: A level, or being missing, is a column if at least this share of rows has it and has it not.
MIN_SHARE = 0.05


@dataclass(frozen=True)
class Column:
    """One column: a feature's values (NaN where missing), having a level, or being missing."""

    name: str
    label: str
    values: Floats


def columns_of(
    profile: Reference, training: pa.Table, live: pa.Table, features: Sequence[FeatureReference]
) -> list[Column]:
    """The columns of the first ``features`` that vary, over training's rows and then the live ones."""
    days = [
        moments(one[profile.event_time]) if profile.event_time in one.column_names else None
        for one in (training, live)
    ]
    columns: list[Column] = []
    for feature in features:
        both = (training[feature.name], live[feature.name])
        columns += (
            _levels(feature, both) if isinstance(feature.cells, LevelCells) else _ordered(feature, both, days)
        )
        if len(columns) >= MAX_COLUMNS:
            break
    return columns[:MAX_COLUMNS]


def _ordered(
    feature: FeatureReference, both: tuple[pa.ChunkedArray, ...], days: list[Floats | None]
) -> Iterator[Column]:
    values = np.concatenate(
        [ordered_values(one, feature.kind, event) for one, event in zip(both, days, strict=True)]
    )
    missing = np.isnan(values)
    there = values[~missing]
    if there.size and there.min() < there.max():
        yield Column(feature.name, feature.name, values)
    if _varies(missing):
        yield Column(feature.name, f"{feature.name} missing", missing.astype(np.float64))


def _levels(feature: FeatureReference, both: tuple[pa.ChunkedArray, ...]) -> Iterator[Column]:
    assert isinstance(feature.cells, LevelCells)  # noqa: S101
    names = pa.concat_arrays(
        [chunk for one in both for chunk in one.cast(pa.string()).chunks] or [pa.array([], pa.string())]
    )
    found = []
    for level in feature.cells.levels:
        has = np.asarray(
            pc.equal(names, level).fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_
        )
        if _varies(has):
            found.append(Column(feature.name, f"{feature.name} = {level}", has.astype(np.float64)))
    # Of two levels and nothing missing, one says it all.
    yield from found[:1] if len(feature.cells.levels) == 2 and not names.null_count else found
    missing = np.asarray(names.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
    if _varies(missing):
        yield Column(feature.name, f"{feature.name} missing", missing.astype(np.float64))


def _varies(has: npt.NDArray[np.bool_]) -> bool:
    return bool(has.size and MIN_SHARE <= has.mean() <= 1 - MIN_SHARE)


def normal_scores(values: Floats, window: npt.NDArray[np.intp]) -> Floats:
    """Van der Waerden's scores of each column by its ranks within each window.

    Of mean 0 and standard deviation 1 there; 0 where a value is missing, or all in a window are the same.

    Parameters
    ----------
    values : ndarray of float, shape (n_rows, n_columns)
        NaN is missing.
    window : ndarray of int, shape (n_rows,)
        Of which window each row is, in order.
    """
    scores = np.zeros_like(values)
    bounds = np.flatnonzero(np.r_[True, window[1:] != window[:-1], True])
    for start, stop in pairwise(bounds):
        for column in range(values.shape[1]):
            rows = values[start:stop, column]
            there = ~np.isnan(rows)
            distinct, place, count = np.unique(rows[there], return_inverse=True, return_counts=True)
            if distinct.size < 2:
                continue
            found = ndtri((np.cumsum(count) - count / 2) / count.sum())
            found -= (found * count).sum() / count.sum()
            found /= np.sqrt((found**2 * count).sum() / count.sum())
            scores[start:stop, column][there] = found[place]
    return scores
