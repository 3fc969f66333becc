"""A weight belongs to the class that it names, whatever position the class has."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rescore.errors import TrainingError
from rescore.model.child.class_weights import place_class_weights

TWELVE = tuple(str(number) for number in range(1, 13))


@pytest.mark.parametrize(
    ("labels", "given", "placed"),
    [
        (TWELVE, {2: 50, 12: 3}, {1: 50, 11: 3}),
        (("1", "0"), {0: 10, 1: 1}, {1: 10, 0: 1}),  # the positive class is 0
        (("no", "yes"), {"no": 1, "yes": 5}, {0: 1, 1: 5}),
        (("false", "true"), {False: 1, True: 5}, {0: 1, 1: 5}),
        (("true", "false"), {0: 1, 1: 5}, {1: 1, 0: 5}),
        (("1", "2"), {1.0: 2}, {0: 2}),
        (("no", "yes"), "balanced", "balanced"),
        (("no", "yes"), None, None),
    ],
)
def test_labels_become_positions(labels: tuple[str, ...], given: Any, placed: Any) -> None:
    model = LogisticRegression(class_weight=given)
    pipeline = make_pipeline(StandardScaler(), BaggingClassifier(model, random_state=0))
    place_class_weights(pipeline, labels)
    assert pipeline[-1].estimator.class_weight == placed


def test_the_candidates_of_a_search_too() -> None:
    weights = ["balanced", {"yes": 3, "no": 1}]
    search = GridSearchCV(LogisticRegression(), {"class_weight": weights, "C": [1, 2]})
    place_class_weights(search, ("no", "yes"))
    assert search.param_grid == {"class_weight": ["balanced", {1: 3, 0: 1}], "C": [1, 2]}
    assert weights[1] == {"yes": 3, "no": 1}


def test_a_class_that_is_none_is_named() -> None:
    with pytest.raises(TrainingError, match="weights a class 'maybe'") as caught:
        place_class_weights(LogisticRegression(class_weight={"maybe": 2}), ("no", "yes"))
    assert "no, yes" in str(caught.value)


def test_a_regression_has_no_classes() -> None:
    place_class_weights(LogisticRegression(class_weight={0: 1}), ())
