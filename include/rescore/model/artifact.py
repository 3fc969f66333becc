"""The fitted pipeline as bytes that depend on nothing but the pipeline.

``skops`` gives other bytes for the same pipeline each time. Why, and what is done about it:

- Each object's id is its memory address, and array files are called after it. Ids matter only where
  one object occurs twice; those are numbered from 1 in the order of the document, all others are
  left out, so are those of immutable leaves, whose sharing is up to the interpreter. Files are
  numbered in the order in which they are referred to.
- ``bytes`` get a random file name: numbered likewise.
- A set is written in hash order: it is sorted by content.
- Padding inside records of a tree's nodes is memory as it was found: it is zeroed.
- Zip members carry the time: it is fixed, and so are modes, order and storage (not compressed,
  since compressed bytes differ between builds of zlib; the same holds inside ``.npz``).
- A search (``GridSearchCV``) records how long its fits took, a text vectorizer the address of its stop
  words: these are removed, and so is more that no prediction needs (:mod:`rescore.model.fit_leftovers`).

What is loaded from the canonical file is what would be loaded from skops' own.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rescore.errors import RefusedTypeError
from rescore.model.boosters import BOOSTER_TYPES
from rescore.model.fit_leftovers import distributions_apart, remove_accidents
from rescore.model.runtime.reader import names
from rescore.model.wheel_format import write_zip

__all__ = ["canonical", "differing", "refuse_types", "serialise"]

_LEAVES = frozenset({"BytesNode", "FunctionNode", "JsonNode", "TypeNode"})
_ALLOWED_ROOTS = ("numpy.", "scipy.", "sklearn.")
_ALLOWED = BOOSTER_TYPES | {"functools.partial"}


def serialise(fitted: Any, *, model: str, declared: Sequence[str] = ()) -> tuple[bytes, list[str]]:
    """Write a fitted pipeline in canonical form.

    Parameters
    ----------
    fitted : estimator
        Changed in place: durations and addresses that it recorded are removed.
    model : str
        The model's name, whose own modules are allowed.
    declared : sequence of str
        Further types that the model folder allows (``TRUSTED_TYPES`` in pipeline.py).

    Returns
    -------
    bytes
        The artifact.
    list of str
        Every type and function that it names, sorted.

    Raises
    ------
    RefusedTypeError
        It holds something that skops can't write, or a type that is not allowed.
    """
    from skops.io import dumps, get_untrusted_types

    remove_accidents(fitted)
    try:
        with distributions_apart(fitted):
            written = dumps(fitted)
    except Exception as error:
        why = "an object that refers to itself" if isinstance(error, RecursionError) else error
        raise RefusedTypeError(
            f"the fitted pipeline holds something that can't be written: {why}",
            where="the fitted pipeline",
            expected="estimators, arrays, numbers, strings and containers of them",
            fix="keep other objects (frames, connections, generators) out of fitted attributes",
        ) from error
    content = canonical(written)
    untrusted = get_untrusted_types(data=content)
    refuse_types(content, untrusted, model=model, declared=declared)
    return content, sorted({*untrusted, *names(_schema(content))})


def refuse_types(content: bytes, types: Sequence[str], *, model: str, declared: Sequence[str]) -> None:
    """Refuse types that are not of the libraries that are read, a booster's, the model's own or declared."""
    roots = (*_ALLOWED_ROOTS, f"{model}.")
    refused = [
        one for one in types if not one.startswith(roots) and one not in _ALLOWED and one not in declared
    ]
    if refused:
        schema = _schema(content)
        steps = _steps(schema)
        places = {
            f"{node['__module__']}.{node['__class__']}": _placed(path, steps)
            for path, node in _nodes(schema)
            if path
        }
        shown = [f"{one} at {places.get(one) or 'the estimator itself'}" for one in refused]
        raise RefusedTypeError(
            f"the fitted pipeline holds {refused[0]}, a type outside the allow-list",
            where=f"the fitted pipeline: {places.get(refused[0]) or 'the estimator itself'}",
            expected="types of scikit-learn, LightGBM, XGBoost, CatBoost, numpy, scipy and the model folder",
            fix="replace it, or name it in TRUSTED_TYPES = (...) in pipeline.py",
            examples=shown,
            data={"types": refused},
        )


def canonical(written: bytes) -> bytes:
    """Rewrite a skops file so that its bytes depend on its content alone."""
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        schema = json.loads(archive.read("schema.json"))
        _sort_sets(schema)
        shared = _shared_ids(schema)
        numbers: dict[Any, int] = {}
        files: dict[str, str] = {}
        for _, node in _nodes(schema):
            identity = node.pop("__id__", None)
            if identity in shared and node["__loader__"] not in _LEAVES:
                node["__id__"] = numbers.setdefault(identity, len(numbers) + 1)
            if "file" in node:
                suffix = node["file"].rpartition(".")[2]
                node["file"] = files.setdefault(node["file"], f"{len(files) + 1:06d}.{suffix}")
        members = {new: _canonical_file(new, archive.read(old)) for old, new in files.items()}
    members["schema.json"] = json.dumps(schema, separators=(",", ":")).encode()
    return write_zip(members)


def differing(one: bytes, other: bytes) -> list[str]:
    """Where two canonical artifacts differ: each parameter, with the step it belongs to and both values.

    Returns
    -------
    list of str
        In the order of the document, like ``.steps[1][1].C (step 'logisticregression'): 1.0 and 2.0``;
        empty if the artifacts are the same.
    """
    if one == other:
        return []
    # An object and the dict of its attributes have one path; the loader tells them apart.
    left, right = (
        {(path, node["__loader__"]): node for path, node in _nodes(_schema(side))} for side in (one, other)
    )
    steps = _steps(_schema(one))
    arrays_left, arrays_right = _members(one), _members(other)
    found = []
    for (path, loader), node in left.items():
        twin = right.get((path, loader))
        if twin is None:
            found.append(f"{_placed(path, steps)}: only in one of them")
        elif (ours := _own(node, arrays_left)) != (theirs := _own(twin, arrays_right)):
            found.append(f"{_placed(path, steps)}: {_values(ours, theirs)}")
    extra = sorted(right.keys() - left.keys())
    found += [f"{_placed(path, steps)}: only in one of them" for path, _ in extra]
    return list(dict.fromkeys(found)) or ["the order of shared objects"]


def _steps(schema: dict[str, Any]) -> dict[str, str]:
    """Path of each named part (a pipeline's step, a transformer, an ensemble's member) to its name."""
    leaves = {path: node for path, node in _nodes(schema) if node["__loader__"] == "JsonNode"}
    return {
        path.removesuffix("[0]"): json.loads(node["content"])
        for path, node in leaves.items()
        if path.endswith("][0]") and isinstance(node["content"], str) and node["content"].startswith('"')
    }


def _placed(path: str, steps: dict[str, str]) -> str:
    """A path with the names of the steps that it leads through."""
    through = [name for start, name in steps.items() if path.startswith(start + "[")]
    place = path or "the estimator"
    return f"{place} (step {' / '.join(map(repr, through))})" if through else place


def _own(node: dict[str, Any], files: dict[str, bytes]) -> tuple[Any, ...]:
    content = node.get("content")
    leaf = content if isinstance(content, str | int | float) else None
    keys = list(content) if isinstance(content, dict) else len(content) if isinstance(content, list) else None
    return node["__class__"], node["__module__"], leaf, keys, files.get(node.get("file", ""))


def _values(one: tuple[Any, ...], other: tuple[Any, ...]) -> str:
    """Two nodes' own content in words: a type, a value, the first element of an array that differs."""
    if one[:2] != other[:2]:
        return f"a {one[1]}.{one[0]} and a {other[1]}.{other[0]}"
    if one[2] != other[2]:
        return f"{str(one[2])[:40]} and {str(other[2])[:40]}"
    if one[3] != other[3]:
        return f"{str(one[3])[:40]} and {str(other[3])[:40]} (its items)"
    try:
        left, right = (np.load(io.BytesIO(side[4]), allow_pickle=False) for side in (one, other))
        if left.shape != right.shape or left.dtype != right.dtype:
            return f"arrays {left.dtype} {left.shape} and {right.dtype} {right.shape}"
        bits_left, bits_right = (np.frombuffer(side.tobytes(), np.uint8) for side in (left, right))
        where = np.flatnonzero((bits_left != bits_right).reshape(left.size, -1).any(axis=1))
        first = left.ravel()[where[0]], right.ravel()[where[0]]
        return f"{len(where):,} of {left.size:,} elements, the first is {where[0]}: {first[0]} and {first[1]}"
    except (ValueError, TypeError, OSError, EOFError):
        return "other bytes"


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _schema(content: bytes) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(_members(content)["schema.json"])
    return schema


