"""``model.yaml`` with hostile values, keys and bytes: a declaration, or an error of ours."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rescore.errors import SpecError
from rescore.folder import load_model
from tests.fuzz.hostile import fuzzed, hostile_texts, refusals, unsafe_characters
from tests.shared.harbour import MODEL, MODELS

DECLARED: dict[str, Any] = yaml.safe_load((MODELS / MODEL / "model.yaml").read_text()) | {
    "shared_features": ["calendar"],
    "segments": ["wind"],
    "retention": {"frozen_inputs": "400d"},
    "promotion": {"approval": "manual"},
}


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where each value of a declaration stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(place for key, item in items for place in places(item, (*above, key)))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(MODELS / MODEL, tmp_path / "models" / MODEL)
    return tmp_path / "models" / MODEL


def load(folder: Path, content: bytes) -> None:
    (folder / "model.yaml").write_bytes(content)
    with refusals():
        model = load_model(folder.parent, folder.name)
        assert unsafe_characters(repr(model.spec).replace("\\n", "")) == set()
        for name, text in every_text(model.spec.model_dump()):
            assert unsafe_characters(text) == set(), name
        with refusals() as refused:
            read = model.source_files()
            assert not refused and {Path(name).name for name in read} >= {"model.yaml"}


def every_text(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(name, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in every_text(item, f"{name}.{key}")]


@fuzzed
@given(
    st.sampled_from(places(DECLARED)[1:]),
    st.one_of(
        hostile_texts,
        st.none(),
        st.integers(),
        st.floats(),
        st.lists(hostile_texts, max_size=2),
        st.dictionaries(hostile_texts, hostile_texts, max_size=2),
    ),
)
def test_a_hostile_value_anywhere(folder: Path, place: tuple[Any, ...], value: Any) -> None:
    declared = copy.deepcopy(DECLARED)
    inside = declared
    for part in place[:-1]:
        inside = inside[part]
    inside[place[-1]] = value
    load(folder, yaml.safe_dump(declared).encode())


@fuzzed
@given(
    st.sampled_from([place for place in places(DECLARED)[1:] if isinstance(place[-1], str)]), hostile_texts
)
def test_a_hostile_key_anywhere(folder: Path, place: tuple[Any, ...], key: str) -> None:
    declared = copy.deepcopy(DECLARED)
    inside = declared
    for part in place[:-1]:
        inside = inside[part]
    inside[key] = inside.pop(place[-1])
    load(folder, yaml.safe_dump(declared).encode())


@fuzzed
@given(st.data())
def test_bytes_that_were_cut_put_in_or_changed(folder: Path, data: st.DataObject) -> None:
    content = yaml.safe_dump(DECLARED).encode()
    at = data.draw(st.integers(0, len(content)))
    until = data.draw(st.integers(at, min(len(content), at + 20)))
    put = data.draw(
        st.one_of(st.binary(max_size=10), hostile_texts.map(lambda text: text.encode(errors="surrogatepass")))
    )
    load(folder, content[:at] + put + content[until:])


@pytest.mark.parametrize("module", ["../../secret", "/etc/hostname", "a/b", "a\\b", ".."])
def test_shared_features_are_names_of_files_beside_each_other(folder: Path, module: str) -> None:
    (folder.parent.parent / "secret.py").write_text("password = 'x'\n")
    (folder / "model.yaml").write_text(yaml.safe_dump(DECLARED | {"shared_features": [module]}))
    with pytest.raises(SpecError, match="shared_features"):
        load_model(folder.parent, folder.name)
