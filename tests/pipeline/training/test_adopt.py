"""A model fitted elsewhere: adopted, pinned, scored and reproduced on a real Postgres; or refused, whole."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression, Ridge

from rescore import pipeline
from rescore.cli import main
from rescore.errors import (
    EnvironmentMismatchError,
    ModelError,
    NotFoundError,
    ParameterError,
    RefusedTypeError,
    StoreError,
)
from rescore.pipeline import Context
from tests.pipeline.training.strangers import AS_OF, adopt, fitted, refused

FEATURES = ["pressure", "moon", "wind"]


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain_pickle")]


@pytest.fixture
def declared(harbour: Any, tmp_path: Path) -> Callable[..., Context]:
    """The harbour's context with more code in pipeline.py, or other keys in model.yaml."""

    def declare(code: str = "", **keys: Any) -> Context:
        folder = tmp_path / "declared" / "tides"
        folder.mkdir(parents=True, exist_ok=True)
        for file in (harbour.ctx.settings.models / "tides").iterdir():
            if file.is_file():
                (folder / file.name).write_bytes(file.read_bytes())
        with (folder / "pipeline.py").open("a") as file:
            file.write("\n\n" + code)
        spec = yaml.safe_load((folder / "model.yaml").read_text())
        (folder / "model.yaml").write_text(yaml.safe_dump({**spec, **keys}))
        return replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=folder.parent))

    return declare


def test_an_adopted_model_is_pinned_scored_and_reproduced(harbour, saved, seed, tmp_path):
    ctx = harbour.ctx
    adopted = adopt(ctx, saved)
    assert adopted.version == "1.0.1"
    assert "not reproducible" in adopted.training
    pipeline.pin(ctx, "tides", "1.0.1", who="ada", why="it is what runs today")
    done = pipeline.score_interval(ctx, "tides", harbour.day(31))
    assert (done.rows, done.package_version) == (72, "1.0.1")
    assert pipeline.reproduce_run(ctx, done.run_id).verdict == "identical"

    # Consumers read what the pickle itself predicts.
    published = harbour.execute("SELECT gauge, reading, score FROM scores.tides ORDER BY 1, 2")
    features = harbour.execute(
        "SELECT gauge, reading, pressure, moon, wind FROM harbour.readings WHERE measured_at >= %s "
        "AND measured_at < %s ORDER BY 1, 2",
        harbour.day(31).start,
        harbour.day(31).end,
    )
    frame = pd.DataFrame([row[2:] for row in features], columns=FEATURES)
    assert [row[:2] for row in published] == [row[:2] for row in features]
    np.testing.assert_allclose([row[2] for row in published], fitted(seed).predict(frame), rtol=1e-12)

    assert adopt(ctx, saved).sha256 == adopted.sha256, "the same file is the same package"
    assert len(ctx.store.packages.of_model("tides")) == 2


def test_it_says_that_its_training_is_not_reproducible(harbour, saved, monkeypatch, capsys):
    from rescore.local import settings_variables

    for name, value in settings_variables(harbour.ctx.settings).items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        assert ended.value.code == 0
        return capsys.readouterr().out

    run("packages", "adopt", str(saved), "--model", "tides", "--version", "1.0.9", "--as-of", AS_OF)
    said = "training not reproducible"
    assert said in run("packages", "show", "tides", "1.0.9")
    assert said in run("packages", "diff", "tides", "1.0.0", "1.0.9")
    assert "not reproducible" in run("packages", "list", "tides")
    run("pin", "tides", "--to", "1.0.9", "--reason", "it runs today")
    assert said in harbour.ctx.store.pins.current("tides").evidence["lineage"]["training"]
    pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))
    assert said in run("status")
    with pytest.raises(NotFoundError, match=r"adopted.*training is not reproducible"):
        pipeline.compare_packages(harbour.ctx, "tides", "1.0.0")