def _nodes(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a schema in document order, with its path in the pipeline."""
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item, path)
    elif isinstance(value, dict):
        loader = value.get("__loader__")
        if loader is not None:
            yield path, value
        for key, item in list(value.items()):
            for step, child in _children(key, item, loader):
                yield from _nodes(child, path + step)


def _children(key: str, item: Any, loader: str | None) -> list[tuple[str, Any]]:
    """What a field of a node holds, each with its step in the path."""
    if key == "content" and isinstance(item, dict) and loader == "DictNode":
        return [(f".{name}", child) for name, child in item.items()]
    if key == "content" and isinstance(item, list):
        return [(f"[{index}]", child) for index, child in enumerate(item)]
    return [("<keys>" if key == "key_types" and loader == "DictNode" else "", item)]


def _sort_sets(schema: dict[str, Any]) -> None:
    for _, node in reversed(list(_nodes(schema))):
        if node["__loader__"] == "SetNode":
            node["content"].sort(key=_without_ids)


def _without_ids(value: Any) -> str:
    def strip(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: strip(item) for key, item in part.items() if key not in {"__id__", "file"}}
        return [strip(item) for item in part] if isinstance(part, list) else part

    return json.dumps(strip(value), sort_keys=True)


def _shared_ids(schema: dict[str, Any]) -> set[Any]:
    counted = Counter(node.get("__id__") for _, node in _nodes(schema))
    return {identity for identity, times in counted.items() if identity is not None and times > 1}


def _canonical_file(name: str, content: bytes) -> bytes:
    if name.endswith(".npz"):
        return write_zip({inner: _canonical_file(inner, data) for inner, data in _members(content).items()})
    if not name.endswith(".npy"):
        return content
    array = np.load(io.BytesIO(content), allow_pickle=False)
    fields = array.dtype.fields
    if fields and sum(field[0].itemsize for field in fields.values()) < array.dtype.itemsize:
        # Not zeros_like: it leaves the padding as the memory was.
        clean = np.zeros(array.shape, array.dtype, order="F" if np.isfortran(array) else "C")
        for field in fields:
            clean[field] = array[field]
        buffer = io.BytesIO()
        np.save(buffer, clean, allow_pickle=False)
        return buffer.getvalue()
    return content
