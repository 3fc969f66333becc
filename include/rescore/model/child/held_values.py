"""The values that an artifact holds, attribute by attribute: whatever a package carries is in its file.

What is looked at is the file and not the object that was written: nothing hides there behind slots,
compiled types or state that only ``__reduce__`` gives.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rescore.model.boosters import COMPILED
from rescore.model.child.seen_rows import RARE
from rescore.model.child.written_numbers import (
    numbers_of_bytes,
    numbers_of_texts,
    text_of,
    unpacked,
    unwrapped,
)

__all__ = ["Held", "held_values"]

#: Compiled parts that hold thresholds and counts of the trees people use; and states of generators.
#: A tree's thresholds lie between two rows' values, or are quantiles, and say nothing of one row alone; what
#: a regression's leaf predicts is its rows' mean target, so leaves of few rows are counted.
NOT_ROWS = frozenset({"Tree", "TreePredictor", "_BinMapper", "RandomState", "Generator", "BitGenerator"})
_NOT_ROWS_FROM = ("sklearn.", "numpy.")

_CONTAINERS = frozenset({"ListNode", "TupleNode", "SetNode"})
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass
class Held:
    """What one attribute of one object in the artifact holds, at any depth below it.

    Attributes
    ----------
    path : str
        Where, like ``.steps[1][1]._fit_X``.
    owners : tuple of str
        Types of the objects that it is in, the outermost first.
    attribute : str
        Of the innermost of them; empty where the type has none.
    lengths : set of int
        Every dimension of every array, and every container's length.
    numbers : list of ndarray of float64, shape (n_values,)
        Each array's or container's own, flat.
    vectors : list of ndarray of int, shape (n_values,)
        For each number, which vector (row of an array, or list, or dict) it stands in.
    coarse : list of ndarray of bool, shape (n_values,)
        For each number, whether it was held in 32 bits or fewer.
    texts : list of str
    vectors_so_far : int
    few : int
        Of a tree that predicts numbers: leaves of fewer than ``RARE`` rows.
    """

    path: str
    owners: tuple[str, ...]
    attribute: str
    lengths: set[int] = field(default_factory=set)
    numbers: list[npt.NDArray[np.float64]] = field(default_factory=list)
    vectors: list[npt.NDArray[np.int64]] = field(default_factory=list)
    coarse: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    vectors_so_far: int = 0
    few: int = 0

    @property
    def place(self) -> str:
        """``KNeighborsClassifier._fit_X``, or the type alone."""
        owner = self.owners[-1] if self.owners else "the artifact"
        return f"{owner}.{self.attribute}" if self.attribute else owner

    def add(self, array: npt.NDArray[Any]) -> None:
        """Take an array's shape and its values."""
        self.lengths.update(int(one) for one in array.shape)
        if array.dtype.fields:
            for name in array.dtype.fields:
                self.add(array[name])
            return
        if array.dtype.kind in "US":
            self.texts += [str(one) for one in array.ravel()]
            return
        if array.dtype.kind in "mM":  # as moments of the rows are, and as the numbers that they were made of
            self._add_numbers(array.astype(np.int64))
            array = array.astype("M8[us]" if array.dtype.kind == "M" else "m8[us]").astype(np.int64)
        if array.dtype.kind == "c":
            self._add_numbers(array.real)
            array = array.imag
        if array.dtype.kind in "biuf":
            self._add_numbers(array)

    def _add_numbers(self, array: npt.NDArray[Any]) -> None:
        if not array.size:
            return
        width = array.shape[-1] if array.ndim else 1
        place = np.arange(array.size) // max(width, 1) + self.vectors_so_far
        self.vectors_so_far += array.size // max(width, 1)
        self.numbers.append(array.ravel().astype(np.float64))
        self.vectors.append(place)
        self.coarse.append(np.full(array.size, _is_coarse(array.dtype)))


