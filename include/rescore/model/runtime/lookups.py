"""Encoders of categories as look-ups: each level goes through the fitted encoder once, not each row's value.

A feature of kind ``categorical`` has one of the levels of training, or is missing: an encoder that gives
every column of its output from one column of its input is known when it was asked for those. Its own answers
are kept, and copied to the rows that have the level. Nothing is computed anew, so the bits are the encoder's
own. Where the answers for mixed levels are not those put together, or a step is not of a type
that is known to work so, the encoder itself is asked for every row, as before.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from .frames import Array

__all__ = ["with_lookups"]

#: Transformers of scikit-learn that treat each column by itself and each value by itself.
_BY_VALUE = frozenset({"OneHotEncoder", "OrdinalEncoder", "SimpleImputer", "TargetEncoder"})
#: Numbers in the answers for all levels: beyond, they cost more to keep than they save.
_MAX_NUMBERS = 1 << 22


def with_lookups(estimator: Any) -> Any:
    """The estimator with look-ups in place of its encoders of categories.

    Parameters
    ----------
    estimator : estimator
        Fitted. It is not changed: whatever of scikit-learn's holds an encoder, at any depth, is copied.

    Returns
    -------
    estimator
        The same object if it holds no such encoder.
    """
    if isinstance(estimator, list | tuple):
        parts = [with_lookups(part) for part in estimator]
        changed = any(new is not old for new, old in zip(parts, estimator, strict=True))
        return type(estimator)(parts) if changed and type(estimator) in {list, tuple} else estimator
    if not _is_sklearn(estimator) or not hasattr(estimator, "__dict__"):
        return estimator
    held = vars(estimator)
    new = {name: with_lookups(value) for name, value in held.items()}
    # One that is a mere parameter of what was fitted has none.
    if _named(estimator) == "ColumnTransformer" and "transformers_" in held and estimator.n_jobs in {None, 1}:
        new["transformers_"] = [_looked_up(*one) for one in new["transformers_"]]
    if all(value is held[name] for name, value in new.items()):
        return estimator
    copied = object.__new__(type(estimator))
    copied.__dict__.update(new)
    return copied


def _is_sklearn(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "sklearn"


def _named(value: Any) -> str:
    return type(value).__name__ if _is_sklearn(value) else ""


def _looked_up(name: str, step: Any, columns: Any) -> tuple[str, Any, Any]:
    steps = [one for _, one in step.steps] if _named(step) == "Pipeline" else [step]
    return name, _LookedUp(step) if all(_named(one) in _BY_VALUE for one in steps) else step, columns


class _LookedUp:
    """Stands where a fitted encoder stood in a ``ColumnTransformer``; asks it for what it can't look up."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self._levels: list[pd.Index] | None = None
        self._answers: _Dense | _Sparse | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what copying asks for before there is an encoder
            raise AttributeError(name)
        return getattr(self._encoder, name)

    def transform(self, frame: Any, **options: Any) -> Any:
        codes = None if options else self._codes(frame)
        if self._answers is None or codes is None:
            return self._encoder.transform(frame, **options)
        return self._answers.of(codes)

    def _codes(self, frame: Any) -> list[Array] | None:
        """The position of each row's level, a column each; None where that is not all there is to know."""
        if not isinstance(frame, pd.DataFrame):
            return None
        columns = [frame.iloc[:, position].array for position in range(frame.shape[1])]
        values = [one for one in columns if isinstance(one, pd.Categorical)]
        if len(values) < len(columns):
            return None
        if self._levels is None:
            self._levels = [one.categories for one in values]
            self._answers = _ask(self._encoder, frame.columns, self._levels)
        if any(not one.categories.equals(known) for one, known in zip(values, self._levels, strict=True)):
            return None
        if self._answers is None or (
            not self._answers.missing and any((one.codes < 0).any() for one in values)
        ):
            return None
        # The answer for a missing value is the last one.
        sizes = [len(known) for known in self._levels]
        return [np.where(one.codes < 0, size, one.codes) for one, size in zip(values, sizes, strict=True)]


def _ask(encoder: Any, names: pd.Index, levels: Sequence[pd.Index]) -> _Dense | _Sparse | None:
    """The encoder's answers for each level of each column; None where they can't be put together."""
    for missing in (True, False):
        sizes = [len(known) + missing for known in levels]
        if not all(sizes):
            return None
        with suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one_row = encoder.transform(_frame(names, levels, [np.zeros(1, int) for _ in sizes]))
            kind = _Dense if type(one_row) is np.ndarray else _Sparse
            if sum(sizes) * (one_row.shape[1] if kind is _Dense else len(sizes)) > _MAX_NUMBERS:
                return None
            answers = kind(encoder.transform(_frame(names, levels, _one_by_one(sizes))), sizes, missing)
            mixed = [np.arange(max(sizes)) * (number + 1) % size for number, size in enumerate(sizes)]
            if _same(answers.of(mixed), encoder.transform(_frame(names, levels, mixed))):
                return answers
    return None


