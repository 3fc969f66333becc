"""Fitting, inside the child interpreter: one task at a time, each a function of the job alone.

Tasks (``Trainer.tasks``): ``final`` (fit on all rows, write the artifact and the golden rows),
``evaluation`` (fit without the hold-out, score it, write that artifact, too), ``fold:<n>`` (fit
without a contiguous block of intervals, score that block). Each writes its results below the job's
``out`` folder; which process runs it, and after which others, changes nothing.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from rescore.errors import NotDeterministicError, TrainingError
from rescore.json_values import json_bytes
from rescore.model.artifact import serialise
from rescore.model.child import pipeline_refusals
from rescore.model.child.booster_settings import settle_boosters
from rescore.model.child.class_weights import place_class_weights
from rescore.model.child.describe import describe, selection
from rescore.model.child.evaluate import folds, measured, permutation_importance
from rescore.model.child.golden import draw
from rescore.model.child.kept_rows import find_kept_rows, refuse_kept_rows
from rescore.model.child.known_levels import levels_like_missing
from rescore.model.child.model_code import pipeline_module, where_in_model
from rescore.model.child.seen_rows import SeenRows
from rescore.model.class_probabilities import refuse_unnamed_classes
from rescore.model.runtime.artifact import force_one_job, load_artifact
from rescore.model.runtime.environment import numeric_environment
from rescore.model.runtime.errors import PackageError, ScoreError
from rescore.model.runtime.frames import Array, Features
from rescore.model.runtime.package import golden_table
from rescore.model.runtime.scoring import Scorer, Target
from rescore.model.target import encode_target
from rescore.model.yaml_numbers import numbers_as_text
from rescore.shown_text import number_of

__all__ = ["Trainer", "moment_text", "write_json"]

#: A categorical feature of more levels than half of the rows identifies rows rather than kinds.
_IDENTIFIES = 0.5
_ENOUGH_ROWS = 100


class Trainer:
    """The rows of a training snapshot and the code of a model.

    Parameters
    ----------
    job : mapping
        ``model``, ``features`` (name to kind), ``target`` (name, kind, positive), ``seed``,
        ``hyperparameters`` (YAML), ``holdout_intervals``, ``folds``, ``snapshot`` (Parquet path), ``out``
        (folder), and ``unlabelled`` (Parquet path) where some rows have no label. The staged package must
        be importable.

    Raises
    ------
    SpecError
        pipeline.py can't be imported or has no ``build``.
    TrainingError
        The rows can't be used.
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._job = job
        self._out = Path(job["out"])
        self._kinds: dict[str, str] = dict(job["features"])
        self._module = pipeline_module(job["model"])
        target = job["target"]
        columns = ["interval_start", *self._kinds, target["name"]]
        missing = [name for name in columns if name not in pq.read_schema(job["snapshot"]).names]
        if missing:
            raise TrainingError(
                f"the training snapshot has no {', '.join(missing)}",
                where=Path(job["snapshot"]).name,
                expected="interval_start, every feature and the target",
                fix="make the snapshot again from the model folder as it is",
                data={"missing": missing},
            )
        table = pq.read_table(job["snapshot"], columns=columns)
        if not table.num_rows:
            raise TrainingError(
                "the training snapshot has no rows",
                where=Path(job["snapshot"]).name,
                expected="labelled rows",
                fix="look at the training window and labels.sql",
            )
        self._truth, self._target = encode_target(
            target["name"], target["kind"], target["positive"], table.column(target["name"])
        )
        self._refuse_unnamed(self._target)
        self._starts: Array = table.column("interval_start").cast(pa.int64()).to_numpy()
        if (np.diff(self._starts) < 0).any():
            raise TrainingError(
                "the rows of the training snapshot are not ordered by interval",
                where=Path(job["snapshot"]).name,
                expected="ascending interval_start",
                fix="make the snapshot again",
            )
        try:
            self._table = Features(self._kinds).conform(table)
        except PackageError as error:
            raise TrainingError(error.what, expected=error.expected, fix=error.fix) from None
        self._refuse_identifiers()
        self._folds = folds(self._starts, job["folds"])
        self._unlabelled = self._unlabelled_by_fold()
        self._held_out = self._holdout()

    @property
    def tasks(self) -> list[str]:
        """Every task, the longest first."""
        return ["final", "evaluation", *(f"fold:{number}" for number in range(len(self._folds)))]

    def run(self, task: str) -> None:
        """Run one task and write its results.

        Raises
        ------
        ModelError
            The pipeline can't be built, fitted or packaged, or is not deterministic.
        """
        name, _, number = task.partition(":")
        try:
            if name == "final":
                self._final()
            elif name == "evaluation":
                self._evaluation()
            else:
                self._fold(int(number))
        except PackageError as error:
            raise TrainingError(
                error.what,
                where=f"{self._job['model']}, task {task}",
                expected=error.expected,
                fix=error.fix,
                data=error.data,
            ) from error

    def _final(self) -> None:
        scorer = self._fit(np.ones(self._table.num_rows, dtype=bool), "all rows")
        content, artifact = self._serialise(scorer, self._table, self._truth)
        golden: dict[str, Any] = {"rows": draw(self._table, scorer.features, self._job["seed"])}
        rows = golden_table(golden, scorer.features)
        scores = scorer.scores(rows)
        golden["score"] = [value.hex() for value in scores["score"].to_pylist()]
        golden["label"] = scores["label"].to_pylist() if "label" in scores.column_names else None
        self._refuse_neighbours(scorer, rows)
        compared = pa.concat_tables([rows, self._table.slice(0, 1_000)])
        self._refuse_other_bits(scorer, content, artifact["types"], compared)
        (self._out / "model.skops").write_bytes(content)
        write_json(self._out / "golden.json", golden)
        write_json(
            self._out / "final.json",
            {
                "features": scorer.features.to_json(),
                "target": {**scorer.target.to_json(), "name": self._job["target"]["name"]},
                "artifact": artifact,
                "pipeline": describe(scorer.estimator),
                "selection": selection(scorer.estimator, scorer.features.names),
                "environment": numeric_environment(),
                "rows": self._table.num_rows,
                "intervals": len(np.unique(self._starts)),
                "notes": levels_like_missing(scorer.estimator, scorer.features),
            },
        )

    def _evaluation(self) -> None:
        first, stop = self._held_out
        unseen = np.zeros(self._table.num_rows, dtype=bool)
        unseen[first:stop] = True
        scorer = self._fit(~unseen, "the rows before the hold-out")
        table, truth = self._table.filter(pa.array(unseen)), self._truth[unseen]
        importance = permutation_importance(scorer, table, truth, self._job["seed"])
        fitted = self._table.filter(pa.array(~unseen))
        content, artifact = self._serialise(scorer, fitted, self._truth[~unseen])
        self._refuse_other_bits(scorer, content, artifact["types"], table)
        (self._out / "evaluation.skops").write_bytes(content)
        write_json(
            self._out / "evaluation.json",
            {
                "on": "holdout" if self._job["holdout_intervals"] else "last fold",
                "rows_fitted": int((~unseen).sum()),
                "rows": int(unseen.sum()),
                "from": moment_text(self._starts[first]),
                "last_interval": moment_text(self._starts[stop - 1]),
                "metrics": measured(scorer, table, truth),
                "importance": importance,
                "artifact": {**artifact, "features": scorer.features.to_json()},
            },
        )

    def _fold(self, number: int) -> None:
        first, stop = self._folds[number]
        unseen = np.zeros(self._table.num_rows, dtype=bool)
        unseen[first:stop] = True
        scorer = self._fit(~unseen, f"all but fold {number + 1}")
        table = self._table.slice(first, stop - first)
        self._write_scores(scorer, table, number)
        if self._unlabelled:
            self._score_unlabelled(scorer, number)
        write_json(
            self._out / f"fold_{number}.json",
            {
                "rows": stop - first,
                "from": moment_text(self._starts[first]),
                "last_interval": moment_text(self._starts[stop - 1]),
                "metrics": measured(scorer, table, self._truth[first:stop]),
            },
        )

    def _write_scores(self, scorer: Scorer, table: pa.Table, number: int) -> None:
        """Write a fold's scores, and of several classes the places of those named."""
        scores = scorer.scores(table)
        (self._out / f"fold_{number}.f8").write_bytes(scores["score"].to_numpy().astype("<f8").tobytes())
        if scorer.target.kind == "multiclass":
            named = pc.index_in(scores["label"], value_set=pa.array(scorer.target.labels))
            (self._out / f"named_{number}.f8").write_bytes(named.to_numpy().astype("<f8").tobytes())

    def _refuse_unnamed(self, target: Target) -> None:
        """Refuse classes that the declared probabilities have no column for, before anything is fitted."""
        if declared := self._job.get("published_classes"):
            refuse_unnamed_classes(target.labels, declared, f"target {self._job['target']['name']!r}")

    def _unlabelled_by_fold(self) -> list[pa.Table]:
        """The rows without a label, by the fold in whose time they are. Nothing is ever fitted to them."""
        if "unlabelled" not in self._job:
            return []
        table = pq.read_table(self._job["unlabelled"], columns=["interval_start", *self._kinds])
        starts = table.column("interval_start").cast(pa.int64()).to_numpy()
        begins = self._starts[[first for first, _ in self._folds]]
        fold = np.maximum(np.searchsorted(begins, starts, side="right") - 1, 0)
        rows = Features(self._kinds).conform(table)
        return [rows.filter(pa.array(fold == number)) for number in range(len(self._folds))]

    def _score_unlabelled(self, scorer: Scorer, number: int) -> None:
        rows = self._unlabelled[number]
        scores = scorer.scores(rows)["score"].to_numpy() if rows.num_rows else np.empty(0)
        (self._out / f"unlabelled_{number}.f8").write_bytes(scores.astype("<f8").tobytes())

    def _fit(self, rows: Array, which: str) -> Scorer:
        table = self._table if rows.all() else self._table.filter(pa.array(rows))
        truth = self._truth[rows]
        features = Features.learn(self._kinds, table)
        estimator = self._build()
        # Code of the model that draws from the global generators draws the same numbers each time.
        np.random.seed(self._job["seed"])
        random.seed(self._job["seed"])
        lacking = sorted(set(range(len(self._target.labels))) - set(truth.tolist()))
        with warnings.catch_warnings():
            warnings.simplefilter("once")
            try:
                estimator.fit(features.frame(table), truth)
            except (Exception, SystemExit) as error:
                if lacking:
                    raise self._lacks_class(lacking[0], which, estimator) from error
                raise TrainingError(
                    f"the pipeline can't be fitted on {which}: {type(error).__name__}: {error}",
                    where=where_in_model(error, self._job["model"]),
                    expected=f"a fit on {number_of(len(truth), 'row')} of all {len(self._kinds)} features",
                    fix=self._meant_as_numbers() or "correct pipeline.py, or the feature it names",
                ) from error
        if self._target.kind != "regression" and not hasattr(estimator, "predict_proba"):
            raise TrainingError(
                f"{type(estimator).__name__} has no predict_proba",
                where="build() in pipeline.py",
                expected=f"probabilities: the target is {self._target.kind}",
                fix="use an estimator that gives them, or wrap it in CalibratedClassifierCV",
            )
        force_one_job(estimator)
        scorer = Scorer(estimator, features, self._target)
        if lacking:  # some are fitted to one class, and then give the probabilities of two
            try:
                scorer.predictions(table.slice(0, 1))
            except ScoreError as error:
                raise self._lacks_class(lacking[0], which, estimator) from error
        return scorer

    def _lacks_class(self, position: int, which: str, estimator: Any) -> TrainingError:
        label = self._target.labels[position]
        occurs = self._starts[self._truth == position][[0, -1]]
        return TrainingError(
            f"{which} lack the class {label!r} of {self._job['target']['name']}, and "
            f"{type(estimator).__name__} can't be fitted and asked for it without",
            where=f"{label!r} occurs in intervals from {' to '.join(map(moment_text, occurs))} alone",
            expected="each class in the rows of every fit: folds and hold-out are cut by time",
            fix="take fewer training.folds, a smaller hold-out or a longer window in model.yaml, or join the "
            "class with another in labels.sql",
            data={"class": label},
        )

    def _meant_as_numbers(self) -> str:
        return "; ".join(numbers_as_text(yaml.safe_load(self._job["hyperparameters"])))

    def _build(self) -> Any:
        try:
            estimator = self._module.build(yaml.safe_load(self._job["hyperparameters"]), self._job["seed"])
        except (Exception, SystemExit) as error:
            raise TrainingError(
                f"build() failed: {type(error).__name__}: {error}",
                where=where_in_model(error, self._job["model"]),
                expected="build(hyperparameters, seed) returns an estimator",
                fix=self._meant_as_numbers()
                or "correct pipeline.py, or training.hyperparameters in model.yaml",
            ) from error
        if not (hasattr(estimator, "fit") and hasattr(estimator, "get_params")):
            raise TrainingError(
                f"build() gave {type(estimator).__name__}",
                where="pipeline.py",
                expected="a scikit-learn estimator or Pipeline",
                fix="return it from build()",
            )
        pipeline_refusals.refuse_unseeded(estimator)
        pipeline_refusals.refuse_nameless(estimator)
        pipeline_refusals.refuse_settings()
        pipeline_refusals.drop_caches(estimator)
        place_class_weights(estimator, self._target.labels)
        force_one_job(estimator)
        settle_boosters(estimator)
        return estimator

    def _holdout(self) -> tuple[int, int]:
        count = self._job["holdout_intervals"]
        if not count:
            return self._folds[-1]
        distinct = np.unique(self._starts)
        if count >= len(distinct):
            raise TrainingError(
                f"only {number_of(len(distinct), 'interval has', 'intervals have')} labelled rows, "
                f"{count} of them are to be held out",
                where="training.holdout_intervals in model.yaml",
                expected="more intervals than are held out",
                fix="take a longer training window or a smaller hold-out",
            )
        first = int(np.searchsorted(self._starts, distinct[-count]))
        return first, len(self._starts)

    def _refuse_identifiers(self) -> None:
        rows = self._table.num_rows
        for name, levels in Features.learn(self._kinds, self._table).levels.items():
            if rows >= _ENOUGH_ROWS and len(levels) > _IDENTIFIES * rows:
                raise TrainingError(
                    f"feature {name!r} has {len(levels):,} levels in {rows:,} rows: it identifies rows",
                    where="features in model.yaml",
                    expected="a categorical feature with levels that many rows share",
                    fix="take it out: a package holds its levels, and must hold no person",
                )

    def _refuse_neighbours(self, scorer: Scorer, rows: pa.Table) -> None:
        """Score golden rows in another order and company; a row's bits must not change."""
        order = np.random.default_rng(self._job["seed"]).permutation(rows.num_rows)[: rows.num_rows // 2]
        together, apart = scorer.predictions(rows).take(order), scorer.predictions(rows.take(pa.array(order)))
        if not together.same_bits(apart):
            raise NotDeterministicError(
                "the score of a row depends on the rows it is scored with",
                where="predict of the pipeline that build() gives",
                expected="the same bits for a row alone, in any chunk and in any order",
                fix="compute statistics in fit() and keep them, not in transform() or predict()",
            )

    def _serialise(self, scorer: Scorer, table: pa.Table, truth: Array) -> tuple[bytes, dict[str, Any]]:
        """The artifact of a fit to these rows, refused if it holds what no package may hold."""
        declared = tuple(getattr(self._module, "TRUSTED_TYPES", ()))
        content, types = serialise(scorer.estimator, model=self._job["model"], declared=declared)
        seen = SeenRows.of(scorer.estimator, scorer.features.frame(table), truth)
        kept = find_kept_rows(scorer.estimator, content, seen, made=self._build())
        refuse_kept_rows(kept, getattr(self._module, "STORES_TRAINING_ROWS", ()))
        artifact: dict[str, Any] = {"types": types}
        if kept:  # declared by name, or it would be refused
            artifact["keeps_rows"] = [one.to_json() for one in kept]
        return content, artifact

    def _refuse_other_bits(self, scorer: Scorer, content: bytes, types: list[str], rows: pa.Table) -> None:
        """Load what was written; it must predict the same bits as what was fitted."""
        loaded = Scorer(load_artifact(content, types), scorer.features, scorer.target)
        if not loaded.predictions(rows).same_bits(scorer.predictions(rows)):
            raise NotDeterministicError(
                "the pipeline predicts otherwise after it was written and loaded",
                where="the fitted pipeline",
                expected="the same bits",
                fix="keep everything predict() needs in fitted attributes of plain types and arrays",
            )


def moment_text(microseconds: Any) -> str:
    """A moment as ISO 8601 from microseconds since 1970 UTC."""
    return str(np.datetime64(int(microseconds), "us")) + "Z"


def write_json(path: Path, value: Any) -> None:
    """Write JSON whose bytes depend on the value alone."""
    path.write_bytes(json_bytes(value))
