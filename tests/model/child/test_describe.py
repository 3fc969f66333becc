"""Searches, ensembles and what is dropped inside them, in the words of the manifest."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rescore.model.child.describe import describe, selection

NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def rows(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(200, 3)), columns=NAMES)
    return frame, (frame["a"] + random.normal(size=200) > 0).to_numpy().astype(int)


def dropping() -> Any:
    """Takes a and b, leaves c out; its selector keeps a."""
    columns = make_column_transformer((StandardScaler(), ["a", "b"]), verbose_feature_names_out=False)
    return make_pipeline(columns, SelectKBest(k=1), LogisticRegression())


def test_a_search_by_several_metrics(rows: Any) -> None:
    search = GridSearchCV(
        LogisticRegression(), {"C": [0.1, 1.0]}, scoring=["roc_auc", "f1"], refit="roc_auc", cv=2
    ).fit(*rows)
    found = describe(search)["search"]
    assert found["best_score"] == search.best_score_
    assert {*found["candidates"][0]} == {"parameters", "mean_test_roc_auc", "mean_test_f1"}
    assert found["candidates"][1]["mean_test_f1"] == search.cv_results_["mean_test_f1"][1]


def test_a_search_whose_best_is_chosen_by_a_function(rows: Any) -> None:
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, refit=lambda results: 1, cv=2).fit(*rows)
    found = describe(search)["search"]
    assert (found["best"], found["best_score"]) == ({"C": 1.0}, None)
    assert found["candidates"][0]["mean_test_score"] == search.cv_results_["mean_test_score"][0]


def test_what_a_search_drew_from_is_named_as_it_was_written() -> None:
    drawing = {"max_depth": stats.randint(1, high=6), "ccp_alpha": stats.uniform(0, 0.01)}
    search = RandomizedSearchCV(DecisionTreeClassifier(), drawing)
    assert describe(search)["parameters"]["param_distributions"] == {
        "ccp_alpha": "uniform(0, 0.01)",
        "max_depth": "randint(1, high=6)",
    }


@pytest.mark.filterwarnings("ignore")
def test_a_candidate_that_cant_be_fitted_has_no_score(rows: Any) -> None:
    search = GridSearchCV(LogisticRegression(), {"C": [-1.0, 1.0]}, cv=2).fit(*rows)
    found = describe(search)
    assert [one["mean_test_score"] is None for one in found["search"]["candidates"]] == [True, False]
    json.dumps(found, allow_nan=False)


def test_members_are_the_ensembles_own(rows: Any) -> None:
    forests = VotingClassifier(
        [(name, RandomForestClassifier(10, random_state=0)) for name in "xy"], voting="soft"
    )
    assert describe(forests.fit(*rows))["members"] == {"count": 2, "types": ["RandomForestClassifier"]}
    stack = StackingClassifier([("x", dropping()), ("y", dropping())], LogisticRegression(), cv=2)
    assert describe(stack.fit(*rows))["members"] == {"count": 2, "types": ["Pipeline"]}
    forest = RandomForestClassifier(10, random_state=0).fit(*rows)
    assert describe(forest)["members"] == {"count": 10, "types": ["DecisionTreeClassifier"]}


@pytest.mark.parametrize(
    "around",
    [
        lambda inner: inner,
        lambda inner: GridSearchCV(inner, {"logisticregression__C": [1.0]}, cv=2),
        lambda inner: CalibratedClassifierCV(inner, cv=2),
        lambda inner: CalibratedClassifierCV(inner, ensemble=False, cv=2),
        FixedThresholdClassifier,
        lambda inner: VotingClassifier([("one", inner)], voting="soft"),
        lambda inner: make_pipeline(GridSearchCV(inner, {"logisticregression__C": [1.0]}, cv=2)),
    ],
    ids=["bare", "search", "calibrated", "calibrated once", "threshold", "voting", "search in a pipeline"],
)
def test_columns_that_are_dropped_inside_are_named(rows: Any, around: Any) -> None:
    found = selection(around(dropping()).fit(*rows), NAMES)
    assert (found["used"], found["unused"]) == (["a", "b"], ["c"])
    assert found["selectors"][0] == {"step": "selectkbest", "kept": ["a"], "dropped": ["b"]}


def test_a_feature_that_one_part_uses_is_used(rows: Any) -> None:
    only_c = make_pipeline(make_column_transformer((StandardScaler(), ["c"])), LogisticRegression())
    both = VotingClassifier([("one", dropping()), ("two", only_c)], voting="soft").fit(*rows)
    assert selection(both, NAMES)["unused"] == []
