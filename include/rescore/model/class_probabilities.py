"""The probability of each class, in the columns that a model declares for consumers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

from rescore.errors import ModelError
from rescore.shown_text import number_of

__all__ = ["in_declared_columns", "refuse_unnamed_classes"]


def refuse_unnamed_classes(labels: Sequence[str], declared: Collection[str], where: str) -> None:
    """Refuse a model with a class whose probability would have no column.

    Parameters
    ----------
    labels : sequence of str
        The classes that the model knows.
    declared : collection of str
        Those of ``output.probabilities``.
    where : str
        For the error.

    Raises
    ------
    ModelError
        Names the classes that have no column.
    """
    unnamed = [label for label in labels if label not in declared]
    if unnamed:
        raise ModelError(
            f"output.probabilities has no column for {len(unnamed)} of the "
            f"{number_of(len(labels), 'class', 'classes')}",
            where=where,
            expected=f"classes among {', '.join(declared)}",
            examples=unnamed,
            fix="name every class; a model whose scores are published already needs a new name for it (_v2), "
            "as consumers read its columns",
            data={"unnamed": unnamed},
        )


def in_declared_columns(
    scores: pa.RecordBatch, labels: Sequence[str], declared: Mapping[str, str]
) -> pa.RecordBatch:
    """A runtime's ``score``, ``label``, ``p0``, ``p1``, … under the names that a model declares.

    Parameters
    ----------
    scores : pyarrow.RecordBatch
        What the package's runtime gave.
    labels : sequence of str
        The classes that ``p0``, ``p1``, … are of.
    declared : mapping of str to str
        Class to column, in the order wanted. A class that is not among ``labels`` has probability 0.
    """
    given = {label: scores.column(f"p{number}") for number, label in enumerate(labels)}
    never = pa.repeat(pa.scalar(0.0), scores.num_rows)
    columns = [scores.column("score"), scores.column("label")]
    columns += [given.get(label, never) for label in declared]
    return pa.RecordBatch.from_arrays(columns, names=["score", "label", *declared.values()])