def test_an_adopted_package_that_breaks_is_told_though_nothing_is_declared(harbour, saved):
    ctx = harbour.ctx
    rows = harbour.execute(
        "SELECT pressure, moon, wind, level FROM harbour.readings WHERE measured_at < %s", AS_OF
    )
    frame = pd.DataFrame(rows, columns=[*FEATURES, "level"])
    joblib.dump(copy.deepcopy(fitted(7)).fit(frame[FEATURES], frame["level"]), saved)
    pipeline.pin(ctx, "tides", adopt(ctx, saved).version, who="ada", why="it is what runs today")
    for number in range(27, 40):
        pipeline.score_interval(ctx, "tides", harbour.day(number))
    calm = pipeline.monitor_model(ctx, "tides", harbour.day(32).end)
    assert calm.performance is not None
    assert (calm.performance.verdict, calm.performance.alarm, calm.tells) == ("ok", None, False)
    assert "always scoring the same" in calm.performance.sentence

    harbour.execute(
        "UPDATE harbour.readings SET level = level + 121 WHERE measured_at >= %s", harbour.day(33).start
    )
    broken = pipeline.monitor_model(ctx, "tides", harbour.day(39).end)
    found = broken.performance
    assert found is not None and found.value > 100 > 5 > found.bound
    assert (found.verdict, broken.tells, found.declared) == ("worse", True, False)
    [row] = pipeline.status_rows(ctx)
    assert row["performance"] == "worse"
    # Its first windows are told by tests of the bound; here the target's spread is less than theirs.
    assert "worse than what always scoring the same would reach" in row["performance_sentence"]


def test_its_training_can_not_be_repeated(harbour, saved):
    adopted = adopt(harbour.ctx, saved)
    found = pipeline.reproduce_package(harbour.ctx, "tides", adopted.version)
    assert "its training is not reproducible" in found.problem
    again = pipeline.retrain_package(harbour.ctx, "tides", adopted.version)
    assert (again.verdict, "adopted" in again.reason) == ("not_rederivable", True)


OWN = """
import json as _json
import os as _os
from sklearn.base import BaseEstimator as _Base, TransformerMixin as _Mixin


class Clip(_Mixin, _Base):
    def __init__(self, low=-1.0):
        self.low = low

    def fit(self, X, y=None):
        self.feature_names_in_ = X.columns.to_numpy(dtype=object)
        return self

    def transform(self, X):
        return X[["pressure", "moon"]].clip(lower=self.low)

    def __setstate__(self, state):
        if "tell_" in state:
            with open(state.pop("tell_"), "w") as file:
                _json.dump(dict(_os.environ), file)
        self.__dict__.update(state)
"""


def notebook(path: Path, body: str) -> None:
    """Run what somebody wrote in a notebook, as ``__main__``."""
    subprocess.run([sys.executable, "-c", OWN + body.format(path=str(path))], check=True)


BODY = """
import joblib, numpy as np, pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.linear_model import Ridge
frame = pd.DataFrame({{"pressure": np.arange(50.0), "moon": np.arange(50.0) % 7, "wind": "north"}})
clip = Clip(3.0)
model = make_pipeline(clip, Ridge()).fit(frame, frame["moon"] * 2)
clip.tell_ = {path!r} + ".json"
joblib.dump(model, {path!r})
"""


def test_an_own_class_of_a_notebook_is_found_in_the_folder(declared, tmp_path, monkeypatch):
    path = tmp_path / "own.joblib"
    notebook(path, BODY)
    monkeypatch.setenv("RESCORE_DATABASE_URL", "postgresql://secret@nowhere/x")
    monkeypatch.setenv("PGPASSWORD", "secret")
    error = refused(declared(), path, RefusedTypeError, r"names __main__\.Clip")
    assert "define Clip" in error.fix

    ctx = declared(OWN)
    adopted = adopt(ctx, path)
    manifest = ctx.store.packages.find("tides", adopted.sha256).manifest
    assert "tides.pipeline.Clip" in manifest.artifact.types
    seen = json.loads(Path(f"{path}.json").read_text())
    assert not [name for name in seen if name.startswith(("RESCORE_", "PG", "AIRFLOW"))]
    assert "secret" not in json.dumps(seen)
    assert seen["HOME"] == seen["TMPDIR"] != os.environ.get("HOME")


