"""What a comparison says of labels: those that `predict` names, wherever its threshold lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rescore.comparison import movement


@dataclass(frozen=True)
class Said:
    """What a package says of rows."""

    raw: npt.NDArray[np.float64]
    named: npt.NDArray[np.int64] | None


def binary(score: list[float], threshold: float) -> Said:
    """A binary model that names the positive class above ``threshold``."""
    positive = np.array(score)
    return Said(np.column_stack([1 - positive, positive]), (positive > threshold).astype(np.int64))


def test_labels_move_where_predict_names_another_one():
    score = [0.1, 0.3, 0.4, 0.6]
    tuned = movement("binary", {"champion": binary(score, 0.2), "challenger": binary(score, 0.5)})
    assert (tuned.label_changed, tuned.largest) == (0.5, 0.0)
    below = [0.1, 0.45, 0.4, 0.6]
    same = movement("binary", {"champion": binary(score, 0.2), "challenger": binary(below, 0.2)})
    assert same.label_changed == 0.0


def test_a_score_of_many_labels_is_that_of_the_label_that_the_champion_names():
    raw = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
    # A class weight lets the champion name the second most probable label.
    old = Said(raw, np.array([1, 2]))
    new = Said(raw + np.array([0.1, -0.1, 0.0]), np.array([0, 2]))
    moved = movement("multiclass", {"champion": old, "challenger": new})
    assert moved.label_changed == 0.5
    assert [round(moved.mean, 12), round(moved.largest, 12)] == [-0.05, 0.1]


def test_a_regression_names_no_label():
    moved = movement(
        "regression", {side: Said(np.array([1.0, 2.0]), None) for side in ("champion", "challenger")}
    )
    assert moved.label_changed is None
    assert movement("regression", {}, runs=2).to_dict() == {"rows": 0, "runs": 2, "left_out": []}
