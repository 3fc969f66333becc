"""What has to be known of LightGBM, XGBoost and CatBoost, whose models are fitted and kept by compiled code.

Which of their types a package may hold, which of a fitted model's attributes is the compiled model itself,
and what their fits note that differs each time. None of the three is imported here: a part of a pipeline is
known by the module of its class.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

__all__ = [
    "BOOSTER_TYPES", "COMPILED", "EXTRAS", "NATIVE_FORMS", "forget_when", "library_of", "native_form",
    "what_fitting_found",
]  # fmt: skip

#: Library to the extra of this distribution that installs it.
EXTRAS = {"catboost": "catboost", "lightgbm": "lightgbm", "xgboost": "xgboost"}

#: Every type of theirs that a package may hold, by its exact name.
BOOSTER_TYPES = frozenset(
    {
        "catboost.core.CatBoostClassifier",
        "catboost.core.CatBoostRegressor",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
        "xgboost.sklearn.XGBRFClassifier",
        "xgboost.sklearn.XGBRFRegressor",
        "xgboost.sklearn.XGBRegressor",
        # What LightGBM keeps scores of evaluation sets in.
        "collections.OrderedDict",
        "collections.defaultdict",
    }
)

#: The attributes that hold a compiled model, by type: its trees, thresholds and counts.
COMPILED = {
    "catboost.core.CatBoostClassifier": "__model",
    "catboost.core.CatBoostRegressor": "__model",
    "lightgbm.basic.Booster": "_handle",
    "xgboost.core.Booster": "handle",
}

#: How each library saves a model by itself: the name of the form, and how such a file begins.
NATIVE_FORMS = {
    "LightGBM text": re.compile(rb"tree\r?\n"),
    "XGBoost JSON": re.compile(rb'\{\s*"(learner|version)"'),
    "XGBoost UBJSON": re.compile(rb"\{(L.{8}|[iUIl].{1,4})(learner|version)", re.DOTALL),
    "CatBoost binary": re.compile(rb"CBM1"),
}

#: What CatBoost writes into each model, and no prediction reads: an identifier by chance, and the time.
_CATBOOST_ACCIDENTS = ("model_guid", "train_finish_time")


def library_of(part: Any) -> str | None:
    """``lightgbm``, ``xgboost`` or ``catboost``, if an object is one of their estimators."""
    root = type(part).__module__.partition(".")[0]
    return root if root in EXTRAS and hasattr(part, "get_params") else None


def forget_when(part: Any) -> None:
    """Take out of a fitted booster when it was fitted, and what it notes of each row it was evaluated on."""
    if library_of(part) != "catboost" or not part.is_fitted():
        return
    noted = part.get_metadata()
    for name in _CATBOOST_ACCIDENTS:
        if name in noted.keys():  # noqa: SIM118 - it is no mapping
            noted[name] = ""
    part._set_test_evals([])


def what_fitting_found(part: Any) -> dict[str, int | float]:
    """How many rounds a fitted booster has, which was its best, and a learning rate that it chose itself.

    Returns
    -------
    dict
        ``n_iter`` (rounds, each of one tree or one a class), ``best_iteration`` where early stopping found
        one (counted from 0, LightGBM's from 1), ``learning_rate`` where CatBoost chose it,
        ``n_features_in`` of CatBoost, which says 0 of it after it was loaded; empty if not fitted.
    """
    library = library_of(part)
    if library == "catboost" and part.is_fitted():
        best, chosen = part.best_iteration_, "learning_rate" not in part.get_params()
        found = {"n_iter": int(part.tree_count_), "n_features_in": len(part.feature_names_)}
        return found | _best(best) | ({"learning_rate": float(part.learning_rate_)} if chosen else {})
    if library == "xgboost" and part.__sklearn_is_fitted__():
        rounds = {"n_iter": int(part.get_booster().num_boosted_rounds())}
        return rounds | _best(getattr(part, "best_iteration", None))
    if library == "lightgbm" and part.__sklearn_is_fitted__():
        return {"n_iter": int(part.n_iter_)} | _best(part.best_iteration_ or None)
    return {}


def _best(iteration: int | None) -> dict[str, int | float]:
    return {} if iteration is None or iteration < 0 else {"best_iteration": int(iteration)}


def native_form(path: Path) -> str | None:
    """In which of :data:`NATIVE_FORMS` a file is, by how it begins; None if in none."""
    with path.open("rb") as file:
        head = file.read(64)
    return next((form for form, begins in NATIVE_FORMS.items() if begins.match(head)), None)
