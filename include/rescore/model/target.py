"""The target column as numbers an estimator is fitted to, and the text of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.errors import TrainingError
from rescore.model.runtime.frames import Array
from rescore.model.runtime.scoring import Target
from rescore.performance import label_texts, positive_text
from rescore.shown_text import number_of

__all__ = ["encode_target", "truth_for"]


def encode_target(name: str, kind: str, positive: Any, column: pa.ChunkedArray) -> tuple[Array, Target]:
    """Encode the target.

    Parameters
    ----------
    name, kind, positive
        As ``model.yaml`` declares them; ``positive`` is the value whose probability is the score.
    column : pa.ChunkedArray
        Booleans, integers, floats or strings without NULL.

    Returns
    -------
    ndarray
        Shape (n_rows,): float64 for regression, else int64 positions in the target's labels.
    Target
        The kind and, unless it is a regression, the labels: negative then positive, or in order (numbers by
        value, texts as texts).

    Raises
    ------
    TrainingError
        NULL or infinite values, a type that is no target, one class only, more than two classes of
        a binary target, or a positive value that never occurs.
    """
    where = f"target {name!r} of the training snapshot, {number_of(len(column), 'row')}"
    if column.null_count:
        raise TrainingError(
            f"{number_of(column.null_count, 'row has', 'rows have')} no {name}",
            where=where,
            expected="labelled rows only",
            fix="leave rows without a known label out of labels.sql",
        )
    if kind == "regression":
        return _numbers(name, column, where), Target(kind)
    texts = pa.chunked_array([_texts(column, where)])
    found = sorted(pc.unique(texts).to_pylist(), key=None if _is_text(column.type) else _in_order)
    if len(found) < 2:
        raise TrainingError(
            f"{name} has only one value: {', '.join(found) or 'none at all'}",
            where=where,
            expected="at least two classes",
            fix="take a longer training window, or look at labels.sql",
        )
    if kind == "binary":
        wanted = positive_text(positive, column.type)
        if len(found) != 2 or wanted not in found:
            raise TrainingError(
                f"{name} has the values {', '.join(found[:6])}{' …' if len(found) > 6 else ''}",
                where=where,
                expected=f"two values, one of them the positive one, {wanted}",
                fix="set target.positive in model.yaml, or declare target.kind: multiclass",
                data={"values": found[:100]},
            )
        found = [one for one in found if one != wanted] + [wanted]
    codes = pc.index_in(texts, value_set=pa.array(found))
    return codes.to_numpy().astype(np.int64), Target(kind, tuple(found))


def truth_for(name: str, kind: str, labels: Sequence[str], column: pa.ChunkedArray) -> Array:
    """Encode labels of other rows as a package's own training did.

    Parameters
    ----------
    name, kind, labels
        As the package's manifest has them; no labels of a regression.
    column : pa.ChunkedArray
        The label of each row.

    Returns
    -------
    ndarray
        Shape (n_rows,): float64 for regression, else int64 positions in the package's labels.

    Raises
    ------
    TrainingError
        A label that the package has never seen, or one that is no target.
    """
    where = f"target {name!r}, {number_of(len(column), 'row')}"
    if kind == "regression":
        return _numbers(name, column, where)
    codes = pc.index_in(_texts(column, where), value_set=pa.array(labels, pa.string()))
    unknown = pc.unique(_texts(column, where).filter(pc.is_null(codes))).to_pylist()
    if unknown:
        raise TrainingError(
            f"{name} is {unknown[0]} in some rows, which training never saw",
            where=where,
            expected=f"one of: {', '.join(labels)}",
            fix="train the package anew on rows that hold that label",
            examples=[str(one) for one in unknown],
        )
    truth: Array = codes.to_numpy(zero_copy_only=False).astype(np.int64)
    return truth


def _numbers(name: str, column: pa.ChunkedArray, where: str) -> Array:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise TrainingError(
            f"{name} is {kind}", where=where, expected="a number", fix=f"cast {name} in labels.sql"
        )
    try:
        values: Array = column.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        raise TrainingError(
            f"{name} has whole numbers beyond 2**53, which no float64 holds exactly",
            where=where,
            expected="numbers that an estimator can be fitted to as they are",
            fix=f"cast {name} to double precision in labels.sql if the nearest number will do",
        ) from None
    if not np.isfinite(values).all():
        raise TrainingError(
            f"{name} is NaN or infinite in {number_of(int((~np.isfinite(values)).sum()), 'row')}",
            where=where,
            expected="finite numbers",
            fix="leave such rows out of labels.sql",
        )
    return values


def _is_text(kind: pa.DataType) -> bool:
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(values) or pa.types.is_large_string(values))


def _in_order(label: str) -> int:
    """Numbers by value, as scikit-learn sorts them, and not as texts (1, 10, 2); false before true."""
    return int(label) if label not in ("false", "true") else label == "true"


def _texts(column: pa.ChunkedArray, where: str) -> pa.Array:
    texts = label_texts(column)
    if texts is None and pa.types.is_floating(column.type) and (unknown := pc.sum(pc.is_nan(column)).as_py()):
        raise TrainingError(
            f"the target is NaN in {number_of(unknown, 'row')}",
            where=where,
            expected="a class for each row",
            fix="leave such rows out of labels.sql",
        )
    if texts is None:
        raise TrainingError(
            f"the target is {column.type}",
            where=where,
            expected="booleans, integers or text for classes",
            fix="cast it in labels.sql, or declare target.kind: regression",
        )
    return texts
