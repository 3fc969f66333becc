"""Golden rows: synthetic rows whose scores are recorded bit for bit in the package.

They are drawn column by column, so no row is a person: numbers between quantiles rather than as
observed, levels and words only if at least :data:`MANY` rows have them, missing values as often as
in training. They exercise the model; they describe nobody.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.model.runtime.frames import Features

__all__ = ["GOLDEN_ROWS", "MANY", "draw"]

#: How many golden rows a package has.
GOLDEN_ROWS = 128
#: A level or a word occurs in at least this many training rows before a golden row may show it.
MANY = 10

_WORD = re.compile(r"\w+")
#: Text is sampled; a corpus need not be counted whole to find common words.
_TEXT_SAMPLE = 20_000


def draw(table: pa.Table, features: Features, seed: int, rows: int = GOLDEN_ROWS) -> dict[str, list[Any]]:
    """Draw golden rows from conformed training columns.

    Returns
    -------
    dict
        Feature to its values, JSON-serialisable; datetimes as microseconds since 1970 UTC.
    """
    random = np.random.default_rng(seed)
    drawn = {}
    for name, kind in features.kinds.items():
        column = table.column(name)
        if kind == "numeric":
            column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, pa.float64()))
        present = column.drop_null()
        values: list[Any]
        if not len(present):
            values = [None] * rows
        elif kind == "numeric":
            values = _numbers(present, random, rows)
        elif kind == "datetime":
            values = [
                int(value)
                for value in _numbers(present.cast(pa.int64()).cast(pa.float64(), safe=False), random, rows)
            ]
        elif kind == "boolean":
            values = (random.random(rows) < pc.mean(present.cast(pa.uint8())).as_py()).tolist()
        elif kind == "categorical":
            values = _levels(present, random, rows)
        else:
            values = _texts(present, random, rows)
        missing = random.random(rows) < column.null_count / len(column)
        drawn[name] = [None if gone else value for gone, value in zip(missing, values, strict=True)]
    return drawn


def _numbers(present: pa.ChunkedArray, random: np.random.Generator, rows: int) -> list[Any]:
    """Values at random ranks between the 1st and the 99th percentile; whole ones stay whole."""
    known = present.to_numpy()
    values = np.quantile(known, random.uniform(0.01, 0.99, rows))
    return np.rint(values).tolist() if np.equal(known, np.rint(known)).all() else values.tolist()  # type: ignore[no-any-return]


def _levels(present: pa.ChunkedArray, random: np.random.Generator, rows: int) -> list[Any]:
    counts = {one["values"]: one["counts"] for one in pc.value_counts(present.cast(pa.string())).to_pylist()}
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    common = [item for item in ordered if item[1] >= MANY] or ordered[:1]
    weights = np.array([count for _, count in common], dtype=np.float64)
    picked = random.choice(len(common), size=rows, p=weights / weights.sum())
    return [common[position][0] for position in picked]


def _texts(present: pa.ChunkedArray, random: np.random.Generator, rows: int) -> list[Any]:
    counted: Counter[str] = Counter()
    for text in present.slice(0, _TEXT_SAMPLE).to_pylist():
        counted.update(set(_WORD.findall(text)))
    common = sorted(word for word, times in counted.items() if times >= MANY)
    if not common:
        return [""] * rows
    return [" ".join(common[i] for i in random.integers(0, len(common), 6)) for _ in range(rows)]
