"""Adopting a fitted model, inside the child interpreter: load, look at it, convert, prove.

Tasks: ``inspect`` (load the file, a pickle or a boosting library's own; the estimator must be fitted, to
the features that the folder declares),
then ``convert:<JSON list of the frozen snapshot's files>`` (write it as skops, prove that what is loaded
again predicts the same bits, measure it on the snapshot's rows). Nothing is fitted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from rescore.errors import ModelError, NotDeterministicError
from rescore.model.child.describe import describe, selection
from rescore.model.child.evaluate import measured, permutation_importance
from rescore.model.child.golden import draw
from rescore.model.child.known_levels import with_known_levels
from rescore.model.child.model_code import pipeline_module
from rescore.model.child.native_models import feature_names, load_native
from rescore.model.child.trainer import Trainer, moment_text, write_json
from rescore.model.child.unpickle import load_pickle
from rescore.model.runtime.artifact import force_one_job, load_artifact
from rescore.model.runtime.environment import numeric_environment
from rescore.model.runtime.errors import PackageError
from rescore.model.runtime.frames import Features
from rescore.model.runtime.package import golden_table
from rescore.model.runtime.scoring import Scorer, Target
from rescore.model.target import truth_for
from rescore.shown_text import number_of

__all__ = ["SYNTHETIC_ROWS", "Adopter"]

#: How many synthetic rows the file and what was converted from it are compared on.
SYNTHETIC_ROWS = 2_048


class Adopter(Trainer):
    """A fitted model from elsewhere and the folder that it is adopted into.

    Parameters
    ----------
    job : mapping
        As :class:`Trainer`'s, without ``snapshot``; ``adopted`` says of the file its ``path``, and what
        the manifest is to say of it.
    """

    # The parent's constructor reads the snapshot, which is made once the file has been looked at.
    def __init__(self, job: Mapping[str, Any]) -> None:
        self._job = job
        self._path = Path(job["adopted"]["path"])
        self._kinds: dict[str, str] = dict(job["features"])
        declared = tuple(getattr(pipeline_module(job["model"]), "TRUSTED_TYPES", ()))
        native = job["adopted"]["native"]
        if native is None:
            self._estimator = load_pickle(self._path, model=job["model"], declared=declared)
        else:
            self._estimator = load_native(self._path, native, job["target"]["kind"])

    @property
    def tasks(self) -> list[str]:
        """What the parent may ask for."""
        return ["inspect", "convert"]

    def run(self, task: str) -> None:
        """Run a task.

        Raises
        ------
        ModelError
            It is no fitted model of these features and this target, or can't be packaged.
        """
        if task == "inspect":
            self._inspect()
            return
        paths = dict(zip(("snapshot", "unlabelled"), json.loads(task.partition(":")[2]), strict=False))
        super().__init__({**self._job, **paths})
        try:
            self._convert()
        except PackageError as error:
            raise ModelError(
                error.what, where=self._path.name, expected=error.expected, fix=error.fix, data=error.data
            ) from error

    def _build(self) -> Any:
        return self._estimator  # whose parameters are what somebody gave it

    def _inspect(self) -> None:
        estimator, kind = self._estimator, self._job["target"]["kind"]
        if not (hasattr(estimator, "predict") and hasattr(estimator, "get_params")):
            raise self._error(
                f"holds a {type(estimator).__name__}, which is no estimator",
                "a fitted scikit-learn estimator or Pipeline",
                "save the estimator itself, not what is around it",
            )
        try:
            check_is_fitted(estimator)
        except NotFittedError:
            raise self._error("is not fitted", "a fitted estimator", "fit it, then save it") from None
        self._refuse_other_features()
        if kind == "regression" and hasattr(estimator, "classes_"):
            raise self._error(
                "is a classifier", "target.kind: regression", "declare target.kind as it was fitted"
            )
        if kind != "regression" and not hasattr(estimator, "predict_proba"):
            raise self._error(
                f"({type(estimator).__name__}) has no predict_proba",
                f"probabilities: the target is {kind}",
                "wrap it in CalibratedClassifierCV and fit that, or declare the kind it was fitted to",
            )

    def _refuse_other_features(self) -> None:
        # CatBoost says 0 of a model that it has read from a file.
        expected, count = list(self._kinds), getattr(self._estimator, "n_features_in_", None) or None
        if count is not None and count != len(expected):
            raise self._error(
                f"was fitted to {number_of(count, 'feature')}",
                f"{len(expected)}, as model.yaml declares: {', '.join(expected)}",
                "declare the features that it was fitted to, in their order",
            )
        names = feature_names(self._estimator)
        if names is None:
            raise self._error(
                "does not say the names of its features",
                f"feature_names_in_: {', '.join(expected)}",
                "fit it to a DataFrame and save it again; an own first step of a pipeline sets "
                "feature_names_in_ in its fit()",
            )
        if list(names) != expected:
            given = [str(name) for name in names]
            raise self._error(
                "was fitted to other features, or to these in another order",
                ", ".join(expected),
                "declare the features in model.yaml in the order in which it was fitted",
                examples=[
                    *(f"{name}: only in the file" for name in given if name not in expected),
                    *(f"{name}: only in model.yaml" for name in expected if name not in given),
                    f"its order: {', '.join(given)}",
                ],
            )

    def _convert(self) -> None:
        force_one_job(self._estimator)
        features = with_known_levels(Features.learn(self._kinds, self._table), self._estimator)
        scorer = Scorer(self._estimator, features, self._own_target())
        golden: dict[str, Any] = {"rows": draw(self._table, features, self._job["seed"])}
        rows = golden_table(golden, features)
        drawn = {"rows": draw(self._table, features, self._job["seed"] + 1, SYNTHETIC_ROWS)}
        compared = pa.concat_tables([rows, golden_table(drawn, features), self._table.slice(0, 1_000)])
        before = scorer.predictions(compared)
        scores = scorer.scores(rows)
        golden["score"] = [value.hex() for value in scores["score"].to_pylist()]
        golden["label"] = scores["label"].to_pylist() if "label" in scores.column_names else None
        self._refuse_neighbours(scorer, rows)
        content, artifact = self._serialise(scorer, self._table, self._truth)
        converted = Scorer(load_artifact(content, artifact["types"]), features, scorer.target)
        if not converted.predictions(compared).same_bits(before):
            raise NotDeterministicError(
                f"{self._path.name} predicts otherwise after it was converted",
                where=f"{number_of(compared.num_rows, 'row')}, {SYNTHETIC_ROWS:,} of them synthetic",
                expected="the same bits",
                fix="keep everything that predict() needs in fitted attributes of plain types and arrays",
            )
        (self._out / "model.skops").write_bytes(content)
        write_json(self._out / "golden.json", golden)
        self._write_scores(converted, self._table, 0)
        for number in range(len(self._unlabelled)):
            self._score_unlabelled(converted, number)
        self._measure(converted)
        name = self._job["target"]["name"]
        write_json(
            self._out / "final.json",
            {
                "features": features.to_json(),
                "target": {**converted.target.to_json(), "name": name},
                "artifact": artifact,
                "pipeline": describe(converted.estimator),
                "selection": selection(converted.estimator, features.names),
                "environment": numeric_environment(),
                "rows": self._table.num_rows,
                "adopted": {
                    "reproducible": False,
                    "note": "training not reproducible: this model was fitted elsewhere",
                    "rows": None,
                    "adopted_from": {key: self._job["adopted"][key] for key in ("file", "sha256", "format")},
                    "same_bits_on_rows": compared.num_rows,
                    "reference_rows": self._table.num_rows,
                },
            },
        )

    def _measure(self, scorer: Scorer) -> None:
        """Metrics on the rows of the hold-out; the model may well have been fitted to them."""
        first, stop = self._held_out
        table = self._table.slice(first, stop - first)
        truth = self._truth[first:stop]
        write_json(
            self._out / "evaluation.json",
            {
                "on": "holdout, to which this model may have been fitted",
                "rows_fitted": None,
                "rows": stop - first,
                "from": moment_text(self._starts[first]),
                "last_interval": moment_text(self._starts[stop - 1]),
                "metrics": measured(scorer, table, truth),
                "importance": permutation_importance(scorer, table, truth, self._job["seed"]),
            },
        )

    def _own_target(self) -> Target:
        """The target with the labels that the model knows, and where each stands in its probabilities."""
        kind, labels = self._target.kind, self._target.labels
        if kind == "regression":
            return self._target
        known = [_text(value) for value in self._estimator.classes_]
        numbered = {"0": "false", "1": "true"}
        if set(known) <= set(numbered) and set(labels) <= set(numbered.values()):
            known = [numbered[one] for one in known]
        elif set(labels) <= set(numbered) and set(known) <= set(numbered.values()):
            known = ["1" if one == "true" else "0" for one in known]
        fits = set(labels) == set(known) if kind == "binary" else set(labels) <= set(known)
        if not fits:
            raise self._error(
                f"knows the classes {', '.join(known)}",
                f"those of {self._job['target']['name']} in the labels: {', '.join(labels)}",
                "let labels.sql give the values that it was fitted to",
            )
        labels = labels if kind == "binary" else tuple(sorted(known))
        target = replace(self._target, labels=labels, order=tuple(known.index(one) for one in labels))
        self._refuse_unnamed(target)
        name = self._job["target"]["name"]
        if labels != self._target.labels:  # the snapshot lacks a class: count as the model does
            texts = pa.chunked_array([pa.array(self._target.labels)]).take(pa.array(self._truth))
            self._truth = truth_for(name, target.kind, labels, texts)
        return target

    def _error(self, what: str, expected: str, fix: str, examples: Any = ()) -> ModelError:
        return ModelError(
            f"{self._path.name} {what}",
            where=str(self._path),
            expected=expected,
            fix=fix,
            examples=examples,
        )


def _text(value: Any) -> str:
    """A class as the labels' text: ``true``, ``1``, or the string itself."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
