"""Attempts that share one process from which interpreters are forked, as tasks of a long-lived worker do.

A fault of an attempt is then not paid for with the import of numpy, pandas and scikit-learn, again and again.
The interpreters are forked, watched and ended as always; only the process that they come from outlives the
attempt.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import SimpleNamespace

from rescore.model import forking
from rescore.model.environment import start_environment

__all__ = ["begin", "end", "load", "share"]

#: Whose modules are loaded once for all attempts; none of them starts a thread before it is used.
_LIBRARIES = {
    *("adbc_driver_manager", "adbc_driver_postgresql", "fsspec", "numpy", "pandas", "psycopg2", "pyarrow"),
    *("pydantic", "rescore", "scipy", "sklearn", "sqlalchemy"),
}
_kept: dict[forking._Key, socket.socket] = {}


def begin() -> None:
    """Start the process; forks of this one can share it."""
    if forking.can_fork():
        forking._server(None, start_environment())
        for key, server in forking._servers.items():
            _kept[key] = server._control.dup()


def load(modules: Sequence[str]) -> None:
    """Import what an attempt had imported, so that those that follow need not."""
    for name in modules:
        if name.partition(".")[0] in _LIBRARIES:
            with suppress(ImportError):
                import_module(name)


def share() -> None:
    """In a fork: interpreters come from the process that was begun. Each message to it is one piece, so many
    can ask."""
    for key, control in _kept.items():
        server = forking._Server.__new__(forking._Server)
        server._control, server._lock = control, threading.Lock()
        # It is not ours to wait for.
        server._process = SimpleNamespace(poll=lambda: None, wait=lambda: None)  # type: ignore[assignment]
        forking._servers[key] = server


def end() -> None:
    """End the process, once whatever was forked from it has ended."""
    for control in _kept.values():
        control.close()
    _kept.clear()
    forking._close_all()
