"""The page on ``model.yaml``: each key with its type, default, bounds and meaning."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic.fields import FieldInfo

from rescore.spec import ModelSpec
from rescore.spec_values import Declared, Name
from scripts.reference.markdown import code, prose, table

__all__ = ["meanings", "model_yaml", "sections"]

_PLAIN = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    datetime: "date or moment",
    timedelta: "duration",
}
_BOUNDS = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}
_LENGTHS = {"min_length": "at least {} of them", "max_length": "at most {} characters"}


def model_yaml() -> str:
    """The page."""
    parts = [
        "# model.yaml",
        "Every key of a model's declaration. A key that is unknown or wrong is an error that names the "
        "file, the key and the fix. A *duration* is a number with a unit: `90s`, `30m`, `24h`, `7d` or "
        "`2w`. A *name* has lower-case letters, digits and `_`, at most 48, and starts with a letter. "
        "How to write one: [Add a model](../guides/add-a-model.md).",
    ]
    for path, kind in sections(ModelSpec):
        rows = [
            [code(field.alias or name), *_described(field), meanings(kind)[name]]
            for name, field in kind.model_fields.items()
        ]
        parts += [
            f"## {path or 'The whole'}",
            prose(kind.__doc__),
            table(["Key", "Type", "Default", "Meaning"], rows),
        ]
    return "\n\n".join(parts) + "\n"


def sections(kind: type[Declared], path: str = "") -> Iterator[tuple[str, type[Declared]]]:
    """A declaration's parts in the order of their keys, each with the dotted path of its key."""
    yield path, kind
    for name, field in kind.model_fields.items():
        for part in _parts(field.annotation):
            several = "[]" if "list" in str(field.annotation) else ""
            yield from sections(part, f"{path}.{field.alias or name}{several}".lstrip("."))


def meanings(kind: type[Declared]) -> Mapping[str, str]:
    """What each key means: the docstring below it."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for statement, after in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[statement.target.id] = prose(str(after.value.value))
    return found


def _parts(annotation: Any) -> Iterator[type[Declared]]:
    """The declarations within a type."""
    if isinstance(annotation, type) and issubclass(annotation, Declared):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _parts(inner)


def _described(field: FieldInfo) -> tuple[str, str]:
    """A key's type with its bounds, and its default."""
    wanted = ", ".join([_type(field.annotation, field.metadata), *_bounds(field.metadata)])
    if field.is_required():
        return wanted, "needed"
    default = field.get_default(call_default_factory=True)
    return wanted, _default(default)


def _type(annotation: Any, metadata: list[Any] | None = None) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], list(arguments[1:]))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type(one, metadata) for one in arguments if one is not type(None))
    if origin is not None:
        return {
            Literal: " or ".join(code(value) for value in arguments),
            list: f"list of {_type(arguments[0])}",
            tuple: f"list of {len(arguments)} texts",
        }.get(origin, "mapping")
    if annotation is str and metadata and set(typing.get_args(Name)[1:]) & set(metadata):
        return "name"
    if isinstance(annotation, type) and issubclass(annotation, Declared):
        return "keys below"
    return _PLAIN.get(annotation, "any value")


def _bounds(metadata: list[Any]) -> Iterator[str]:
    for bound in metadata:
        for names in (_BOUNDS, _LENGTHS):
            for name, words in names.items():
                value = getattr(bound, name, None)
                if value is not None:
                    yield words.format(f"{value:,}" if isinstance(value, int) else value)
        if pattern := getattr(bound, "pattern", None):
            yield f"like {code(pattern)}"


def _default(value: Any) -> str:
    if value is None or value in ([], {}, ""):
        return "none"
    if isinstance(value, Declared):
        return "as below"
    if isinstance(value, timedelta):
        return code(_duration(value))
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, list):
        return "all of them" if len(value) > 1 else code(value[0])
    return code(value)


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"
