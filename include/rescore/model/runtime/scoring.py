"""A fitted estimator as a function of rows, whose bits do not depend on the rows beside them.

The estimator only ever sees frames of exactly :data:`BLOCK_ROWS` rows; the last is padded by
repeating its last row. Matrix kernels treat the rows at the end of an odd-sized matrix otherwise
than those in its middle, which changed up to half of a linear model's bits; with one shape for
every call there is no such end. A row scored alone, in any chunk or in any subset gives the same
bits, as long as the pipeline itself treats rows independently (training checks that).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from .environment import one_thread
from .errors import ScoreError
from .frames import Array, Features

__all__ = ["BLOCK_ROWS", "Scorer", "Target"]

#: Rows of every frame an estimator sees. 16,384 rows x 20 floats fit a processor's cache; smaller
#: blocks spend their time in scikit-learn's checks (4,096: twice the time of a linear model).
BLOCK_ROWS = 16_384


@dataclass(frozen=True)
class Target:
    """What the estimator predicts.

    Attributes
    ----------
    kind : str
        ``binary``, ``multiclass`` or ``regression``.
    labels : tuple of str
        The text of each class; the estimator is fitted on positions in it. binary: the negative
        one, then the positive one. Empty for regression.
    order : tuple of int
        Of a model that was fitted to values of its own rather than to those positions: the column of
        its ``predict_proba`` for each label. Empty where the positions are the columns.
    """

    kind: str
    labels: tuple[str, ...] = ()
    order: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the manifest holds it."""
        order = {"order": list(self.order)} if self.order else {}
        return {"kind": self.kind, "labels": list(self.labels), **order}

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> Target:
        """The inverse of :meth:`to_json`."""
        return cls(described["kind"], tuple(described["labels"]), tuple(described.get("order", ())))


@dataclass(frozen=True)
class Scorer:
    """An estimator with the features it was fitted on and the target it was fitted to."""

    estimator: Any
    features: Features
    target: Target

    def raw(self, table: pa.Table) -> Array:
        """Predict in blocks.

        Parameters
        ----------
        table : pa.Table
            Conformed features (see :meth:`Features.conform`).

        Returns
        -------
        ndarray of float64
            Regression: shape (n_rows,). Else the probability of each label, shape
            (n_rows, n_labels).

        Raises
        ------
        ScoreError
            The estimator failed, or gave something that is no number.
        """
        rows = table.num_rows
        shape = (rows,) if self.target.kind == "regression" else (rows, len(self.target.labels))
        result = np.zeros(shape, dtype=np.float64)
        with one_thread():
            for start in range(0, rows, BLOCK_ROWS):
                part = table.slice(start, BLOCK_ROWS)
                result[start : start + part.num_rows] = self._block(part)[: part.num_rows]
        wrong = np.flatnonzero(~np.isfinite(result.reshape(rows, -1)).all(axis=1)) if rows else ()
        if len(wrong):
            raise ScoreError(
                f"the model gave a score that is no finite number for {len(wrong):,} of {rows:,} rows",
                expected="a finite number for every row",
                fix="impute missing values in pipeline.py, or declare the feature required",
                positions=[int(position) for position in wrong[:5]],
            )
        return result

    def scores(self, table: pa.Table, *, probabilities: bool = False) -> pa.Table:
        """Score conformed rows.

        Parameters
        ----------
        table : pa.Table
            Conformed features (see :meth:`Features.conform`).
        probabilities : bool
            Add ``p0``, ``p1``, …: the probability of each label, in the order of the target's.

        Returns
        -------
        pa.Table
            ``score`` float64 and, unless it is a regression, ``label`` string. binary: the
            probability of the positive label, and the positive label where it is over one half.
            multiclass: the label of the largest probability (the first of equal ones), and that.
        """
        raw = self.raw(table)
        if self.target.kind == "regression":
            return pa.table({"score": pa.array(raw)})
        if self.target.kind == "binary":
            score = np.ascontiguousarray(raw[:, 1])
            best = (score > 0.5).astype(np.int32)
        else:
            best = raw.argmax(axis=1).astype(np.int32) if len(raw) else np.zeros(0, np.int32)
            score = raw[np.arange(len(raw)), best]
        labels = pa.DictionaryArray.from_arrays(pa.array(best), pa.array(self.target.labels, pa.string()))
        columns = {"score": pa.array(score, pa.float64()), "label": labels.cast(pa.string())}
        if probabilities:
            columns |= {f"p{number}": pa.array(raw[:, number]) for number in range(raw.shape[1])}
        return pa.table(columns)

    def _block(self, part: pa.Table) -> Array:
        frame = self.features.frame(part, BLOCK_ROWS)
        try:
            if self.target.kind == "regression":
                return np.asarray(self.estimator.predict(frame), dtype=np.float64).reshape(-1)
            given = np.asarray(self.estimator.predict_proba(frame), dtype=np.float64)
        except Exception as error:
            raise ScoreError(
                f"the model's pipeline failed: {type(error).__name__}: {error}",
                expected="a score for rows like those of training",
                fix="look at the feature it names; the suite in expectations.py can set such rows aside",
            ) from error
        if self.target.order:
            return np.ascontiguousarray(given[:, self.target.order])
        if list(self.estimator.classes_) == list(range(len(self.target.labels))):
            return given
        # A fold may lack a class: its probability is 0.
        every = np.zeros((len(given), len(self.target.labels)))
        every[:, np.asarray(self.estimator.classes_, dtype=np.intp)] = given
        return every
