"""Pipelines of LightGBM, XGBoost and CatBoost for each kind of target, as a model folder declares them."""

from __future__ import annotations

KINDS = ("binary", "multiclass", "regression")
LIBRARIES = ("lightgbm", "xgboost", "catboost")

_LIGHTGBM = """
from lightgbm import {name}

def build(hyperparameters, seed):
    return {name}(n_estimators=25, subsample=0.7, subsample_freq=1, random_state=seed, verbosity=-1)
"""

_XGBOOST = """
from xgboost import {name}

def build(hyperparameters, seed):
    return {name}(n_estimators=25, subsample=0.7, enable_categorical=True, random_state=seed)
"""

#: CatBoost takes categories as text, and no missing one.
_CATBOOST = """
from catboost import {name}
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

def texts(frame):
    levels = frame.select_dtypes("category")
    return frame.assign(**{{name: levels[name].astype(object).fillna("missing") for name in levels}})

def build(hyperparameters, seed):
    model = {name}(iterations=25, cat_features=["carrier"], allow_writing_files=False, random_state=seed)
    return make_pipeline(FunctionTransformer(texts), model)
"""

_NAMES = {
    "lightgbm": (_LIGHTGBM, "LGBMClassifier", "LGBMRegressor"),
    "xgboost": (_XGBOOST, "XGBClassifier", "XGBRegressor"),
    "catboost": (_CATBOOST, "CatBoostClassifier", "CatBoostRegressor"),
}


def pipeline(library: str, kind: str) -> str:
    """The text of pipeline.py."""
    text, classifier, regressor = _NAMES[library]
    return text.format(name=regressor if kind == "regression" else classifier)
