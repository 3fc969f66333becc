"""Pipelines of many kinds; each must train to the same bytes in any fresh process."""

from __future__ import annotations

_COLUMNS = """
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

def columns():
    numbers = make_column_selector(dtype_include="number")
    levels = make_column_selector(dtype_include="category")
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), levels),
    )
"""

#: A transformer of the model's own, which uses a shared feature module and a module beside it.
OWN = """
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from .features import ratios
from .levels import known_levels

class Encode(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.levels_ = known_levels(X["carrier"])
        self.seen_ = set(self.levels_)
        return self

    def transform(self, X):
        encoded = X[["wind", "stops"]].fillna(0.0)
        encoded["ratio"] = ratios.per_hour(X["distance"], X["wind"])
        for level in self.levels_:
            encoded[level] = (X["carrier"] == level).astype(float)
        return encoded

def build(hyperparameters, seed):
    return make_pipeline(Encode(), LogisticRegression(random_state=seed, max_iter=500))
"""
SHARED = {"ratios": "def per_hour(distance, wind):\n    return (distance / (wind + 1.0)).fillna(0.0)\n"}
BESIDE = {"levels.py": "def known_levels(column):\n    return sorted(column.dropna().unique())\n"}

ZOO = {
    "linear": _COLUMNS
    + """
from sklearn.linear_model import LogisticRegression

def build(hyperparameters, seed):
    return make_pipeline(columns(), LogisticRegression(random_state=seed))
""",
    "boosted_early": """
from sklearn.ensemble import HistGradientBoostingClassifier

def build(hyperparameters, seed):
    return HistGradientBoostingClassifier(max_iter=30, early_stopping=True, random_state=seed)
""",
    "forest": _COLUMNS
    + """
from sklearn.ensemble import RandomForestClassifier

def build(hyperparameters, seed):
    return make_pipeline(columns(), RandomForestClassifier(8, random_state=seed, n_jobs=2))
""",
    "gradient": _COLUMNS
    + """
from sklearn.ensemble import GradientBoostingClassifier

def build(hyperparameters, seed):
    return make_pipeline(
        columns(), GradientBoostingClassifier(n_estimators=8, n_iter_no_change=3, random_state=seed)
    )
""",
    "stacked": _COLUMNS
    + """
from sklearn.ensemble import ExtraTreesClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression

def build(hyperparameters, seed):
    parts = [("trees", ExtraTreesClassifier(4, random_state=seed)), ("line", LogisticRegression())]
    parts[1][1].set_params(random_state=seed)
    return make_pipeline(
        columns(), StackingClassifier(parts, LogisticRegression(random_state=seed), cv=2, n_jobs=2)
    )
""",
    "neural_early": _COLUMNS
    + """
from sklearn.neural_network import MLPClassifier

def build(hyperparameters, seed):
    return make_pipeline(columns(), MLPClassifier((9,), max_iter=10, early_stopping=True, random_state=seed))
""",
    "searched": _COLUMNS
    + """
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV

def build(hyperparameters, seed):
    model = SGDClassifier(loss="log_loss", random_state=seed)
    return make_pipeline(columns(), GridSearchCV(model, {"alpha": [1e-4, 1e-2]}, cv=2))
""",
    "drawn": _COLUMNS
    + """
from scipy.stats import randint, uniform
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, RandomizedSearchCV
from sklearn.tree import DecisionTreeClassifier

def build(hyperparameters, seed):
    tree = DecisionTreeClassifier(random_state=seed)
    drawing = {"max_depth": randint(1, 6), "ccp_alpha": uniform(0, 0.01)}
    search = RandomizedSearchCV(tree, drawing, n_iter=3, random_state=seed, cv=KFold(3))
    line = LogisticRegression(random_state=seed)
    return make_pipeline(columns(), StackingClassifier([("one", search), ("two", line)], line, cv=KFold(3)))
""",
    "own": OWN,
}
