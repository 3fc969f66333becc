"""How good a fitted model is: metrics on rows it has not seen, and what each feature adds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from rescore.model.runtime.frames import Array
from rescore.model.runtime.scoring import BLOCK_ROWS, Scorer
from rescore.performance import point_metrics

__all__ = ["folds", "measured", "permutation_importance"]

#: How often each feature is shuffled at most. All its shuffles are predicted in one block, so few
#: unseen rows are shuffled often and thousands, which average chance by themselves, once.
MAX_SHUFFLES = 5
#: Rows that are predicted at once, in blocks. A block is padded to its full size whatever is in it, so of
#: copies that are joined only the last block is padded, not one of each feature.
_BLOCKS_TOGETHER = 4
#: Blocks that all features together are given at most. A feature of very many is measured on fewer rows, so
#: that no importance takes hours; up to this many features each has a block of its own.
MAX_BLOCKS = 256


def folds(starts: Array, count: int) -> list[tuple[int, int]]:
    """Cut rows ordered by interval into contiguous blocks of whole intervals.

    Parameters
    ----------
    starts : ndarray, shape (n_rows,)
        The interval each row belongs to, ascending.
    count : int
        How many blocks; fewer if there are fewer intervals, rows if there is only one.

    Returns
    -------
    list of tuple of int
        First row and the one after the last, of each block, in order.
    """
    edges = np.flatnonzero(np.r_[True, starts[1:] != starts[:-1]])
    if len(edges) == 1:
        edges = np.arange(len(starts))
    count = min(count, len(edges))
    chosen = [int(edges[i * len(edges) // count]) for i in range(count)]
    return list(zip(chosen, [*chosen[1:], len(starts)], strict=True))


def measured(scorer: Scorer, table: pa.Table, truth: Array) -> dict[str, float | None]:
    """Metrics of a fit on rows that it has not seen, whose ``truth`` has shape (n_rows,).

    See :func:`rescore.performance.point_metrics`.
    """
    predictions = scorer.predictions(table)
    return point_metrics(scorer.target.kind, truth, predictions.raw, predictions.named)


def permutation_importance(scorer: Scorer, table: pa.Table, truth: Array, seed: int) -> dict[str, float]:
    """How much worse the model gets when one feature is shuffled between rows.

    Breiman, "Random forests", 2001, on at most one block of evenly spaced unseen rows, with more than
    :data:`MAX_BLOCKS` features a part of one. Shuffled copies of as many features as fit into a few blocks
    are predicted together, so that few rows need few predictions: a row's score does not depend on the rows
    beside it. ``truth`` has shape (n_rows,).

    Returns
    -------
    dict
        Feature to the mean loss over its shuffles: of AUC for binary targets, of log loss (nats)
        for multiclass, of RMSE (the target's unit) for regression. About 0 for a feature the model
        does not use; below 0 by chance.
    """
    names = scorer.features.names
    most = BLOCK_ROWS // -(-len(names) // MAX_BLOCKS)  # rows of a feature, all its shuffles together
    if table.num_rows > most:
        picked = np.linspace(0, table.num_rows - 1, most).astype(np.int64)
        table, truth = table.take(pa.array(picked)), truth[picked]
    rows = table.num_rows
    shuffles = max(1, min(MAX_SHUFFLES, most // rows))
    base = _loss(scorer.target.kind, truth, scorer.raw(table))
    importance = {}
    together = max(1, _BLOCKS_TOGETHER * BLOCK_ROWS // (rows * shuffles))  # features
    for first in range(0, len(names), together):
        chosen = range(first, min(first + together, len(names)))
        changed = [copy for position in chosen for copy in _shuffled(table, position, shuffles, seed)]
        raws = np.split(scorer.raw(pa.concat_tables(changed)), len(changed))
        losses = [_loss(scorer.target.kind, truth, raw) - base for raw in raws]
        for number, position in enumerate(chosen):
            importance[names[position]] = float(np.mean(losses[number * shuffles : (number + 1) * shuffles]))
    return importance


def _shuffled(table: pa.Table, position: int, shuffles: int, seed: int) -> list[pa.Table]:
    """Copies of the rows with one column shuffled, another order in each."""
    random = np.random.default_rng([seed, position])
    name, column = table.column_names[position], table.column(position)
    orders = [pa.array(random.permutation(table.num_rows)) for _ in range(shuffles)]
    return [table.set_column(position, name, column.take(order)) for order in orders]


def _loss(kind: str, truth: Array, raw: Array) -> float:
    measured: dict[str, Any] = point_metrics(kind, truth, raw)
    if kind == "binary" and measured["auc"] is not None:
        return -float(measured["auc"])
    return float(measured["rmse" if kind == "regression" else "log_loss"])
