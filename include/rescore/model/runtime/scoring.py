"""A fitted estimator as a function of rows, whose bits do not depend on the rows beside them.

The estimator only ever sees frames of exactly :data:`BLOCK_ROWS` rows; the last is padded by
repeating one of its rows. Matrix kernels treat the rows at the end of an odd-sized matrix otherwise
than those in its middle, which changed up to half of a linear model's bits; with one shape for
every call there is no such end. A row scored alone, in any chunk or in any subset gives the same
bits, as long as the pipeline itself treats rows independently (training checks that).

A row's label is what the estimator's ``predict`` says, which may have a threshold of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from .environment import one_thread
from .errors import ScoreError
from .frames import Array, Features

__all__ = ["BLOCK_ROWS", "Predictions", "Scorer", "Target"]

#: Rows of every frame an estimator sees. 16,384 rows x 20 floats fit a processor's cache; smaller
#: blocks spend their time in scikit-learn's checks (4,096: twice the time of a linear model).
BLOCK_ROWS = 16_384
#: Classifiers of scikit-learn whose ``predict`` names the most probable class, but for the last bits of
#: two that are equally probable. Of all others, and of rows with a tie, ``predict`` itself is asked.
_MOST_PROBABLE = frozenset(
    {
        "CalibratedClassifierCV",
        "DecisionTreeClassifier",
        "ExtraTreeClassifier",
        "ExtraTreesClassifier",
        "GradientBoostingClassifier",
        "HistGradientBoostingClassifier",
        "LogisticRegression",
        "LogisticRegressionCV",
        "MLPClassifier",
        "RandomForestClassifier",
    }
)
#: Estimators of scikit-learn that leave both ``predict`` and ``predict_proba`` to one they hold.
_DELEGATES = {
    "GridSearchCV": "best_estimator_",
    "HalvingGridSearchCV": "best_estimator_",
    "HalvingRandomSearchCV": "best_estimator_",
    "Pipeline": "steps",
    "RandomizedSearchCV": "best_estimator_",
}
#: Two probabilities this near each other are a tie: rounding may have put them in their order.
_TIE = 1e-6


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
class Predictions:
    """What an estimator says of rows.

    Attributes
    ----------
    raw : ndarray of float64
        Regression: shape (n_rows,). Else the probability of each label, shape (n_rows, n_labels).
    named : ndarray of int32, shape (n_rows,), or None
        The position of each row's label; None for regression.
    """

    raw: Array
    named: Array | None

    def same_bits(self, other: Predictions) -> bool:
        """Whether both say the same of the same rows, to the last bit."""
        labels = [b"" if one.named is None else one.named.tobytes() for one in (self, other)]
        return self.raw.tobytes() == other.raw.tobytes() and labels[0] == labels[1]

    def take(self, rows: Array) -> Predictions:
        """Those of some rows, by position or mask."""
        return Predictions(self.raw[rows], None if self.named is None else self.named[rows])


@dataclass(frozen=True)
class Scorer:
    """An estimator with the features it was fitted on and the target it was fitted to."""

    estimator: Any
    features: Features
    target: Target

    def predictions(self, table: pa.Table) -> Predictions:
        """Predict in blocks.

        Parameters
        ----------
        table : pa.Table
            Conformed features (see :meth:`Features.conform`).

        Raises
        ------
        ScoreError
            The estimator failed, gave something that is no number, or named a class that it does not know.
        """
        rows = table.num_rows
        regression = self.target.kind == "regression"
        raw = np.zeros(rows if regression else (rows, len(self.target.labels)), dtype=np.float64)
        named = None if regression else np.zeros(rows, dtype=np.int32)
        with one_thread():
            for start in range(0, rows, BLOCK_ROWS):
                part = table.slice(start, BLOCK_ROWS)
                stop = start + part.num_rows
                raw[start:stop], labels = self._block(part)
                if named is not None:
                    named[start:stop] = labels
        wrong = np.flatnonzero(~np.isfinite(raw.reshape(rows, -1)).all(axis=1)) if rows else ()
        if len(wrong):
            raise ScoreError(
                f"the model gave a score that is no finite number for {len(wrong):,} of {rows:,} rows",
                expected="a finite number for every row",
                fix="impute missing values in pipeline.py, or declare the feature required",
                positions=[int(position) for position in wrong[:5]],
            )
        return Predictions(raw, named)

    def raw(self, table: pa.Table) -> Array:
        """The numbers of :meth:`predictions`."""
        return self.predictions(table).raw

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
            ``score`` float64 and, unless it is a regression, ``label`` string: what the estimator's
            ``predict`` names. The score is the probability, binary: of the positive label;
            multiclass: of the label.
        """
        predictions = self.predictions(table)
        raw, named = predictions.raw, predictions.named
        if named is None:
            return pa.table({"score": pa.array(raw)})
        binary = self.target.kind == "binary"
        score = np.ascontiguousarray(raw[:, 1]) if binary else raw[np.arange(len(raw)), named]
        labels = pa.DictionaryArray.from_arrays(pa.array(named), pa.array(self.target.labels, pa.string()))
        columns = {"score": pa.array(score, pa.float64()), "label": labels.cast(pa.string())}
        if probabilities:
            columns |= {f"p{number}": pa.array(raw[:, number]) for number in range(raw.shape[1])}
        return pa.table(columns)

    def _block(self, part: pa.Table) -> tuple[Array, Array | None]:
        """The numbers and the labels' positions of at most one block of rows."""
        frame, rows = self.features.frame(part, BLOCK_ROWS), part.num_rows
        try:
            if self.target.kind == "regression":
                return _one_each(np.asarray(self.estimator.predict(frame), np.float64), "number")[:rows], None
            raw = np.asarray(self.estimator.predict_proba(frame), np.float64)
            _refuse_other_rows(raw, "predict_proba")
            raw = self._in_order_of_labels(raw)[:rows]
            if self._names_the_most_probable and not _tied(raw):
                return raw, raw.argmax(axis=1)
            return raw, self._positions(_one_each(np.asarray(self.estimator.predict(frame)), "class")[:rows])
        except ScoreError:
            raise
        except Exception as error:
            raise ScoreError(
                f"the model's pipeline failed: {type(error).__name__}: {error}",
                expected="a score for rows like those of training",
                fix="look at the feature it names; the suite in expectations.py can set such rows aside",
            ) from error

    @cached_property
    def _names_the_most_probable(self) -> bool:
        """Whether ``predict`` is known to name the most probable class: by the estimator that decides."""
        decides = self.estimator
        while type(decides).__module__.startswith("sklearn.") and type(decides).__name__ in _DELEGATES:
            decides = getattr(decides, _DELEGATES[type(decides).__name__])
            decides = decides[-1][1] if isinstance(decides, list) else decides
        return type(decides).__module__.startswith("sklearn.") and type(decides).__name__ in _MOST_PROBABLE

    @cached_property
    def _label_of_class(self) -> dict[Any, int]:
        """The position of the label of each class that the estimator knows."""
        classes = np.asarray(self.estimator.classes_).tolist()
        if self.target.order:
            return {classes[column]: label for label, column in enumerate(self.target.order)}
        return {one: int(one) for one in classes}

    def _in_order_of_labels(self, given: Array) -> Array:
        labels = len(self.target.labels)
        if self.target.order:
            return np.ascontiguousarray(given[:, self.target.order])
        columns = list(self._label_of_class.values())
        if columns == list(range(labels)):
            return given
        # A fold may lack a class: its probability is 0.
        every = np.zeros((len(given), labels))
        every[:, columns] = given
        return every

    def _positions(self, classes: Array) -> Array:
        values, inverse = np.unique(classes, return_inverse=True)
        unknown = [value for value in values.tolist() if value not in self._label_of_class]
        if unknown:
            raise ScoreError(
                f"the model's predict() named {unknown[0]!r}",
                expected=f"one of the classes it was fitted to: {', '.join(map(repr, self._label_of_class))}",
                fix="return one of classes_ from predict()",
            )
        positions = np.array([self._label_of_class[value] for value in values.tolist()], dtype=np.int32)
        named: Array = positions[inverse]
        return named


def _one_each(given: Array, what: str) -> Array:
    """What ``predict`` gave, as one number, or class, for each row."""
    _refuse_other_rows(given, "predict")
    if given.size != len(given):
        many = "numbers" if what == "number" else "classes"
        raise ScoreError(
            f"the model's predict() gives {given.size // len(given)} {many} for each row",
            expected=f"one {what}: a model has one target",
            fix="fit one model for each target",
        )
    return given.reshape(-1)


def _refuse_other_rows(given: Array, method: str) -> None:
    """One value alone would be every row's."""
    found = len(given) if given.ndim else 1
    if found != BLOCK_ROWS:
        raise ScoreError(
            f"the model's {method}() gives {found:,} values for a frame of {BLOCK_ROWS:,} rows",
            expected="one for each row, in their order",
            fix="let every step keep the rows that it is given",
        )


def _tied(raw: Array) -> bool:
    """Whether the two largest probabilities of any row are so near that rounding may order them."""
    if raw.shape[1] < 2:
        return True
    two = np.partition(raw, -2, axis=1)[:, -2:]
    return bool((two[:, 1] - two[:, 0] < _TIE).any())
