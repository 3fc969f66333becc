"""An adopted model is given every level that it was fitted to, also those that the snapshot lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder
from xgboost import XGBClassifier

from rescore.model.child.known_levels import levels_like_missing, with_known_levels
from rescore.model.runtime.frames import Features
from rescore.model.runtime.scoring import Scorer, Target

KINDS = {"letter": "categorical", "size": "numeric", "other": "categorical"}
ROWS = 400


def frame(seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    letters, others = random.choice(list("ABCD"), ROWS), random.choice(["x", "y"], ROWS)
    return pd.DataFrame(
        {
            "letter": pd.Categorical(letters),
            "size": random.normal(size=ROWS),
            "other": pd.Categorical(others),
        }
    )


def columns(*steps: Any) -> Any:
    encoded = make_pipeline(*steps) if len(steps) > 1 else steps[0]
    return make_pipeline(
        make_column_transformer((encoded, ["other", "letter"]), ("passthrough", ["size"])),
        LogisticRegression(),
    )


MODELS: dict[str, Callable[[], Any]] = {
    "one-hot": lambda: columns(OneHotEncoder(handle_unknown="ignore")),
    "one-hot behind an imputer": lambda: columns(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="error")
    ),
    "ordinal": lambda: columns(OrdinalEncoder()),
    "target": lambda: columns(TargetEncoder()),
    "histograms": lambda: HistGradientBoostingClassifier(max_iter=10, categorical_features="from_dtype"),
    "LightGBM": lambda: LGBMClassifier(n_estimators=10, verbosity=-1, n_jobs=1),
    "XGBoost": lambda: XGBClassifier(n_estimators=10, enable_categorical=True, n_jobs=1),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_level_that_the_snapshot_lacks_scores_as_the_model_scores_it(name: str, seed: int) -> None:
    fitted_on = frame(seed)
    truth = (fitted_on["letter"] == "D").to_numpy() | (np.random.default_rng(seed).random(ROWS) < 0.1)
    estimator = MODELS[name]().fit(fitted_on, truth.astype(int))
    snapshot = pa.Table.from_pandas(fitted_on[fitted_on["letter"] != "D"], preserve_index=False)
    learned = Features.learn(KINDS, snapshot)
    assert learned.levels["letter"] == ("A", "B", "C")
    features = with_known_levels(learned, estimator)
    assert features.levels == {"letter": ("A", "B", "C", "D"), "other": ("x", "y")}
    table = features.conform(pa.Table.from_pandas(fitted_on, preserve_index=False))
    scores = Scorer(estimator, features, Target("binary", ("false", "true"), order=(0, 1))).scores(table)
    np.testing.assert_allclose(scores["score"], estimator.predict_proba(fitted_on)[:, 1], rtol=1e-12)


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        (OneHotEncoder(handle_unknown="ignore"), "OneHotEncoder"),
        (TargetEncoder(), "TargetEncoder"),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), None),
    ],
)
def test_it_is_said_where_an_unseen_level_is_taken_for_a_missing_one(
    encoder: Any, said: str | None, seed: int
) -> None:
    table = pa.Table.from_pandas(frame(seed), preserve_index=False)
    letters = table["letter"].cast(pa.string()).to_pylist()
    missing = pa.array([None if number % 9 == 0 else one for number, one in enumerate(letters)])
    table = table.set_column(0, "letter", missing)
    features = Features.learn(KINDS, table)
    truth = np.random.default_rng(seed).integers(0, 2, ROWS)
    fitted = columns(encoder).fit(features.frame(features.conform(table)), truth)
    found = levels_like_missing(fitted, features)
    assert [one.partition(":")[0] for one in found] == (["letter"] if said else [])
    assert all(f"which {said} learned" in one for one in found)
