"""Permutation importance: the same numbers as one feature at a time gives, in fewer predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from rescore.model.child.evaluate import MAX_BLOCKS, MAX_SHUFFLES, permutation_importance
from rescore.model.runtime.frames import Features
from rescore.model.runtime.scoring import BLOCK_ROWS, Predictions, Scorer, Target
from rescore.performance import point_metrics


class Counting(Scorer):
    """Counts the blocks that the estimator is shown."""

    blocks = 0

    def predictions(self, table: pa.Table) -> Predictions:
        Counting.blocks += -(-table.num_rows // BLOCK_ROWS)
        return super().predictions(table)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "blocks"), [(200, 1 + 3), (5_000, 1 + 40), (9_000, 1 + 5 * 4 + 3), (20_000, 1 + 40)]
)
def test_features_share_blocks_and_keep_their_values(rows: int, blocks: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    names = [f"f{number}" for number in range(40)]
    table = pa.table({name: random.normal(size=rows) for name in names})
    features = Features(dict.fromkeys(names, "numeric"))
    truth = (table["f0"].to_numpy() + 0.5 * table["f7"].to_numpy() > 0).astype(int)
    estimator = LogisticRegression().fit(features.frame(table), truth)
    scorer = Counting(estimator, features, Target("binary", ("no", "yes")))
    Counting.blocks = 0
    found = permutation_importance(scorer, table, truth, seed)
    assert Counting.blocks == blocks
    if rows > BLOCK_ROWS:
        picked = np.linspace(0, rows - 1, BLOCK_ROWS).astype(np.int64)
        table, truth = table.take(pa.array(picked)), truth[picked]
    for position in (0, 7, 39):
        assert found[names[position]] == one_at_a_time(scorer, table, truth, position, seed)


def one_at_a_time(scorer: Scorer, table: pa.Table, truth: np.ndarray, position: int, seed: int) -> float:
    random = np.random.default_rng([seed, position])
    base = -float(point_metrics("binary", truth, scorer.raw(table))["auc"] or 0)
    losses = []
    for _ in range(max(1, min(MAX_SHUFFLES, BLOCK_ROWS // table.num_rows))):
        order = pa.array(random.permutation(table.num_rows))
        name = table.column_names[position]
        changed = table.set_column(position, name, table.column(position).take(order))
        losses.append(-float(point_metrics("binary", truth, scorer.raw(changed))["auc"] or 0) - base)
    return float(np.mean(losses))


def test_a_regression_s_importance_is_in_the_targets_unit(seed: int) -> None:
    random = np.random.default_rng(seed)
    table = pa.table({"used": random.normal(size=300), "idle": random.normal(size=300)})
    features = Features(dict.fromkeys(table.column_names, "numeric"))
    truth = 100 * table["used"].to_numpy()
    estimator = LinearRegression().fit(features.frame(table), truth)
    found = permutation_importance(Scorer(estimator, features, Target("regression")), table, truth, seed)
    assert 100 < found["used"] < 200
    assert abs(found["idle"]) < 1e-6


class Cheap:
    """As fast as an estimator of very many features can be."""

    def predict(self, frame: pd.DataFrame) -> np.ndarray[Any, Any]:
        return np.asarray(frame.iloc[:, 0])


@pytest.mark.slow
def test_very_many_features_share_a_budget_of_blocks(seed: int) -> None:
    rows, width = 3_300, 600  # five shuffles of these rows fill a block of their own
    random = np.random.default_rng(seed)
    table = pa.table({f"f{number}": random.normal(size=rows) for number in range(width)})
    features = Features(dict.fromkeys(table.column_names, "numeric"))
    scorer = Counting(Cheap(), features, Target("regression"))
    Counting.blocks = 0
    found = permutation_importance(scorer, table, table["f0"].to_numpy(), seed)
    assert Counting.blocks <= MAX_BLOCKS + 1  # one for the rows as they are
    assert found["f0"] > 1
    assert {found[name] for name in table.column_names[1:]} == {0.0}
