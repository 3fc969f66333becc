"""An adopted model's artifact is judged by its own names, whatever was said of it."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rescore.errors import RefusedTypeError
from rescore.model import Fitted
from rescore.model.allowed_types import refuse_unvouched
from rescore.model.artifact import serialise
from rescore.model.wheel_format import write_zip
from tests.model.packages import build
from tests.model.parcels import Trained

CODE = {
    "parcels/pipeline.py": b"from os import system\nTRUSTED_TYPES = ['fractions.Fraction']\nclass Own: 1\n",
    "parcels/_runtime/reader.py": b"def read(): ...\n",
    "parcels/__main__.py": b"def main(): ...\n",
}


def forged(content: bytes, called: str) -> bytes:
    """The artifact with one more attribute, which loading it makes by a call."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    module, _, name = called.rpartition(".")
    node = {"__class__": name, "__module__": module, "__loader__": "ConstructorFromReduceNode"}
    arguments = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": []}
    schema["content"]["content"]["more_"] = {**node, "content": arguments}
    members["schema.json"] = json.dumps(schema).encode()
    return write_zip(members)


@pytest.fixture(scope="module")
def artifact() -> bytes:
    return serialise(LogisticRegression().fit(np.eye(4), [0, 1, 0, 1]), model="parcels")[0]


@pytest.mark.parametrize("called", ["sklearn.svm._classes.SVC", "parcels.pipeline.Own", "fractions.Fraction"])
def test_what_the_libraries_and_the_folder_vouch_for_is_taken(artifact: bytes, called: str) -> None:
    refuse_unvouched(forged(artifact, called), [called], model="parcels", code=CODE)


@pytest.mark.parametrize(
    "called",
    ["builtins.exec", "numpy.lib._datasource.Repository", "scipy.stats._continuous_distns.norm_gen",
     "parcels.pipeline.system", "parcels._runtime.reader.read", "parcels.__main__.main", "decimal.Decimal"],
)  # fmt: skip
def test_anything_else_is_refused_in_the_file_and_in_the_list(artifact: bytes, called: str) -> None:
    for content, stated in ((forged(artifact, called), []), (artifact, [called])):
        with pytest.raises(RefusedTypeError, match=called) as caught:
            refuse_unvouched(content, stated, model="parcels", code=CODE)
        assert caught.value.data == {"types": [called]}


def test_a_forged_adoption_gives_no_wheel(trained: Trained, tmp_path: Path) -> None:
    """What the child wrote of itself, its list of types above all, is what a stranger's code would write."""
    directory = tmp_path / "build"
    shutil.copytree(trained.fitted.directory, directory)
    final: dict[str, Any] = json.loads((directory / "fitted" / "final.json").read_bytes())
    final["adopted"] = {"reproducible": False}
    final["artifact"]["types"] = sorted({*final["artifact"]["types"], "builtins.exec", "builtins.tuple"})
    (directory / "fitted" / "final.json").write_text(json.dumps(final))
    file = directory / "fitted" / "model.skops"
    file.write_bytes(forged(file.read_bytes(), "builtins.exec"))
    with pytest.raises(RefusedTypeError, match=r"builtins\.exec"):
        build(trained, tmp_path / "dist", fitted=Fitted(directory))
    assert not (tmp_path / "dist").exists()
