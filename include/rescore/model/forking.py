"""Child interpreters forked from a process that has loaded their libraries: the parent's side.

The other side is :mod:`rescore.model.child.fork_server`. A process that starts children keeps one fork server
for each interpreter and start environment, until it ends. Fresh interpreters are started instead where the
platform can't watch a process by a descriptor, and always for a stranger's code.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

__all__ = ["ForkedProcess", "can_fork", "fork", "prepare"]

_HERE = Path(__file__).parent
_SERVER = _HERE / "child" / "fork_server.py"
_IMPORTS = _HERE / "runtime" / "imports.py"
#: As in ``child/fork_server.py``, which must not be imported here.
_MESSAGE = 1 << 16
#: Each holds some 150 MB of libraries, most of it shared with its children.
_MAX_SERVERS = 4
#: Nearly every artifact names estimators that import these; what else it names is loaded when it is known.
_COMMON_TYPES = ("sklearn.compose.ColumnTransformer", "sklearn.pipeline.Pipeline")
#: What the child is told after the fork. All else has to be there when an interpreter or a library starts.
_LATE = frozenset({"HOME", "PATH", "PYTHONPATH", "TEMP", "TMP", "TMPDIR"})

_Key = tuple[Any, ...]


def can_fork() -> bool:
    """Whether this platform has what the fork server needs: Linux from 5.3 on."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


class ForkedProcess:
    """A forked child, with the part of :class:`subprocess.Popen` that is needed of it."""

    def __init__(self, lifeline: socket.socket, stdin: IO[str], stdout: IO[str], args: list[str]) -> None:
        self.stdin: IO[str] | None = stdin
        self.stdout: IO[str] | None = stdout
        self.args = args
        self.returncode: int | None = None
        self._lifeline = lifeline

    def kill(self) -> None:
        """End it, and whatever it started, now."""
        with suppress(OSError):
            self._lifeline.send(b"end")

    def wait(self) -> int:
        """Its exit code, or the signal that ended it as a negative number, once it and its group are gone."""
        if self.returncode is None:
            answer = b""
            with self._lifeline, suppress(OSError):
                answer = self._lifeline.recv(_MESSAGE)
            # Without an answer somebody has ended its keeper, and with it the group.
            self.returncode = json.loads(answer)["code"] if answer else -signal.SIGKILL
        return self.returncode


class _Server:
    """One process that forks; see :mod:`rescore.model.child.fork_server`."""

    def __init__(self, python: str, environment: Mapping[str, str], options: Sequence[str]) -> None:
        self._was_asked = False
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [python, "-P", "-B", *options, str(_SERVER), str(theirs.fileno()), str(_IMPORTS)],
                env={**environment, "PYTHONPATH": ""},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # or whoever waits for the end of ours would wait for it
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def ask(self, message: bytes, streams: Sequence[int]) -> socket.socket | None:
        """Have a child forked; its lifeline, or None where the server can't."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        answer = b""
        self._was_asked = True
        with theirs, suppress(OSError):
            with self._lock:
                socket.send_fds(self._control, [message], [*streams, theirs.fileno()])
            theirs.close()
            answer = ours.recv(_MESSAGE)
        if b"pid" in answer:
            return ours
        ours.close()
        return None

    def prepare(self, types: Sequence[str]) -> None:
        """Have it load estimators while nothing is asked of it."""
        with self._lock, suppress(OSError):
            self._control.send(json.dumps({"libraries": [], "types": [*types]}).encode())

    @property
    def ended(self) -> bool:
        """Whether somebody has ended it."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Let it end, once its children have; one that was never asked has none, and may be in an import."""
        if not self._was_asked:
            self._process.kill()
        self._control.close()

    def wait(self) -> None:
        """Wait for its end."""
        self._process.wait()

    def forget(self) -> None:
        """In a fork of the process that it belongs to: it is not ours."""
        self._control.close()
        self._process.returncode = 0


