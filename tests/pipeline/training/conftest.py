"""Files of models that were fitted elsewhere."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest

from tests.pipeline.training.strangers import fitted


@pytest.fixture
def plain_pickle(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Airflow, which other tests import, imports dill, which makes joblib name dill's own functions."""
    dill = sys.modules.get("dill")
    if dill is None:
        yield
        return
    dill.extend(False)
    monkeypatch.setattr(joblib.numpy_pickle.NumpyPickler, "dispatch", pickle._Pickler.dispatch.copy())
    yield
    dill.extend(True)


@pytest.fixture
def saved(plain_pickle: None, tmp_path: Path, seed: int) -> Path:
    path = tmp_path / "model.joblib"
    joblib.dump(fitted(seed), path, compress=3)
    return path
