"""The expectations of a model, as Great Expectations declared them, without asking it each time.

Great Expectations reads ``expectations.py`` and makes of it what the suite is; that takes five seconds of
processor time, nearly all of it for its import. What it made is kept as JSON in a folder of this machine.
Its name there stands for all it was made of: the file's text, the model's columns, the versions of Python,
of Great Expectations and of this format. Another text is another name.

A suite is kept only if its file can say nothing else the next time: it imports Great Expectations and a few
modules that compute, and asks for no time and no file. And only if JSON holds its parameters exactly.
"""

from __future__ import annotations

import ast
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rescore.disk import disk_errors, make_private, partial_name, private_folder
from rescore.folder import ModelFolder
from rescore.folder_files import read_bytes
from rescore.sha256 import bytes_sha256
from rescore.validation.declared import Declared, declare
from rescore.validation.suite import load_suite

__all__ = ["DeclaredSuite", "declared_suite"]

#: Counted up when what is kept of an expectation changes, or how it is read off.
_KEPT_AS = 1
#: What a file that says the same each time may import.
_COMPUTES = {
    *("__future__", "collections", "dataclasses", "datetime", "enum", "functools", "great_expectations"),
    *("itertools", "math", "operator", "re", "string", "typing"),
}
_ASKS = {
    *("__import__", "eval", "exec", "globals", "input", "open", "vars"),  # of Python
    *("now", "today", "utcnow", "read_text", "read_bytes"),
}


class DeclaredSuite:
    """The expectations of a model in order, and Great Expectations' own objects where they are needed.

    Parameters
    ----------
    folder : ModelFolder
        The model.
    declared : sequence of Declared, optional
        What was kept of them; else the suite is read.
    """

    def __init__(self, folder: ModelFolder, declared: Sequence[Declared] | None = None) -> None:
        self._folder = folder
        self.declared = (
            [declare(expectation) for expectation in self.expectations]
            if declared is None
            else list(declared)
        )

    @cached_property
    def expectations(self) -> list[Any]:
        """Great Expectations' own; importing it takes five seconds of processor time."""
        return list(load_suite(self._folder).expectations)


def declared_suite(folder: ModelFolder, kept: Path | None) -> DeclaredSuite:
    """The expectations of a model's ``expectations.py``.

    Parameters
    ----------
    folder : ModelFolder
        The model.
    kept : Path, optional
        The folder where suites are kept on this machine. Default: none, Great Expectations reads the file.

    Raises
    ------
    SpecError
        The file is wrong; see :func:`rescore.validation.load_suite`.
    """
    if kept is None:
        return DeclaredSuite(folder)
    source = read_bytes(folder.path / "expectations.py")
    made_of = [
        _KEPT_AS,
        str(bytes_sha256(source)),
        list(folder.spec.input_columns),
        platform.python_version(),
        version("great_expectations"),
    ]
    path = kept / f"{bytes_sha256(json.dumps(made_of).encode()).hex}.json"
    try:
        declared = json.loads(path.read_text(encoding="utf-8"))
        return DeclaredSuite(folder, [Declared(**one) for one in declared])
    except (OSError, ValueError, TypeError):  # not kept yet, or not whole
        suite = DeclaredSuite(folder)
    if _says_the_same_each_time(source) and (text := _exact_json(suite.declared)) is not None:
        with disk_errors([kept]):
            partial = private_folder(kept) / partial_name(path.name)
            partial.write_text(text, encoding="utf-8")
            make_private(partial)
            os.replace(partial, path)  # noqa: PTH105 - atomic, whoever reads it meanwhile
    return suite


def _says_the_same_each_time(source: bytes) -> bool:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or "" if not node.level else ""]
        else:
            name = getattr(node, "id", None) or getattr(node, "attr", None)
            if name in _ASKS:
                return False
            continue
        if any(module.partition(".")[0] not in _COMPUTES for module in modules):
            return False
    return True


def _exact_json(declared: Sequence[Declared]) -> str | None:
    """What is kept of a suite; None if JSON would make other values of it."""
    try:
        text = json.dumps([asdict(one) for one in declared], allow_nan=False)
    except (TypeError, ValueError):
        return None
    back = [Declared(**one) for one in json.loads(text)]
    return text if _typed(back) == _typed(declared) else None


def _typed(value: Any) -> str:
    """A value with the types of all that it holds."""
    return repr(value)
