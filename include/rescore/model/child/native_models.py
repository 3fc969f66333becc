"""Models in the files that LightGBM, XGBoost and CatBoost save themselves, as their scikit-learn classes.

Such a file is read by the library's own parser: it names no code. It holds the trees and the names of the
features, of the classes only their number (CatBoost's: their values); they stand for the labels' positions
then, as ``target`` of the package has them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rescore.errors import ModelError, SpecError
from rescore.model.boosters import EXTRAS, library_of
from rescore.shown_text import number_of

__all__ = ["feature_names", "load_native"]


def load_native(path: Path, form: str, kind: str) -> Any:
    """Load a native file.

    Parameters
    ----------
    path : Path
        The file.
    form : str
        Which of :data:`rescore.model.boosters.NATIVE_FORMS` it is in.
    kind : str
        The target's: ``binary``, ``multiclass`` or ``regression``.

    Raises
    ------
    SpecError
        The library is not installed.
    ModelError
        It can't be read, or is no model of this kind.
    """
    library = form.partition(" ")[0].lower()
    try:
        return _LOAD[library](path, kind)
    except ModuleNotFoundError as error:
        raise SpecError(
            f"{path.name} is a model of {library}, which is not installed: no module {error.name}",
            where=str(path),
            expected=f"{library}",
            fix=f"install 'rescore[{EXTRAS[library]}]'",
        ) from error
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path.name} can't be read as {form}: {type(error).__name__}: {error}",
            where=str(path),
            expected=f"a {kind} model, whole",
            fix="save it again from the fitted model, or declare target.kind as it was fitted",
        ) from error


def feature_names(estimator: Any) -> Sequence[Any] | None:
    """The features that an estimator was fitted to, in order; None where it does not say."""
    if library_of(estimator) == "catboost":
        names: Sequence[Any] = estimator.feature_names_
        numbered = list(names) == [str(number) for number in range(len(names))]
        return None if numbered else names
    found: Sequence[Any] | None = getattr(estimator, "feature_names_in_", None)
    return found


def _catboost(path: Path, kind: str) -> Any:
    from catboost import CatBoostClassifier, CatBoostRegressor

    estimator = CatBoostRegressor() if kind == "regression" else CatBoostClassifier()
    estimator.load_model(str(path), format="cbm")
    _refuse_other_kind(path, kind, not len(estimator.classes_), len(estimator.classes_))
    return estimator


def _xgboost(path: Path, kind: str) -> Any:
    from xgboost import Booster, XGBClassifier, XGBRegressor

    content = path.read_bytes()  # by content: a name may end as it likes
    booster = Booster()
    booster.load_model(bytearray(content))
    learner = json.loads(booster.save_config())["learner"]
    objective, classes = learner["objective"]["name"], int(learner["learner_model_param"]["num_class"])
    probabilities = objective in {"binary:logistic", "multi:softprob"}
    _refuse_other_kind(path, kind, not probabilities, max(classes, 2), objective)
    _refuse_nameless_codes(path, booster)
    _refuse_two_readings(path, booster)
    estimator = XGBRegressor(n_jobs=1) if kind == "regression" else XGBClassifier(n_jobs=1)
    estimator.load_model(bytearray(content))
    return estimator


def _refuse_nameless_codes(path: Path, booster: Any) -> None:
    """Refuse categorical features known by code alone, as releases before 3.1 saved them: by which levels?"""
    kinds = dict(zip(booster.feature_names or (), booster.feature_types or (), strict=False))
    categorical = [name for name, kind in kinds.items() if kind == "c"]
    if not categorical:
        return
    levels = dict(booster.get_categories(export_to_arrow=True).to_arrow() or ())
    nameless = [name for name in categorical if levels.get(name) is None]
    if nameless:
        raise ModelError(
            f"{path.name} does not say which level of {nameless[0]} has which code",
            where=str(path),
            expected="the levels of each categorical feature, as XGBoost saves them from 3.1 on",
            fix="fit it with XGBoost 3.1 or later, to a frame with columns of the dtype category",
            examples=nameless,
        )


def _refuse_two_readings(path: Path, booster: Any) -> None:
    """Refuse a booster that stopped early and was saved by itself, with all its rounds.

    ``Booster.predict`` takes all of them, the scikit-learn class those up to the best one. The class says in
    the file that it wrote it.
    """
    best, rounds = booster.attr("best_iteration"), booster.num_boosted_rounds()
    if best is not None and int(best) + 1 < rounds and booster.attr("scikit_learn") is None:
        raise ModelError(
            f"{path.name} stopped early: its best round is {int(best) + 1:,} of {rounds:,}, and it does not "
            "say which of them predict",
            where=str(path),
            expected="those that predict: Booster.predict takes all, the scikit-learn class the best ones",
            fix="save booster[: booster.best_iteration + 1], or delete the attribute with "
            "booster.set_attr(best_iteration=None) if all rounds predict",
        )


def _lightgbm(path: Path, kind: str) -> Any:
    from lightgbm import Booster, LGBMClassifier, LGBMRegressor
    from sklearn.preprocessing import LabelEncoder

    booster = Booster(model_str=path.read_text(encoding="utf-8"))
    objective = str(booster.params.get("objective", "")).partition(" ")[0]
    classes = booster.num_model_per_iteration()
    numbered = objective in {"binary", "multiclass", "multiclassova"}
    _refuse_other_kind(path, kind, not numbered, 2 if objective == "binary" else classes, objective)
    estimator = LGBMRegressor(n_jobs=1) if kind == "regression" else LGBMClassifier(n_jobs=1)
    # What fit() would leave: the library has no way of its own to make its classes from a file.
    width = booster.num_feature()
    state: dict[str, Any] = {
        "_Booster": booster, "fitted_": True, "_n_features": width, "_n_features_in": width,
        "_fitted_with_feature_names": True, "_objective": objective, "_best_iteration": 0,
    }  # fmt: skip
    if kind != "regression":
        encoder = LabelEncoder().fit(np.arange(max(classes, 2)))
        state |= {
            "_le": encoder, "_classes": encoder.classes_, "_n_classes": len(encoder.classes_),
            "_class_map": {int(one): int(one) for one in encoder.classes_},
        }  # fmt: skip
    for name, value in state.items():
        setattr(estimator, name, value)
    return estimator


def _refuse_other_kind(path: Path, kind: str, regression: bool, classes: int, objective: str = "") -> None:
    """Refuse a file whose model is not of the target's kind."""
    fits = regression if kind == "regression" else not regression and (classes == 2) == (kind == "binary")
    if not fits:
        found = (
            "a regression" if regression else f"a classification of {number_of(classes, 'class', 'classes')}"
        )
        raise ModelError(
            f"{path.name} holds {found}" + (f" ({objective})" if objective else ""),
            where=str(path),
            expected=f"a {kind} model that gives numbers or probabilities, as target.kind declares",
            fix="declare target.kind as it was fitted; XGBoost: binary:logistic or multi:softprob",
        )


_LOAD: dict[str, Callable[[Path, str], Any]] = {
    "catboost": _catboost,
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
}
