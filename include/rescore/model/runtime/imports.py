"""Importing the parts of scikit-learn that a pipeline needs, without what they do not call.

``scipy.stats`` takes a second of processor time, and every estimator imports it: scikit-learn names a
few of its functions at the top of modules, and calls them in few places. While modules of scikit-learn
are imported here, and only then, a stand-in is given out for it, which loads the real module when
something of it is used. No other code runs meanwhile. For a process of our own, of one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["import_estimators"]

_STATS = "scipy.stats"
#: What scikit-learn imports by name and only ever calls.
_CALLED = frozenset({"gmean", "rankdata", "spearmanr"})


class _StandIn(ModuleType):
    """Gives out what ``scipy.stats`` has, and loads it only when something is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import machinery asks whether this is a package
            raise AttributeError(name)
        if sys.modules.get(_STATS) is self:
            if name in _CALLED:
                return _when_called(name)
            self.leave()
        return getattr(import_module(_STATS), name)

    def leave(self) -> None:
        """Make way for the real module."""
        if sys.modules.get(_STATS) is self:
            del sys.modules[_STATS]


def import_estimators(types: Iterable[str]) -> None:
    """Import the modules of scikit-learn that an artifact names."""
    if _STATS in sys.modules:
        return
    modules = sorted({name.rpartition(".")[0] for name in types if name.startswith("sklearn.")})
    sys.modules[_STATS] = stand_in = _StandIn(_STATS)
    try:
        with suppress(ImportError):  # loading the artifact imports it again, and says what is wrong
            for module in modules:
                import_module(module)
    finally:
        stand_in.leave()


def _when_called(name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        return getattr(import_module(_STATS), name)(*arguments, **options)

    call.__name__ = call.__qualname__ = name
    return call
