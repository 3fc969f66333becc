"""A package's face whose names load on first use, so that a caller pays only for what it touches.

A readiness check must not import what a training needs (scikit-learn, Great Expectations, Altair).
"""

from __future__ import annotations

import ast
import gc
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["MadeToStay", "lazy_names"]


def lazy_names(package: str, file: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package (PEP 562).

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    file : str
        Its ``__file__``. What is imported there from the package's own modules, for type checkers alone, is
        what it gives: there is no second list.

    Returns
    -------
    callable
        Of a name; imports its module and returns the name's value.
    """
    module_of = {
        alias.name: node.module
        for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}.")
        for alias in node.names
    }
    for name, module in module_of.items():
        # Importing the module would put it in its name's place: the second reader would get the module.
        if module == f"{package}.{name}":
            raise ImportError(f"{module} has the name of what {package} gives from it: rename the module")

    def load(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with MadeToStay():  # or it takes a quarter longer
            return getattr(import_module(str(module_of[name])), name)

    return load


class MadeToStay:
    """Look for no garbage meanwhile: among modules, and the DAGs of a file, there is none."""

    def __enter__(self) -> None:
        self._collects = gc.isenabled()
        gc.disable()

    def __exit__(self, *error: object) -> None:
        if self._collects:
            gc.enable()