def held_values(content: bytes) -> Iterator[Held]:
    """What each attribute of each object of a canonical artifact holds.

    Parameters
    ----------
    content : bytes
        The file as :func:`rescore.model.artifact.serialise` gives it.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        yield from _objects(json.loads(archive.read("schema.json")), "", (), archive)


def _objects(
    node: dict[str, Any], path: str, owners: tuple[str, ...], archive: zipfile.ZipFile
) -> Iterator[Held]:
    """Go through an object: one ``Held`` for each attribute, then the objects below."""
    if _is_exempt(node):
        yield from _leaves(node, path, owners, archive)
        return
    if not _is_object(node):  # an artifact that is a bare container or array
        yield from _attribute(node, path, owners, "", archive)
        return
    inside = (*owners, str(node["__class__"]))
    for state in _states(node):
        if state.get("__loader__") == "DictNode":
            for name, item in state["content"].items():
                if COMPILED.get(f"{node['__module__']}.{node['__class__']}") == name:
                    continue  # thresholds and counts, as in scikit-learn's trees
                yield from _below(item, f"{path}.{name}", inside, name, archive)
        else:
            yield from _below(state, path, inside, "", archive)


def _leaves(
    node: dict[str, Any], path: str, owners: tuple[str, ...], archive: zipfile.ZipFile
) -> Iterator[Held]:
    """A tree's leaves of few rows; none of a tree of classes, whose leaves hold shares."""
    kind = str(node["__class__"])
    if kind not in {"Tree", "TreePredictor"}:
        return
    state = node["content"]["content"]
    nodes = np.load(io.BytesIO(archive.read(state["nodes"]["file"])), allow_pickle=False)
    if kind == "Tree":
        values = np.load(io.BytesIO(archive.read(state["values"]["file"])), allow_pickle=False)
        few = (nodes["left_child"] == -1) & (nodes["n_node_samples"] < RARE) & (values.shape[2] == 1)
    else:
        few = (nodes["is_leaf"] == 1) & (nodes["count"] < RARE)
    if few.any():
        yield Held(path, (*owners, kind), "value", few=int(few.sum()))


