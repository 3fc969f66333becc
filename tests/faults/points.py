"""Where an attempt can be broken, found by running it: before everything that it does to the world outside.

Nobody lists the points: whatever calls a function of the store's protocol, runs SQL, sends rows, commits, or
makes, renames or removes a file below a folder, passes one. A new step is a new point.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

import rescore
from rescore.store.binary_copy import _Stream

__all__ = ["END", "Point", "watch"]

#: A point: who does what, and for which time since the attempt began.
Point = tuple[str, int]

#: All is done, and nobody has heard of it yet.
END: Point = ("end", 1)

_LIBRARY = str(Path(rescore.__file__).parent)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_FILE_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.chmod", "os.truncate"}
#: What ``tempfile`` puts behind a prefix such as ``package-``.
_TEMPORARY = re.compile(r"-[a-z0-9_]{8}$")
_PROTOCOL = re.compile(r'SELECT \* FROM "rescore"\."([a-z_]+)"\(')


def watch(folder: Path, before: Callable[[Point], None]) -> None:
    """From now on, call ``before`` at every point of this process; there is no way back.

    Parameters
    ----------
    folder : Path
        Files below it are looked at.
    before : callable
        Gets the point before it happens; may never return.
    """
    at = _Counter(before).at
    _watch_database(at)
    _watch_rows(at)

    def files(event: str, args: tuple[Any, ...]) -> None:
        path = _written(event, args)
        if path is not None and path.startswith(str(folder)):
            at(f"{event} {_shape(path[len(str(folder)) :])}")

    sys.addaudithook(files)


class _Counter:
    """Numbers the points of one name."""

    def __init__(self, before: Callable[[Point], None]) -> None:
        self._before = before
        self._passed: Counter[str] = Counter()
        self._busy = False

    def at(self, what: str) -> None:
        if self._busy:  # what ``before`` does itself is no point
            return
        self._busy = True
        try:
            name = f"{_caller()}: {what}"
            self._passed[name] += 1
            self._before((name, self._passed[name]))
        finally:
            self._busy = False


def _watch_database(at: Callable[[str], None]) -> None:
    class WatchedCursor(Cursor):
        def execute(self, query: Any, vars: Any = None) -> Any:
            at(_said(query if isinstance(query, str | bytes) else query.as_string(self)))
            return super().execute(query, vars)

    class WatchedConnection(Connection):
        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            kwargs.setdefault("cursor_factory", WatchedCursor)
            return super().cursor(*args, **kwargs)

        def commit(self) -> None:
            at("commit")
            super().commit()

    connect = psycopg2.connect

    def watched(*args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("connection_factory", WatchedConnection)
        return connect(*args, **kwargs)

    psycopg2.connect = watched


def _watch_rows(at: Callable[[str], None]) -> None:
    read = _Stream.read

    def read_rows(stream: _Stream, size: int = -1) -> bytes:
        at("rows of a COPY")
        return read(stream, size)

    _Stream.read = read_rows  # type: ignore[method-assign]


def _written(event: str, args: tuple[Any, ...]) -> str | None:
    """The path that an event of the interpreter is about to change."""
    if event == "open":
        path, _, flags = args
        if not isinstance(flags, int) or not flags & _WRITES:
            return None
    elif event in _FILE_EVENTS:
        path = args[1] if event == "os.rename" else args[0]
    else:
        return None
    return str(path) if isinstance(path, str | Path) else None


def _caller() -> str:
    """The innermost function of the library that is at work."""
    frame = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_LIBRARY):
            module = code.co_filename[len(_LIBRARY) + 1 :].removesuffix(".py").replace("/", ".")
            # What every call goes through says nothing of where we are.
            if module not in {"store.database", "disk", "store.binary_copy"}:
                return f"{module}.{code.co_qualname if sys.version_info >= (3, 11) else code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"


def _said(query: str | bytes) -> str:
    text = " ".join((query.decode() if isinstance(query, bytes) else query).split())
    called = _PROTOCOL.match(text)
    return f"{called[1]}()" if called else re.sub(r"[0-9a-f]{8,}", "…", text)[:60]


def _shape(path: str) -> str:
    """A path without what differs from attempt to attempt."""
    parts = [_TEMPORARY.sub("-…", part) for part in Path(path).parts]
    parts = [re.sub(r"[0-9a-f]{6,}|\d+", "…", part) for part in parts]
    return "/".join(re.sub(r"^tmp.*", "tmp…", part) for part in parts)
