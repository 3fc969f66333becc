"""Importing the parts of scikit-learn that a pipeline needs, without what they do not call.

``scipy.stats`` takes a second of processor time, ``scipy.interpolate`` and ``scipy.integrate`` a third of
one, and scikit-learn imports them with almost every estimator: it names a few of their functions at the top
of modules, and calls them in few places. While modules of scikit-learn are imported here, and only then, a
stand-in is given out for each, which loads the real module when something of it is used. No other code runs
meanwhile. For a process of our own, of one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["import_estimators"]

#: Of each module, what scikit-learn imports by name and only ever calls or asks for a method.
_USED_LATER = {
    "scipy.integrate": frozenset({"trapezoid"}),
    "scipy.interpolate": frozenset({"BSpline"}),
    "scipy.stats": frozenset({"chi2", "gmean", "rankdata", "spearmanr"}),
}


class _StandIn(ModuleType):
    """Gives out what a module has, and loads it only when something is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import machinery asks whether this is a package
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            if name in _USED_LATER[self.__name__]:
                return _Later(self.__name__, name)
            _leave()  # all of them: the real modules import each other
        return getattr(import_module(self.__name__), name)


class _Later:
    """Something of a module that is loaded when it is called, or asked for something of its own."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._real()(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def _real(self) -> Any:
        return getattr(import_module(self._module), self._name)


def import_estimators(types: Iterable[str]) -> None:
    """Import the modules of scikit-learn that an artifact names."""
    modules = sorted({name.rpartition(".")[0] for name in types if name.startswith("sklearn.")})
    if not _USED_LATER.keys() & sys.modules.keys():
        sys.modules.update({name: _StandIn(name) for name in _USED_LATER})
    try:
        with suppress(ImportError):  # loading the artifact imports it again, and says what is wrong
            for module in modules:
                import_module(module)
    finally:
        _leave()


def _leave() -> None:
    """Make way for the real modules."""
    for name in _USED_LATER:
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]
