"""XGBoost's own files: what stopped early predicts by the rounds that its file says, or is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xgboost

from rescore.errors import ModelError
from rescore.model.child.native_models import load_native

SETTINGS = {"objective": "binary:logistic", "max_depth": 6, "learning_rate": 1.0, "nthread": 1, "seed": 1}


def rows(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.normal(size=(400, 3)), columns=["a", "b", "c"])
    return frame, (frame["a"] + 3 * draw.normal(size=400) > 0).astype(int).to_numpy()


@pytest.fixture
def stopped(seed: int) -> xgboost.Booster:
    frame, truth = rows(seed)
    fitted, judged = (xgboost.DMatrix(frame[part], truth[part]) for part in (slice(200), slice(200, 400)))
    booster = xgboost.train(
        SETTINGS, fitted, 50, evals=[(judged, "judged")], early_stopping_rounds=10, verbose_eval=False
    )
    assert booster.best_iteration + 1 < booster.num_boosted_rounds()
    return booster


def saved(booster: xgboost.Booster | xgboost.XGBClassifier, home: Path) -> Path:
    booster.save_model(home / "model.json")
    return home / "model.json"


def test_all_rounds_of_a_booster_that_stopped_early_are_refused(
    stopped: xgboost.Booster, tmp_path: Path, seed: int
) -> None:
    frame, _ = rows(seed)
    with pytest.raises(ModelError, match=r"stopped early: its best round is \d+ of \d+") as caught:
        load_native(saved(stopped, tmp_path), "XGBoost JSON", "binary")
    assert "save booster[: booster.best_iteration + 1]" in caught.value.fix
    best = stopped[: stopped.best_iteration + 1]
    loaded = load_native(saved(best, tmp_path), "XGBoost JSON", "binary")
    assert (loaded.predict_proba(frame)[:, 1] == best.predict(xgboost.DMatrix(frame))).all()
    stopped.set_attr(best_iteration=None)
    loaded = load_native(saved(stopped, tmp_path), "XGBoost JSON", "binary")
    assert (loaded.predict_proba(frame)[:, 1] == stopped.predict(xgboost.DMatrix(frame))).all()


def test_the_class_says_in_its_file_that_the_best_rounds_predict(tmp_path: Path, seed: int) -> None:
    frame, truth = rows(seed)
    estimator = xgboost.XGBClassifier(
        n_estimators=50, learning_rate=1.0, early_stopping_rounds=10, n_jobs=1, random_state=1
    )
    estimator.fit(frame[:200], truth[:200], eval_set=[(frame[200:], truth[200:])], verbose=False)
    assert estimator.best_iteration + 1 < estimator.get_booster().num_boosted_rounds()
    loaded = load_native(saved(estimator, tmp_path), "XGBoost JSON", "binary")
    assert (loaded.predict_proba(frame) == estimator.predict_proba(frame)).all()