_servers: dict[_Key, _Server] = {}
_closed: list[_Server] = []
_lock = threading.Lock()


def fork(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    umask: int,
    stderr: IO[bytes],
    python: Path | None,
    types: Sequence[str],
    libraries: Sequence[str],
    alone: bool = False,
) -> ForkedProcess | None:
    """Fork a child that runs ``python ARGUMENTS``.

    Parameters
    ----------
    arguments : sequence of str
        ``-m MODULE …`` or ``-c CODE …``.
    folder : Path
        Its working folder.
    environment : mapping
        All of its environment variables.
    umask : int
        Its umask.
    stderr : file
        Where its log goes.
    python : Path or None
        The interpreter of a package's own environment; None: the one that runs this.
    types : sequence of str
        What the artifact names: the modules of scikit-learn among them are loaded before the fork.
    libraries : sequence of str
        Other installed modules to load before it.
    alone : bool
        Whether they are loaded in a process from which nothing else is forked.

    Returns
    -------
    ForkedProcess or None
        None where a fresh interpreter has to be started instead.
    """
    asked = {
        "arguments": list(arguments),
        "folder": str(folder),
        "environment": dict(environment),
        "umask": umask,
        "libraries": list(libraries),
        "types": sorted(name for name in types if name.startswith("sklearn.")),
    }
    message = json.dumps(asked).encode()
    if len(message) > _MESSAGE:
        return None
    child_stdin, stdin = os.pipe()
    stdout, child_stdout = os.pipe()
    try:
        server = _server(python, environment, libraries if alone else ())
        lifeline = server.ask(message, [child_stdin, child_stdout, stderr.fileno()])
    finally:
        os.close(child_stdin)
        os.close(child_stdout)
    if lifeline is None:
        os.close(stdin)
        os.close(stdout)
        _drop_if_ended(server)
        return None
    return ForkedProcess(
        lifeline,
        os.fdopen(stdin, "w", encoding="utf-8"),
        os.fdopen(stdout, encoding="utf-8"),
        [str(python or sys.executable), *arguments],
    )


def prepare(environment: Mapping[str, str]) -> None:
    """Start the process that forks, so that it has loaded libraries when it is asked for a child."""
    _server(None, environment).prepare(_COMMON_TYPES)


def _server(python: Path | None, environment: Mapping[str, str], alone: Sequence[str] = ()) -> _Server:
    started_with = {name: value for name, value in environment.items() if name not in _LATE}
    # Libraries that are installed meanwhile are other ones than those that were loaded.
    folder = Path(sysconfig.get_path("purelib")) if python is None else python.parent.parent
    installed = folder.stat().st_mtime_ns if folder.is_dir() else 0
    key = (str(python or sys.executable), installed, tuple(sorted(started_with.items())), tuple(alone))
    with _lock:
        _closed[:] = [one for one in _closed if not one.ended]  # asking reaps it
        if key in _servers:
            _servers[key] = _servers.pop(key)  # the one used last comes last
        else:
            while len(_servers) >= _MAX_SERVERS:
                _close(next(iter(_servers)))
            _servers[key] = _Server(key[0], environment, ["-s"] if python else [])
        return _servers[key]


def _drop_if_ended(server: _Server) -> None:
    with _lock:
        ended = [key for key, one in _servers.items() if one is server and one.ended]
        for key in ended:
            _close(key)


def _close(key: _Key) -> None:
    server = _servers.pop(key)
    server.close()
    _closed.append(server)


@atexit.register
def _close_all() -> None:
    with _lock:
        for key in list(_servers):
            _close(key)
        while _closed:
            _closed.pop().wait()


def _forget_all() -> None:
    _lock._at_fork_reinit()  # type: ignore[attr-defined]  # another thread may have held it
    for server in (*_servers.values(), *_closed):
        server.forget()
    _servers.clear()
    _closed.clear()


os.register_at_fork(after_in_child=_forget_all)
