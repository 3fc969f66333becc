"""Reading a skops file without skops, which imports all of scikit-learn to know what it trusts.

A skops file is a zip of ``schema.json``, a tree of nodes that each name a type and a way to build it,
and of arrays. The package's manifest lists every name in that tree, as training found them and allowed
them; a name that it does not list is refused before anything is imported. What is built is what
``skops.io.load`` builds.

Nodes of kinds that few estimators hold (:class:`UnknownNode`) are left to skops itself.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

__all__ = ["UnknownNode", "names", "read"]

#: The version of skops' format that this reads.
PROTOCOL = 2
Node = Mapping[str, Any]


class UnknownNode(Exception):
    """The file holds a node of a kind that only skops reads."""


def names(schema: Any) -> set[str]:
    """Every type and function that a schema names, like ``sklearn.tree._tree.Tree``."""
    return {f"{node['__module__']}.{node['__class__']}" for node in _nodes(schema)}


def read(content: bytes, allowed: set[str]) -> Any:
    """Build the object of a skops file.

    Parameters
    ----------
    content : bytes
        The file.
    allowed : set of str
        Every name that it may hold.

    Raises
    ------
    UnknownNode
        It holds a node of a kind that only skops reads, or is of another protocol.
    TypeError
        It holds a name that is not allowed; nothing was imported.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = json.loads(archive.read("schema.json"))
        files = {name: archive.read(name) for name in archive.namelist()}
    refused = sorted(names(schema) - allowed)
    if refused:
        raise TypeError(f"it names {', '.join(refused)}, which its manifest does not list")
    unknown = {node["__loader__"] for node in _nodes(schema)} - _BUILDERS.keys()
    if unknown or schema.get("protocol") != PROTOCOL:
        raise UnknownNode(", ".join(sorted(unknown)))
    return _Builder(files).build(schema)


def _nodes(value: Any) -> Iterator[Node]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "__loader__" in part:
                yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


class _Builder:
    """Builds nodes; one that is referred to from several places is built once."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._built: dict[int, Any] = {}

    def build(self, node: Node) -> Any:
        identity = node.get("__id__")
        if identity is None:
            return _BUILDERS[node["__loader__"]](self, node)
        if identity not in self._built:
            self._built[identity] = _BUILDERS[node["__loader__"]](self, node)
        return self._built[identity]

    def named(self, node: Node) -> Any:
        return getattr(import_module(node["__module__"]), node["__class__"])

    def mapping(self, node: Node) -> Any:
        built = self.named(node)()
        for kind, (key, item) in zip(self.build(node["key_types"]), node["content"].items(), strict=True):
            built[key == "true" if kind is bool else kind(key)] = self.build(item)
        return built

    def default_mapping(self, node: Node) -> Any:
        main, factory = (self.build(node["content"][part]) for part in ("main", "default_factory"))
        return self.named(node)(factory, main)

    def items(self, node: Node) -> Any:
        return self.named(node)([self.build(item) for item in node["content"]])

    def tuple(self, node: Node) -> Any:
        kind, items = self.named(node), tuple(self.build(item) for item in node["content"])
        return kind(*items) if hasattr(kind, "_fields") else items

    def array(self, node: Node) -> Any:
        if node["type"] == "numpy":
            array = np.load(io.BytesIO(self._files[node["file"]]), allow_pickle=False)
            kind = self.named(node)
            return array if kind is np.ndarray else kind(array)
        shape, items = self.build(node["shape"]), [self.build(item) for item in node["content"]]
        if len(shape) != 1:
            return np.array(items, dtype=object)
        objects = np.ndarray(len(items), dtype=object)
        for position, item in enumerate(items):
            objects[position] = item
        return objects

    def masked(self, node: Node) -> Any:
        return np.ma.MaskedArray(self.build(node["content"]["data"]), self.build(node["content"]["mask"]))

    def sparse(self, node: Node) -> Any:
        from scipy.sparse import load_npz

        return load_npz(io.BytesIO(self._files[node["file"]]))

    def object(self, node: Node) -> Any:
        kind = self.named(node)
        attributes = self.build(node["content"]) if node.get("content") is not None else None
        return _with_state(kind.__new__(kind), attributes)

    def called(self, node: Node) -> Any:
        return self.named(node)(*self.build(node["content"]))

    def reduced(self, node: Node) -> Any:
        built = self.named(node)(*self.build(node["__reduce__"]["args"]))
        state = self.build(node["content"])
        return _with_state(built, state) if state else built

    def partial(self, node: Node) -> Any:
        part = {name: self.build(child) for name, child in node["content"].items()}
        built = partial(part["func"], *part["args"], **part["kwds"])
        built.__dict__.update(part["namespace"] or {})
        return built

    def generator(self, node: Node) -> Any:
        state = self.build(node["content"]["bit_generator"])
        kind = getattr(np.random, state["bit_generator"])
        if not (isinstance(kind, type) and issubclass(kind, np.random.BitGenerator)):
            raise TypeError(f"{state['bit_generator']} is no bit generator of numpy")
        source = kind(np.random.SeedSequence(**self.build(node["content"]["seed_seq"])))
        source.state = state
        return self.named(node)(source)

    def random_state(self, node: Node) -> Any:
        built = self.named(node)()
        built.set_state(self.build(node["content"]))
        return built


def _with_state(instance: Any, state: Any) -> Any:
    if state is None:
        return instance
    if hasattr(instance, "__setstate__"):
        instance.__setstate__(state)
    else:
        instance.__dict__.update(state)
    return instance


_BUILDERS: dict[str, Callable[[_Builder, Node], Any]] = {
    "BytearrayNode": lambda builder, node: bytearray(builder._files[node["file"]]),
    "BytesNode": lambda builder, node: builder._files[node["file"]],
    "ConstructorFromReduceNode": _Builder.called,
    "DTypeNode": lambda builder, node: builder.build(node["content"]).dtype,
    "DefaultDictNode": _Builder.default_mapping,
    "DictNode": _Builder.mapping,
    "FunctionNode": _Builder.named,
    "JsonNode": lambda builder, node: json.loads(node["content"]),
    "ListNode": _Builder.items,
    "LossNode": _Builder.reduced,
    "MaskedArrayNode": _Builder.masked,
    "NdArrayNode": _Builder.array,
    "ObjectNode": _Builder.object,
    "PartialNode": _Builder.partial,
    "RandomGeneratorNode": _Builder.generator,
    "RandomStateNode": _Builder.random_state,
    "SetNode": _Builder.items,
    "SliceNode": lambda builder, node: slice(*(node["content"][part] for part in ("start", "stop", "step"))),
    "SparseMatrixNode": _Builder.sparse,
    "TreeNode": _Builder.reduced,
    "TupleNode": _Builder.tuple,
    "TypeNode": _Builder.named,
}