def test_a_type_is_allowed_for_the_folder_that_declares_it_alone(declared, harbour, tmp_path, seed):
    import argparse

    model = copy.deepcopy(fitted(seed, Ridge))
    model.steps[-1][1].note_ = argparse.Namespace(by="ada")
    path = tmp_path / "noted.joblib"
    joblib.dump(model, path)
    error = refused(harbour.ctx, path, RefusedTypeError, r"names argparse\.Namespace")
    assert "TRUSTED_TYPES" in error.fix
    ctx = declared('TRUSTED_TYPES = ("argparse.Namespace",)\n')
    manifest = ctx.store.packages.find("tides", adopt(ctx, path).sha256).manifest
    assert "argparse.Namespace" in manifest.artifact.types
    refused(harbour.ctx, path, RefusedTypeError, r"names argparse\.Namespace")


class Evil:
    """Runs a command when it is loaded."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("hidden", [False, True], ids=["plain", "in an array of objects"])
def test_what_a_file_would_run_is_refused_by_name_before_it_runs(harbour, tmp_path, seed, hidden):
    made = tmp_path / "made"
    model = copy.deepcopy(fitted(seed, Ridge))
    evil = Evil(os.system, f"touch {made}")
    model.steps[-1][1].note_ = np.array([evil], dtype=object) if hidden else evil
    path = tmp_path / "evil.joblib"
    joblib.dump(model, path)
    refused(harbour.ctx, path, RefusedTypeError, r"names (posix|nt)\.system")
    assert not made.exists()


def test_what_reads_files_is_refused_of_numpy_too(harbour, tmp_path):
    path = tmp_path / "evil.joblib"
    joblib.dump(Evil(np.load, "/etc/passwd"), path)
    refused(harbour.ctx, path, RefusedTypeError, r"names numpy\.load")


def _named(estimator: Any, names: list[str] | None) -> Any:
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(30, 3)))
    frame.columns = names or frame.columns
    return estimator.fit(frame if names else frame.to_numpy(), np.arange(30) % 2)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (lambda: b"this is no model", "can't be read as a model"),
        (lambda: b"", "can't be read as a model"),
        (lambda: {"model": 1}, "holds a dict, which is no estimator"),
        (Ridge, "is not fitted"),
        (lambda: _named(Ridge(), None), "does not say the names of its features"),
        (lambda: _named(Ridge(), ["pressure", "wind", "moon"]), "in another order"),
        (lambda: _named(Ridge(), ["a", "moon", "wind"]), "other features"),
        (lambda: Ridge().fit(np.eye(4), range(4)), "was fitted to 4 features"),
        (lambda: _named(LogisticRegression(), FEATURES), "is a classifier"),
    ],
)
def test_a_file_that_is_not_the_folders_model_is_refused(harbour, tmp_path, content, match):
    path, made = tmp_path / "file.joblib", content()
    if isinstance(made, bytes):
        path.write_bytes(made)
    else:
        joblib.dump(made, path)
    refused(harbour.ctx, path, ModelError, match)


def test_a_file_of_another_scikit_learn_is_refused(harbour, tmp_path, seed):

    import sklearn

    here = sklearn.__version__.encode()
    other = b"0." + b"9" * (len(here) - 2)
    path = tmp_path / "old.pkl"
    path.write_bytes(pickle.dumps(fitted(seed, Ridge)).replace(here, other))
    refused(harbour.ctx, path, EnvironmentMismatchError, f"with scikit-learn {other.decode()}")


def test_options_that_can_not_be_are_refused(harbour, saved, tmp_path):
    refused(harbour.ctx, tmp_path / "none.joblib", NotFoundError, "no such file")
    refused(harbour.ctx, tmp_path, ModelError, "is no MLflow model")
    refused(harbour.ctx, saved, ParameterError, r"no version of tides", version="2.0.0")
    refused(harbour.ctx, saved, ModelError, r"took longer than 0\.05 s", timeout=0.05)


def test_a_version_that_is_taken_stays_what_it_is(harbour, saved):
    packages = harbour.ctx.store.packages.of_model("tides")
    with pytest.raises(StoreError, match=r"tides 1\.0\.0 is sha256:.* already"):
        adopt(harbour.ctx, saved, version="1.0.0")
    assert harbour.ctx.store.packages.of_model("tides") == packages
