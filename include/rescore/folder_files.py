"""The files of a model folder as text and as declarations, however people save them.

Whatever is wrong with a file, from its bytes to a key in it, gives a
:class:`~rescore.errors.SpecError` that names the file, the place and the fix.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
from collections.abc import Hashable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError as PydanticError
from pydantic_core import ErrorDetails

from rescore.errors import SpecError

if TYPE_CHECKING:
    from rescore.spec import ModelSpec

__all__ = ["read_bytes", "read_spec", "read_text"]

# libyaml's parser where PyYAML was built with it: ten times as fast.
_SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Levels of lists and mappings within each other.
_MAX_DEPTH = 100


def _open_file(name: str, flags: int) -> int:
    """Open a file; not a pipe that nobody may ever write to, nor a device that never ends."""
    opened = os.open(name, flags | os.O_NONBLOCK)
    mode = os.fstat(opened).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return opened
    os.close(opened)
    raise OSError(errno.EINVAL, "it is a pipe or a device")


def read_bytes(path: Path) -> bytes:
    """The bytes of a file.

    Raises
    ------
    SpecError
        It can't be read: a folder, no permission, a link to nothing; a pipe or a device, which never ends.
    """
    try:
        with open(path, "rb", opener=_open_file) as file:
            return file.read()
    except OSError as error:
        raise SpecError(
            f"{path.name} can't be read: {error.strerror or error}",
            where=str(path),
            expected="a file that this user may read",
            fix=f"remove the folder {path.name} and write the file"
            if isinstance(error, IsADirectoryError)
            else "let this user read it, or write it anew",
        ) from None


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, with or without a byte order mark, or UTF-16 with one.

    Lines end in a line feed, whatever they end in there.

    Raises
    ------
    SpecError
        It can't be read, or is in another encoding; with the line of the first such byte.
    """
    content = read_bytes(path)
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"{path.name} is not UTF-8: byte 0x{content[error.start]:02x} in line {line}",
            where=str(path),
            expected="UTF-8",
            fix="save the file as UTF-8 in the editor; it was written as Windows-1252 or Latin-1, perhaps",
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise SpecError(
            f"{path.name} holds a zero byte in line {line}",
            where=str(path),
            expected="UTF-8",
            fix="save the file as UTF-8 in the editor; it was written as UTF-16, perhaps, or is no text",
        )
    return text


def read_spec(path: Path) -> ModelSpec:
    """Read and validate one ``model.yaml``.

    Raises
    ------
    SpecError
        With the file, and every key that is wrong.
    """
    from rescore.spec import ModelSpec  # many name a model folder, and few read one

    text = read_text(path)
    try:
        _refuse_depth(text)
        declared = yaml.load(text, _Loader)  # noqa: S506 - a safe loader's child
        _refuse_circles(declared)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        # YAML's own name for a text that was not read from a file.
        said = re.sub(r"\S{200,}", lambda word: f"{word[0][:100]}…", str(error))
        said = said.replace('"<unicode string>", ', "")
        raise SpecError(
            f"model.yaml is not valid YAML: {said}",
            where=str(path),
            expected="key: value lines",
            fix="correct the place named; dates are written 2024-01-31, text with : or # in quotes",
        ) from None
    if not isinstance(declared, dict):
        raise SpecError(
            "model.yaml is not a mapping",
            where=str(path),
            expected="key: value lines",
            fix="write name: and the other keys at the beginning of their lines",
        )
    try:
        return ModelSpec.model_validate(declared)
    except PydanticError as error:
        written = yaml.compose(text, _Loader)
        problems = [_explain(problem, written) for problem in error.errors()]
        raise SpecError(
            f"model.yaml has {len(problems)} problem{'s' * (len(problems) > 1)}",
            where=str(path),
            examples=problems,
            expected="the keys that the guide 'Add a model' describes",
            fix="correct the keys named",
            data={"problems": problems},
        ) from None


class _Loader(_SafeLoader):  # type: ignore[misc, valid-type]  # which of the two is known at run time
    """Plain values only, as in ``yaml.safe_load``, and each key once; errors name the value and its line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, OverflowError) as error:
            if not isinstance(node, yaml.ScalarNode):
                raise
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value!r}: {error}", node.start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ValueError(
                    f"the key {key.value!r} is given twice, in lines {seen[key.value]} and {line}; keep one"
                )
            seen[key.value] = line
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def _refuse_depth(text: str) -> None:
    """Refuse what libyaml's loader follows until the process dies: it calls itself for each level, in C."""
    depth = 0
    for event in yaml.parse(text, _SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_DEPTH} levels of lists and mappings\n{event.start_mark}")


def _refuse_circles(value: Any, above: tuple[int, ...] = (), done: set[int] | None = None) -> None:
    """Refuse a mapping or list that an alias puts into itself."""
    done = set() if done is None else done
    if not isinstance(value, dict | list) or id(value) in done:
        return
    if id(value) in above:
        raise ValueError("an alias (*name) refers to a value that contains it")
    for item in value.values() if isinstance(value, dict) else value:
        _refuse_circles(item, (*above, id(value)), done)
    done.add(id(value))


def _explain(problem: ErrorDetails, written: yaml.Node | None) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "model.yaml"
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if problem["type"] == "missing":
        return f"{key}: missing"
    if problem["type"] in {"string_type", "literal_error", "invalid_key"}:
        value = problem["input"]
        text = _text_at(written, problem["loc"], key_itself=problem["type"] == "invalid_key")
        if text is not None and isinstance(value, bool | int | float | date | None):
            return f'{key}: YAML reads {text or "nothing"} as {_named(value)}: write "{text}"'
    return f"{key}: {problem['msg'].removeprefix('Value error, ')}"


def _text_at(node: yaml.Node | None, place: Sequence[str | int], *, key_itself: bool) -> str | None:
    """A value (or the key itself) as it stands in the file; None where there is no plain one."""
    for depth, part in enumerate(place):
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}
            if key_itself and depth == len(place) - 1:
                return next((text for text in pairs if str(yaml.safe_load(text)) == str(part)), None)
            node = pairs.get(str(part), (None, None))[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
        else:
            return None
    return node.value if isinstance(node, yaml.ScalarNode) else None


def _named(value: bool | float | date | None) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return "a date" if isinstance(value, date) else "a number"
