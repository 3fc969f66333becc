"""From Arrow columns to the frame a pipeline gets: one fixed dtype per feature kind.

===========  ==================================================  =================================
kind         dtype in the frame                                  a missing value is
===========  ==================================================  =================================
numeric      ``float64``                                         ``nan``
boolean      ``float64`` (0.0, 1.0)                              ``nan``
categorical  ``category``, its levels fixed by the training      ``nan``
             rows (sorted), of ``object`` strings
datetime     ``datetime64[us, UTC]``                             ``NaT``
text         ``object`` strings                                  ``None``
===========  ==================================================  =================================

A level that training never saw becomes missing, as ``HistGradientBoosting`` itself has it: a
``category`` whose levels grew with the rows at hand would give a row other codes beside other
rows. The dtype never depends on what a chunk holds; an all-NULL column keeps it. If every feature
is numeric or boolean the frame is one row-major block, else each column is an array of its own;
this too depends on the kinds alone, since the memory order of a matrix changes a product's bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .errors import InputError

__all__ = ["DTYPES", "Features"]

#: Feature kind to the pandas dtype in the frame, by name.
DTYPES = {
    "numeric": "float64",
    "boolean": "float64",
    "categorical": "category",
    "datetime": "datetime64[us, UTC]",
    "text": "object",
}
_MOMENT = pa.timestamp("us", tz="UTC")
_ARROW = {
    "numeric": pa.float64(),
    "boolean": pa.bool_(),
    "categorical": pa.string(),
    "datetime": _MOMENT,
    "text": pa.string(),
}
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Features:
    """The ordered features of a model, and the levels of the categorical ones.

    Attributes
    ----------
    kinds : mapping
        Feature to kind, in the order of the matrix.
    levels : mapping
        Categorical feature to its sorted levels.
    """

    kinds: Mapping[str, str]
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def learn(cls, kinds: Mapping[str, str], table: pa.Table) -> Features:
        """Take the levels of the categorical features from training rows."""
        levels = {}
        for name, kind in kinds.items():
            if kind == "categorical":
                values = pc.unique(_conform(name, kind, table.column(name)).drop_null())
                levels[name] = tuple(sorted(value for value in values.to_pylist() if value is not None))
        return cls(dict(kinds), levels)

    @property
    def names(self) -> list[str]:
        """The features in the order of the matrix."""
        return list(self.kinds)

    def conform(self, table: pa.Table) -> pa.Table:
        """The features of ``table`` in order, each cast to the one Arrow type of its kind.

        Raises
        ------
        InputError
            A feature is missing, or holds what its kind does not allow.
        """
        missing = [name for name in self.kinds if name not in table.column_names]
        if missing:
            raise InputError(
                f"features are missing from the input: {', '.join(missing)}",
                expected=f"all of: {', '.join(self.kinds)}",
                fix="select them",
                missing=missing,
            )
        columns = {name: _conform(name, kind, table.column(name)) for name, kind in self.kinds.items()}
        return pa.table(columns)

    def from_pandas(self, frame: pd.DataFrame) -> pa.Table:
        """Read a person's frame: at least the features, in any order, of any sensible dtype.

        Raises
        ------
        InputError
            A feature is missing, or holds what its kind does not allow.
        """
        columns = {}
        for name, kind in self.kinds.items():
            if name not in frame.columns:
                continue
            try:
                columns[name] = pa.chunked_array([pa.Array.from_pandas(frame[name])])
            except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError) as error:
                raise _unfit(name, kind, str(error)) from None
        return self.conform(pa.table(columns))

    def frame(self, table: pa.Table, rows: int | None = None) -> pd.DataFrame:
        """Build the pipeline's input from conformed columns.

        Parameters
        ----------
        table : pa.Table
            What :meth:`conform` gives, at least one row.
        rows : int, optional
            Pad to this many rows by repeating one of them: the one with the shortest texts, of those the
            last; a pipeline works on the texts of each row, those of padding, too.

        Returns
        -------
        pd.DataFrame
            Shape (n_rows, n_features), with a range index.
        """
        rows = table.num_rows if rows is None else rows
        arrays = {name: _one_array(table.column(name)) for name in self.kinds}
        if set(self.kinds.values()) <= {"numeric", "boolean"}:
            block = np.empty((rows, len(arrays)), dtype=np.float64)
            for position, array in enumerate(arrays.values()):
                block[:, position] = _padded(_floats(array), rows, -1)
            return pd.DataFrame(block, columns=self.names, copy=False)
        again = self._repeated(arrays) if table.num_rows < rows else -1
        columns = {name: self._column(name, array, rows, again) for name, array in arrays.items()}
        return pd.DataFrame(columns, columns=self.names, copy=False)

    def _repeated(self, arrays: Mapping[str, pa.Array]) -> int:
        """Which row padding repeats."""
        texts = [arrays[name] for name, kind in self.kinds.items() if kind == "text"]
        if not texts:
            return -1
        of_each = [pc.binary_length(one).fill_null(0).to_numpy(zero_copy_only=False) for one in texts]
        lengths: Array = np.vstack(of_each).sum(axis=0, dtype=np.int64, keepdims=True)[0]
        return len(lengths) - 1 - int(np.argmin(lengths[::-1]))

    def _column(self, name: str, array: pa.Array, rows: int, again: int) -> Any:
        kind = self.kinds[name]
        if kind in {"numeric", "boolean"}:
            return _padded(_floats(array), rows, again)
        if kind == "categorical":
            dtype = pd.CategoricalDtype(pd.Index(self.levels[name], dtype=object), ordered=False)
            codes = _padded(_codes(array, pa.array(self.levels[name], pa.string())), rows, again)
            return pd.Categorical.from_codes(codes, dtype=dtype)
        values = _padded(array.to_numpy(zero_copy_only=False), rows, again)
        if kind == "datetime":
            return pd.Series(values.astype("datetime64[us]")).dt.tz_localize("UTC")
        return pd.Series(values, dtype=object)

    def to_json(self) -> list[dict[str, Any]]:
        """As the manifest holds them: ordered, each with name, kind, dtype and levels."""
        described = []
        for name, kind in self.kinds.items():
            one: dict[str, Any] = {"name": name, "kind": kind, "dtype": DTYPES[kind]}
            if name in self.levels:
                one["levels"] = list(self.levels[name])
            described.append(one)
        return described

    @classmethod
    def from_json(cls, described: Sequence[Mapping[str, Any]]) -> Features:
        """The inverse of :meth:`to_json`."""
        kinds = {one["name"]: one["kind"] for one in described}
        return cls(kinds, {one["name"]: tuple(one["levels"]) for one in described if "levels" in one})


def _conform(name: str, kind: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    given, wanted = column.type, _ARROW[kind]
    if given == wanted or pa.types.is_null(given):
        return column.cast(wanted)
    is_number = pa.types.is_integer(given) or pa.types.is_floating(given) or pa.types.is_decimal(given)
    is_string = pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given)
    is_moment = pa.types.is_date(given) or (pa.types.is_timestamp(given) and given.tz is not None)
    if pa.types.is_dictionary(given):
        if kind == "categorical" and given.value_type == pa.string():
            return column
        if kind in {"categorical", "text"}:
            return column.cast(given.value_type).cast(wanted)
    allowed = {
        "numeric": is_number,
        "boolean": False,
        "categorical": is_string,
        "text": is_string,
        "datetime": is_moment,
    }
    if not allowed[kind]:
        raise _unfit(name, kind, f"it is {given}")
    try:
        if pa.types.is_decimal(given) and kind == "numeric":
            column = column.cast(pa.string())  # Arrow's own decimal to double is one ulp off at times
        return column.cast(wanted)
    except pa.ArrowInvalid as error:
        raise _unfit(name, kind, str(error)) from None


def _unfit(name: str, kind: str, why: str) -> InputError:
    expected = {
        "numeric": "integers (up to 2**53) or floats",
        "boolean": "booleans",
        "categorical": "strings",
        "text": "strings",
        "datetime": "timestamps with a time zone, to the microsecond, or dates",
    }[kind]
    return InputError(
        f"feature {name!r} can't be read as {kind}: {why}",
        expected=expected,
        fix=f"cast {name}",
        feature=name,
    )


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return column.unify_dictionaries().combine_chunks()


def _floats(array: pa.Array) -> Array:
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8()).cast(pa.float64())
    values: Array = array.to_numpy(zero_copy_only=False)
    return values


def _codes(array: pa.Array, levels: pa.Array) -> Array:
    if pa.types.is_dictionary(array.type):
        codes = pc.index_in(array.dictionary, value_set=levels).take(array.indices)
    else:
        codes = pc.index_in(array, value_set=levels)
    numbers: Array = codes.fill_null(-1).to_numpy(zero_copy_only=False)
    return numbers


def _padded(values: Array, rows: int, again: int) -> Array:
    if len(values) == rows:
        return values
    padded = np.empty(rows, dtype=values.dtype)
    padded[: len(values)] = values
    padded[len(values) :] = values[again]
    return padded
