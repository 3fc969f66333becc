"""A manifest is read as a value, and written as it was read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore.errors import DocumentError
from rescore.manifest import Manifest

WHEELS = sorted((Path(__file__).parent / "golden").glob("v*/*.whl"))

texts = st.text("abcdeß _", max_size=6)
numbers = st.none() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
extras = st.dictionaries(
    texts.map("later_{}".format), numbers | texts | st.lists(texts, max_size=2), max_size=2
)


def part(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these fields, and some that a later release added."""
    return st.tuples(st.fixed_dictionaries({}, optional=fields), extras).map(lambda two: {**two[1], **two[0]})


metrics = st.dictionaries(texts, numbers, max_size=3)
fold = {"rows": st.integers(0, 9), "from": texts, "last_interval": texts, "metrics": metrics}
manifests = part(
    name=texts,
    version=texts,
    seed=st.integers(),
    features=st.lists(
        part(kind=texts, levels=st.lists(texts, max_size=2)).map(lambda one: {**one, "name": "x"})
    ),
    target=part(name=texts, labels=st.lists(texts, max_size=3)),
    training=part(rows=st.none() | st.integers(0, 9), reproducible=st.booleans()),
    metrics=metrics,
    evaluation=part(**fold, folds=st.lists(part(**fold), max_size=2), importance=st.just({"x": 0})),
    lineage=part(snapshot_digest=st.none(), snapshot=texts | metrics),
    built=part(image=st.none() | texts),
)


@given(manifests)
def test_what_is_read_is_written_alike(said: dict[str, Any]) -> None:
    said = {"format": 1, **said}
    written = Manifest.from_dict(said).to_dict()
    assert json.dumps(written, sort_keys=True) == json.dumps(said, sort_keys=True)


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.parent.name)
def test_a_kept_package_says_the_same_to_the_last_byte(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [member] = [name for name in archive.namelist() if name.endswith("/_data/manifest.json")]
        content = archive.read(member).decode()
    manifest = Manifest.from_dict(json.loads(content))
    assert json.dumps(manifest.to_dict(), sort_keys=True, indent=1) + "\n" == content
    assert manifest.feature_names == ["distance", "wind", "stops", "carrier", "holiday"]
    assert manifest.evaluation.folds[1].start == "2013-01-05T09:00:00.000000Z"


def test_the_store_alone_knows_the_build() -> None:
    manifest = Manifest.from_dict({"name": "loans", "built": {"image": "sha256:33"}})
    assert manifest.built.image == "sha256:33"
    assert manifest.of_file() == {"format": 1, "name": "loans"}


def test_a_later_format_is_refused() -> None:
    with pytest.raises(DocumentError, match="format 2"):
        Manifest.from_dict({"format": 2})
