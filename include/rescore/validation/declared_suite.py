"""The expectations of a model, as Great Expectations declared them, without asking it each time.

Great Expectations reads ``expectations.py`` and makes of it what the suite is; that takes five seconds of
processor time, nearly all of it for its import. What it made is kept as JSON in a folder of this machine.
Its name there stands for all it was made of: the file's text, the model's columns, the versions of Python,
of Great Expectations and of this format. Another text is another name.

A suite is kept only if its file can say nothing else the next time: it imports Great Expectations and a few
modules that compute, and asks for no time and no file.
"""

from __future__ import annotations

import ast
import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rescore.disk import disk_errors, make_private, partial_name, private_folder
from rescore.folder import ModelFolder
from rescore.folder_files import read_bytes
from rescore.sha256 import bytes_sha256
from rescore.validation import gx_engine
from rescore.validation.declared import Declared, declare
from rescore.validation.gx_engine import Evaluation
from rescore.validation.rows import Rows
from rescore.validation.suite import read_suite
from rescore.validation.suite_apart import Apart, SuiteApart

__all__ = ["HERE", "DeclaredSuite", "SuiteHere", "Suites"]

#: Counted up when what is kept of an expectation changes, or how it is read off.
_KEPT_AS = 3
#: What a file that says the same each time may import.
_COMPUTES = {
    *("__future__", "collections", "dataclasses", "datetime", "enum", "functools", "great_expectations"),
    *("itertools", "math", "operator", "re", "string", "typing"),
}
_ASKS = {
    *("__import__", "eval", "exec", "globals", "input", "open", "vars"),  # of Python
    *("now", "today", "utcnow", "read_text", "read_bytes"),
}


class SuiteHere:
    """A suite whose file runs in this interpreter.

    Parameters
    ----------
    path : Path
        ``expectations.py``.
    columns : sequence of str
        The model's input columns.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._columns = columns

    @cached_property
    def _expectations(self) -> list[Any]:
        """Great Expectations' own; importing it takes five seconds of processor time."""
        return list(read_suite(self._path, self._columns).expectations)

    def declared(self) -> list[Declared]:
        """What there is to know of each."""
        return [declare(expectation) for expectation in self._expectations]

    def ask(self, rows: Rows, asked: Sequence[tuple[int, Declared]]) -> list[Evaluation]:
        """What Great Expectations says of a table, for some of them by number."""
        questions = [one.question(self._expectations[number], rows.column_names) for number, one in asked]
        return gx_engine.evaluate(rows, questions)


class DeclaredSuite:
    """The expectations of a model in order, and whom to ask about them.

    Parameters
    ----------
    reader : SuiteHere or SuiteApart
        Where the file runs.
    declared : sequence of Declared, optional
        What was kept of them; else the suite is read.
    """

    def __init__(self, reader: SuiteHere | SuiteApart, declared: Sequence[Declared] | None = None) -> None:
        self._reader = reader
        self.declared = reader.declared() if declared is None else list(declared)

    def ask(self, rows: Rows, numbers: Sequence[int]) -> list[Evaluation]:
        """What Great Expectations says of a table, for some of them by number."""
        return self._reader.ask(rows, [(number, self.declared[number]) for number in numbers])


@dataclass(frozen=True)
class Suites:
    """Where the files of suites run, and what is kept of them.

    Attributes
    ----------
    kept : Path, optional
        The folder where suites are kept on this machine. Default: none, Great Expectations reads the file.
    apart : Apart, optional
        How to start an interpreter that has none of this one's secrets. Default: files run in this one.
    """

    kept: Path | None = None
    apart: Apart | None = None

    @contextmanager
    def of(self, folder: ModelFolder) -> Iterator[DeclaredSuite]:
        """The expectations of a model's ``expectations.py``, for as long as they are asked about.

        Raises
        ------
        SpecError
            The file is wrong; see :func:`rescore.validation.load_suite`.
        """
        path, columns = folder.path / "expectations.py", list(folder.spec.input_columns)
        if self.apart is None:
            yield self._of(SuiteHere(path, columns), path, columns)
            return
        with SuiteApart(self.apart, path, columns) as reader:
            yield self._of(reader, path, columns)

    def _of(self, reader: SuiteHere | SuiteApart, path: Path, columns: list[str]) -> DeclaredSuite:
        if self.kept is None:
            return DeclaredSuite(reader)
        source = read_bytes(path)
        made_of = [
            _KEPT_AS,
            str(bytes_sha256(source)),
            columns,
            platform.python_version(),
            version("great_expectations"),
        ]
        file = self.kept / f"{bytes_sha256(json.dumps(made_of).encode()).hex}.json"
        try:
            declared = json.loads(file.read_text(encoding="utf-8"))
            return DeclaredSuite(reader, [Declared(**one) for one in declared])
        except (OSError, ValueError, TypeError):  # not kept yet, or not whole
            suite = DeclaredSuite(reader)
        if _says_the_same_each_time(source):
            with disk_errors([self.kept]):
                partial = private_folder(self.kept) / partial_name(file.name)
                partial.write_text(json.dumps([asdict(one) for one in suite.declared]), encoding="utf-8")
                make_private(partial)
                os.replace(partial, file)  # noqa: PTH105 - atomic, whoever reads it meanwhile
        return suite


#: Files run in this interpreter, and nothing is kept.
HERE = Suites()


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
