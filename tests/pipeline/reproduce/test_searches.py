"""Searches that draw, halving ones and stacking: their scores are proved, and they are trained again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rescore import pipeline
from rescore.interval import Interval
from tests.shared.harbour import MODEL, TRAINED_AS_OF

COLUMNS = """
from scipy.stats import loguniform, randint
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor, StackingRegressor
from sklearn.experimental import enable_halving_search_cv
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import HalvingRandomSearchCV, KFold, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeRegressor

def columns(last):
    return make_pipeline(make_column_transformer(
        (SimpleImputer(), ["pressure", "moon"]),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["wind"])), last)

def build(hyperparameters, seed):
"""
SEARCHES = {
    "a search that draws from distributions": """
    return RandomizedSearchCV(
        columns(RandomForestRegressor(n_estimators=5, min_samples_leaf=5, random_state=seed)),
        {"randomforestregressor__max_depth": randint(2, 6),
         "randomforestregressor__min_impurity_decrease": loguniform(1e-6, 1e-2)},
        n_iter=3, cv=2, random_state=seed)
""",
    "a halving search": """
    return HalvingRandomSearchCV(
        columns(DecisionTreeRegressor(min_samples_leaf=5, random_state=seed)),
        {"decisiontreeregressor__max_depth": randint(2, 9)}, cv=2, random_state=seed,
        n_candidates=6, min_resources=200)
""",
    "stacking": """
    return StackingRegressor(
        [("ridge", columns(Ridge(random_state=seed))),
         ("tree", columns(DecisionTreeRegressor(max_depth=3, random_state=seed)))],
        final_estimator=LinearRegression(), cv=KFold(3, shuffle=True, random_state=seed))
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
def test_its_scores_and_its_package_are_proved(untrained, name):
    ctx = untrained
    (ctx.model(MODEL).path / "pipeline.py").write_text(COLUMNS + SEARCHES[name])
    package = pipeline.train_model(ctx, MODEL, as_of=TRAINED_AS_OF, who="trainer")
    pipeline.pin(ctx, MODEL, package.version, who="tester", why="first")
    done = pipeline.score_interval(ctx, MODEL, Interval(TRAINED_AS_OF, TRAINED_AS_OF + timedelta(days=1)))
    assert pipeline.reproduce_run(ctx, done.run_id).verdict == "identical"
    again = pipeline.retrain_package(ctx, MODEL, package.version)
    assert (again.verdict, again.again) == ("identical", package.sha256)
    assert pipeline.reproduce_package(ctx, MODEL, package.version).proved
