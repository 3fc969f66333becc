"""A model that MLflow keeps: adopted as the file in its folder, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rescore.errors import (
    EnvironmentMismatchError,
    ModelError,
)
from rescore.model import find_saved
from tests.pipeline.training.strangers import adopt, fitted

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain_pickle")]

MLMODEL = """artifact_path: model
flavors:
  python_function:
    env: {conda: conda.yaml, virtualenv: python_env.yaml}
    loader_module: mlflow.sklearn
    model_path: model.pkl
    predict_fn: predict
    python_version: 3.11.9
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
    sklearn_version: VERSION
mlflow_version: 2.22.0
"""


def mlflow_folder(folder: Path, seed: int, text: str = MLMODEL) -> Path:
    """A folder as ``mlflow.sklearn.save_model`` lays it out, written as it writes it."""
    import cloudpickle
    import sklearn

    folder.mkdir()
    (folder / "MLmodel").write_text(text.replace("VERSION", sklearn.__version__))
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(fitted(seed)))
    (folder / "requirements.txt").write_text("scikit-learn\n")
    return folder


def test_an_mlflow_folder_scores_as_the_file_in_it(harbour, saved, seed, tmp_path):
    first = adopt(harbour.ctx, saved)
    adopted = adopt(harbour.ctx, mlflow_folder(tmp_path / "mlflow", seed))
    one, other = (harbour.ctx.store.packages.find("tides", done.sha256) for done in (first, adopted))
    assert one.manifest.artifact.sha256 == other.manifest.artifact.sha256
    assert other.manifest.training.adopted_from["format"] == "mlflow sklearn (cloudpickle)"


@pytest.mark.parametrize(
    ("was", "instead", "kind", "match"),
    [
        (
            "sklearn_version: VERSION",
            "sklearn_version: 1.2.2",
            EnvironmentMismatchError,
            "scikit-learn 1.2.2",
        ),
        ("format: cloudpickle", "format: skops", ModelError, "serialised as skops"),
        ("  sklearn:", "  tensorflow:", ModelError, "no flavour that is read here"),
        ("pickled_model: model.pkl", "pickled_model: ../../x.pkl", ModelError, "has no file"),
        ("flavors:", "flavours:", ModelError, "can't be read"),
    ],
)
def test_other_mlflow_folders_are_refused(seed, tmp_path, was, instead, kind, match):
    with pytest.raises(kind, match=match) as caught:
        find_saved(mlflow_folder(tmp_path / "other", seed, MLMODEL.replace(was, instead)))
    assert caught.value.expected