def _frame(names: pd.Index, levels: Sequence[pd.Index], codes: Sequence[Array]) -> pd.DataFrame:
    """Rows of levels by position; the position after the last level is a missing value."""
    columns = [
        pd.Categorical.from_codes(np.where(code < len(known), code, -1), categories=known)
        for known, code in zip(levels, codes, strict=True)
    ]
    frame = pd.DataFrame(dict(enumerate(columns)))
    frame.columns = names
    return frame


def _one_by_one(sizes: Sequence[int]) -> list[Array]:
    """Each column's levels in turn, while the others keep their first."""
    rows = [np.zeros(sum(sizes), int) for _ in sizes]
    start = 0
    for row, size in zip(rows, sizes, strict=True):
        row[start : start + size] = np.arange(size)
        start += size
    return rows


class _Dense:
    """Answers as an array: each column of the output with the one column of the input that it follows."""

    def __init__(self, given: Array, sizes: Sequence[int], missing: bool) -> None:
        if given.dtype.kind not in "biuf":
            raise ValueError(f"answers of {given.dtype}")
        self.missing = missing
        self._order: Any = "C" if given.flags.c_contiguous else "F"
        self._shape = given.shape[1], given.dtype
        self._parts = []
        bits = np.ascontiguousarray(given).view(f"u{given.dtype.itemsize}")
        constant = bits[0] != 0
        start = 0
        for size in sizes:
            block = slice(start, start + size)
            follows = np.flatnonzero((bits[block] != bits[start]).any(axis=0))
            constant[follows] = False
            self._parts.append(self._part(follows, given[block, follows], bits[block, follows] != 0))
            start += size
        self._constant = np.flatnonzero(constant), given[0, constant]

    @staticmethod
    def _part(columns: Array, answers: Array, filled: Array) -> tuple[Any, Array]:
        """Where to write, and what; of one-hot answers, which have one number each, that number alone."""
        if len(columns) and filled.sum(axis=1).max() <= 1:
            place = filled.argmax(axis=1)
            return columns[place], answers[np.arange(len(answers)), place]
        return _as_slice(columns), np.ascontiguousarray(answers)

    def of(self, codes: Sequence[Array]) -> Array:
        rows, (width, dtype) = np.arange(len(codes[0])), self._shape
        found: Array = np.zeros((len(rows), width), dtype, self._order)
        found[:, self._constant[0]] = self._constant[1]
        for (columns, answers), code in zip(self._parts, codes, strict=True):
            if answers.ndim == 1:
                found[rows, columns[code]] = answers[code]
            else:
                found[:, columns] = answers[code]
        return found


class _Sparse:
    """Answers as a sparse matrix in rows: a span of the output's columns for each column of the input."""

    def __init__(self, given: Any, sizes: Sequence[int], missing: bool) -> None:
        if given.format != "csr" or given.dtype.kind not in "biuf":
            raise ValueError(f"answers of {given.dtype} in {given.format}")
        self.missing = missing
        self._parts = []
        start = column = 0
        for number, size in enumerate(sizes):
            block = given[start : start + size]
            rows = block.getnnz(axis=0)  # in which a column has a number; the others' first levels: in all
            stop = given.shape[1]
            if number < len(sizes) - 1:
                stop = max([column, *(np.flatnonzero((rows > 0) & (rows < size)) + 1)])
            self._parts.append(block[:, column:stop])
            start, column = start + size, stop

    def of(self, codes: Sequence[Array]) -> Any:
        from scipy import sparse  # the encoder that gave a sparse matrix has loaded it

        return sparse.hstack(
            [part[code] for part, code in zip(self._parts, codes, strict=True)], format="csr"
        )


def _as_slice(positions: Array) -> Any:
    """Positions one after another as a slice, which is faster."""
    if len(positions) and positions[-1] - positions[0] == len(positions) - 1:
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions


def _same(one: Any, other: Any) -> bool:
    """Whether two arrays or sparse matrices have the same type, layout and bits."""
    if type(one) is not type(other) or one.shape != other.shape or one.dtype != other.dtype:
        return False
    if type(one) is np.ndarray:
        layouts = {(each.flags.c_contiguous, each.flags.f_contiguous) for each in (one, other)}
        return len(layouts) == 1 and one.tobytes() == other.tobytes()
    parts = ("indptr", "indices", "data")
    return all(
        getattr(one, part).dtype == getattr(other, part).dtype
        and getattr(one, part).tobytes() == getattr(other, part).tobytes()
        for part in parts
    )