def _states(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes directly within an object's: its attributes, and what its constructor takes."""
    for value in node.values():
        if isinstance(value, dict):
            if "__loader__" in value:
                yield value
            else:
                yield from _states(value)


def _below(
    node: Any, path: str, owners: tuple[str, ...], attribute: str, archive: zipfile.ZipFile
) -> Iterator[Held]:
    if _is_object(node):
        yield from _objects(node, path, owners, archive)
    else:
        yield from _attribute(node, path, owners, attribute, archive)


def _attribute(
    node: Any, path: str, owners: tuple[str, ...], attribute: str, archive: zipfile.ZipFile
) -> Iterator[Held]:
    held = Held(path, owners, attribute)
    objects: list[tuple[str, dict[str, Any]]] = []
    _gather(node, path, held, objects, archive)
    for text in held.texts:  # and in the texts that are found meanwhile
        if wrapped := unwrapped(text):
            _add_bytes(held, wrapped)
    _add_numbers(held, *numbers_of_texts(held.texts))
    if held.lengths or held.numbers or held.texts:
        yield held
    for place, one in objects:
        yield from _objects(one, place, owners, archive)


def _gather(
    node: Any,
    path: str,
    held: Held,
    objects: list[tuple[str, dict[str, Any]]],
    archive: zipfile.ZipFile,
) -> None:
    """Put a container's scalars and arrays into ``held``; objects in it are for later."""
    if not isinstance(node, dict):
        return
    loader = node.get("__loader__")
    if loader == "JsonNode":
        _gather_items([node], path, held, objects, archive)
    elif loader in _CONTAINERS:
        held.lengths.add(len(node["content"]))
        _gather_items(node["content"], path, held, objects, archive)
    elif loader in {"DictNode", "OrderedDictNode", "DefaultDictNode"}:
        content = node["content"]
        held.lengths.add(len(content))
        held.texts += [key for key in content if not _NUMBER.fullmatch(key)]
        _add_numbers(held, [float(key) for key in content if _NUMBER.fullmatch(key)])
        _gather_items(list(content.values()), path, held, objects, archive)
    elif loader == "NdArrayNode" and node.get("type") == "json":
        items = node["content"]
        held.lengths.update(_shape(node))
        _gather_items(items if isinstance(items, list) else [items], path, held, objects, archive)
    elif loader == "MaskedArrayNode":
        for part in node["content"].values():
            _gather(part, path, held, objects, archive)
    elif "file" in node:
        _gather_file(node, held, archive)
    elif _is_object(node):
        objects.append((path, node))


def _gather_items(
    items: list[Any],
    path: str,
    held: Held,
    objects: list[tuple[str, dict[str, Any]]],
    archive: zipfile.ZipFile,
) -> None:
    numbers: list[float] = []
    coarse: list[bool] = []
    for index, item in enumerate(items):
        if item.get("__loader__") == "JsonNode":
            value = json.loads(item["content"])
            if isinstance(value, str):
                held.texts.append(value)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                numbers.append(float(value))
                coarse.append(False)
        elif item.get("__loader__") == "NdArrayNode" and item.get("__class__") != "ndarray":
            array = np.load(io.BytesIO(archive.read(item["file"])), allow_pickle=False)  # numpy's scalars
            if array.dtype.kind in "biuf":
                numbers.append(float(array))
                coarse.append(_is_coarse(array.dtype))
            elif array.dtype.kind in "US":
                held.texts.append(str(array))
        else:
            _gather(item, f"{path}[{index}]", held, objects, archive)
    _add_numbers(held, numbers, coarse=coarse)


def _gather_file(node: dict[str, Any], held: Held, archive: zipfile.ZipFile) -> None:
    content = archive.read(node["file"])
    if node["file"].endswith(".npy"):
        held.add(np.load(io.BytesIO(content), allow_pickle=False))
    elif node["file"].endswith(".npz"):
        from scipy.sparse import load_npz

        matrix: Any = load_npz(io.BytesIO(content))
        matrix = matrix.tocoo()
        held.lengths.update(int(one) for one in matrix.shape)
        coarse = _is_coarse(matrix.data.dtype)
        _add_numbers(held, matrix.data, matrix.coords[0].astype(np.int64), coarse=coarse)
    else:
        _add_bytes(held, content)


def _add_bytes(held: Held, content: bytes) -> None:
    content = unpacked(content)
    if text := text_of(content):
        held.texts.append(text)
    for values, kind in numbers_of_bytes(content):
        _add_numbers(held, values, coarse=_is_coarse(np.dtype(kind)))


def _is_coarse(kind: np.dtype[Any]) -> bool:
    return kind.kind == "f" and kind.itemsize < 8


def _add_numbers(
    held: Held,
    numbers: Any,
    vectors: npt.NDArray[np.int64] | None = None,
    *,
    coarse: bool | list[bool] = False,
) -> None:
    values = np.asarray(numbers, dtype=np.float64)
    if not values.size:
        return
    place = np.zeros(values.size, np.int64) if vectors is None else vectors
    held.numbers.append(values)
    held.vectors.append(place + held.vectors_so_far)
    held.coarse.append(np.broadcast_to(np.asarray(coarse, dtype=bool), values.shape))
    held.vectors_so_far += int(place.max()) + 1


def _shape(node: dict[str, Any]) -> list[int]:
    return [int(json.loads(one["content"])) for one in node["shape"]["content"]]


def _is_object(node: Any) -> bool:
    """Whether it is an object with attributes or a state, not a plain container, array or scalar."""
    loader = node.get("__loader__") if isinstance(node, dict) else None
    plain = _CONTAINERS | {"DictNode", "OrderedDictNode", "DefaultDictNode", "JsonNode", "NdArrayNode"}
    return loader is not None and loader not in plain | {"MaskedArrayNode"} and "file" not in node


def _is_exempt(node: dict[str, Any]) -> bool:
    named = node.get("__class__") in NOT_ROWS or node.get("__loader__") in {
        "RandomStateNode",
        "RandomGeneratorNode",
    }
    return named and str(node.get("__module__", "")).startswith(_NOT_ROWS_FROM)
