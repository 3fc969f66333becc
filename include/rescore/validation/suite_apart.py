"""A suite whose file runs in an interpreter of its own: the parent's side.

``expectations.py`` is code of whoever wrote the model, and the process that validates holds the logins of the
store. So the file runs, and Great Expectations judges by it, in a child interpreter with an environment
that names none of them (:mod:`rescore.validation.suite_child`). It is sent rows as an Arrow file, and
answers in JSON and plain numbers: nothing that it sends is run here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rescore.disk import disk_errors, scratch_folder
from rescore.errors import ModelError
from rescore.leaf_rows import LEAF_ROWS
from rescore.shown_text import number_of
from rescore.validation.declared import Declared
from rescore.validation.gx_engine import Evaluation
from rescore.validation.rows import Rows

__all__ = ["Apart", "SuiteApart"]

_CHILD = ("-m", "rescore.validation.suite_child")
#: What the child imports, loaded before it is forked.
_LIBRARIES = (
    "great_expectations",
    "great_expectations.data_context.data_context.ephemeral_data_context",
    "great_expectations.execution_engine.pandas_execution_engine",
    "great_expectations.expectations.expectation",
    "great_expectations.validator.validator",
)


def _import_path() -> list[Path]:
    """Where this process was told to import from, as the images of Airflow are at times."""
    return [Path(folder) for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]


class Interpreter(Protocol):
    """A child interpreter, as :class:`rescore.model.Child` is one."""

    def send(self, line: str) -> None:
        """Write one line to it."""

    def end_input(self) -> None:
        """Say that no line will follow."""

    def messages(self) -> Iterator[dict[str, Any]]:
        """What it says; its errors are raised."""


@dataclass(frozen=True)
class Apart:
    """How to start an interpreter apart from this one.

    Attributes
    ----------
    start : callable
        Takes arguments, ``folder``, ``path`` and ``libraries``, as :class:`rescore.model.Child` does.
    scratch : Path
        Where rows are put for it.
    """

    start: Callable[..., AbstractContextManager[Interpreter]]
    scratch: Path


class SuiteApart:
    """A suite whose file runs in an interpreter of its own, which starts when it is first asked.

    Parameters
    ----------
    apart : Apart
        How it is started.
    path : Path
        ``expectations.py``.
    columns : sequence of str
        The model's input columns.
    """

    def __init__(self, apart: Apart, path: Path, columns: Sequence[str]) -> None:
        self._apart = apart
        self._path = str(path.absolute())
        self._columns = list(columns)
        self._resources = ExitStack()
        self._child: Interpreter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self._child.end_input()
        self._resources.__exit__(kind, error, traceback)

    def declared(self) -> list[Declared]:
        """What there is to know of each expectation."""
        return [Declared(**one) for one in self._answer()]

    def ask(self, rows: Rows, asked: Sequence[tuple[int, Declared]]) -> list[Evaluation]:
        """What Great Expectations says of a table, for some expectations by number.

        The columns that they read are written to the disk leaf by leaf; none of them is in memory here.
        """
        self._started()
        read = {name for _, one in asked for name in one.needs(rows.column_names)}
        names = [name for name in rows.column_names if name in read] or rows.column_names[:1]
        shown = rows.select(names)
        file, positions = self._folder / "rows.arrow", self._folder / "positions.npy"
        with disk_errors([self._folder]):
            with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, shown.schema) as writer:
                for leaf in shown.to_batches(max_chunksize=LEAF_ROWS):
                    writer.write_batch(leaf)
            said = self._answer(
                rows=str(file),
                positions=str(positions),
                asked=[(number, asdict(one)) for number, one in asked],
            )
        failing = np.load(positions, allow_pickle=False)
        if len(said) != len(asked) or failing.dtype != np.int64:
            asked_for = number_of(len(asked), "expectation was", "expectations were")
            raise ModelError(f"{asked_for} asked, {len(said)} answered", where=self._path)
        evaluations, at = [], 0
        for one in said:
            count = one.pop("failing")
            mine = None if count is None else failing[at : at + count]
            at += count or 0
            if not isinstance(one.get("success"), bool) or not _are_positions(mine, count, rows.num_rows):
                raise ModelError(
                    "an answer of expectations.py is none: rows that there are not", where=self._path
                )
            evaluations.append(Evaluation(positions=mine, **one))
        if at != len(failing):
            raise ModelError(f"{len(failing)} failing rows came for {at}", where=self._path)
        file.unlink()
        positions.unlink()
        return evaluations

    def _answer(self, **asked: Any) -> Any:
        """The child's answer to one line."""
        child = self._started()
        child.send(dumps({"path": self._path, "columns": self._columns, **asked}))
        for message in self._messages:
            return message["answer"]
        raise ModelError(
            "the interpreter that runs expectations.py ended without an answer",
            where=self._path,
            fix="let suite() return, and end no process",
        )

    def _started(self) -> Interpreter:
        if self._child is None:
            scratch = scratch_folder(self._apart.scratch)
            self._folder = self._resources.enter_context(scratch)
            root = Path(__file__).parents[2]  # of this library
            self._child = self._resources.enter_context(
                self._apart.start(
                    _CHILD,
                    folder=self._folder,
                    path=[*([] if root.name == "site-packages" else [root]), *_import_path()],
                    libraries=_LIBRARIES,
                    alone=True,
                )
            )
            self._messages = self._child.messages()
        return self._child


def _are_positions(failing: npt.NDArray[np.int64] | None, count: int | None, rows: int) -> bool:
    """Whether they are as many as was said, ascending, each once, and rows of the table."""
    if failing is None:
        return count is None
    edges = np.concatenate(([-1], failing, [rows]))
    return len(failing) == count and bool((np.diff(edges) > 0).all())
