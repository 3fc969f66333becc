"""Child interpreters that fit and predict: started clean, heard line by line, never left behind.

An Airflow task is a forked process with threads of its own; fitting in it has hung. So whatever
fits or predicts runs in an interpreter with the environment of
:func:`rescore.model.environment.start_environment`: a fresh one, or one forked from a process that was
started with it and has done nothing but import libraries (:mod:`rescore.model.forking`).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

from rescore import errors
from rescore.disk import disk_full, is_disk_full
from rescore.errors import ModelError, RescoreError
from rescore.limited_import import refuse_endless
from rescore.model.environment import UMASK, start_environment
from rescore.model.forking import can_fork, fork, prepare

__all__ = ["MARK", "Child", "Team", "prepare_children"]

T = TypeVar("T")


#: As in ``runtime/command.py``, which this module must not import: it needs numpy.
MARK = "::rescore "

_TAIL_LINES = 15
#: How a traceback of an error of the operating system ends.
_OS_ERROR = re.compile(r"OSError: \[Errno (\d+)\]")

_MEANING: Mapping[str, type[RescoreError]] = {
    "digest": errors.DigestMismatchError,
    "environment": errors.EnvironmentMismatchError,
    "threads": errors.EnvironmentMismatchError,
    "golden": errors.GoldenRowError,
}


class Child:
    """A child interpreter running one module; a context manager that ends it.

    Parameters
    ----------
    arguments : sequence of str
        What follows ``python``.
    folder : Path
        Its working folder.
    path : sequence of Path
        Folders to import from.
    hash_seed : int
        Its ``PYTHONHASHSEED``.
    umask : int
        Its umask.
    python : Path, optional
        The interpreter: that of a package's own environment. Default: the one that runs this.
    home : Path, optional
        Its home and its folder for temporary files, where code that nobody has read is to run: it finds
        no person's files there, and is a fresh interpreter. Default: those of this process.
    types, libraries : sequence of str
        What the artifact that it will load names, and what else it will import; see
        :func:`rescore.model.forking.fork`.
    alone : bool
        Whether these libraries are loaded where no other children come from, since they change more of an
        interpreter than a model would find in a fresh one.
    label : str
        What it is, for errors; default: its arguments.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        path: Sequence[Path],
        hash_seed: int = 0,
        umask: int = UMASK,
        python: Path | None = None,
        home: Path | None = None,
        types: Sequence[str] = (),
        libraries: Sequence[str] = (),
        alone: bool = False,
        label: str = "",
    ) -> None:
        self._folder = folder
        self._label = label or " ".join(arguments)
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        environment = start_environment(path, hash_seed=hash_seed)
        self._process = (
            fork(
                arguments,
                folder=folder,
                environment=environment,
                umask=umask,
                stderr=self._stderr,
                python=python,
                types=types,
                libraries=libraries,
                alone=alone,
            )
            if home is None and can_fork()
            else None
        ) or _fresh(arguments, folder, environment, umask, self._stderr, python, home)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        self._stderr.close()

    def kill(self) -> None:
        """End the child, and whatever it started, now."""
        self._process.kill()

    def send(self, line: str) -> None:
        """Write one line to the child's standard input; a child that is gone is noticed later."""
        assert self._process.stdin is not None  # noqa: S101 - we asked for a pipe
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass

    def end_input(self) -> None:
        """Say that no line will follow."""
        assert self._process.stdin is not None  # noqa: S101 - we asked for a pipe
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the child says, until it ends.

        Raises
        ------
        RescoreError
            The error that the child reported, a DiskFullError if its log ends with that, a SpecError if the
            model's code took too long to import, or a ModelError with the end of its log when it ended
            without saying why.
        """
        assert self._process.stdout is not None  # noqa: S101 - we asked for a pipe
        for line in self._process.stdout:
            if line.startswith(MARK):
                message: dict[str, Any] = json.loads(line.removeprefix(MARK))
                if "error" in message:
                    raise _rebuilt(message["error"])
                yield message
        code = self._process.wait()
        if code:
            self._refuse_full_disk()
            refuse_endless("\n".join(self._log()))
            ending = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise ModelError(
                f"the child interpreter {ending} without saying why",
                where=self._label,
                expected="a result",
                fix="signal 9 is mostly a lack of memory; the end of its log:\n" + self._log_tail(),
            )

    def _refuse_full_disk(self) -> None:
        """Raise what Python, or Arrow, said last of a file that could not be written, as ours would be."""
        said = _OS_ERROR.match((self._log() or [""])[-1])
        error = OSError(int(said[1]), os.strerror(int(said[1]))) if said else None
        if error is not None and is_disk_full(error):
            raise disk_full(error, self._folder)

    def _log_tail(self) -> str:
        return "\n".join(f"    {line}" for line in self._log()[-_TAIL_LINES:])

    def _log(self) -> list[str]:
        self._stderr.seek(0)
        return self._stderr.read().decode("utf-8", "replace").splitlines()


class _FreshProcess(subprocess.Popen[str]):
    """An interpreter that leads a group: ending it, or waiting for it, ends whatever it started, too."""

    args: list[str]

    def kill(self) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            # Its id stays its own until it was waited for, so the group is the child's.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self.kill()
        return super().wait(timeout)


def _fresh(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    umask: int,
    stderr: IO[bytes],
    python: Path | None,
    home: Path | None,
) -> _FreshProcess:
    # -P: the working folder must not come before what the environment names; -B: no bytecode is left.
    return _FreshProcess(
        [str(python or sys.executable), "-P", "-B", *(["-s"] if python else []), *arguments],
        cwd=folder,
        env={
            **environment,
            **({} if home is None else dict.fromkeys(("HOME", "TMPDIR", "TEMP", "TMP"), str(home))),
        },
        umask=umask,
        start_new_session=True,  # whatever it starts is of its group, and ends with it
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        encoding="utf-8",
    )


class Team:
    """Children that work beside each other: the first error, or an interrupt, ends all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: list[Child] = []
        self._ended = False

    def start(self, arguments: Sequence[str], **options: Any) -> Child:
        """Start a child; see :class:`Child`."""
        with self._lock:
            if self._ended:
                raise ModelError("the work was ended before this part of it started")
            child = Child(arguments, **options)
            self._children.append(child)
            return child

    def run(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Call all beside each other, each with children of its own; their results in order."""
        with ThreadPoolExecutor(len(calls)) as pool:
            futures = [pool.submit(call) for call in calls]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                return [future.result() for future in futures]
            except BaseException:
                self.end()
                raise

    def end(self) -> None:
        """End all children; none starts any more."""
        with self._lock:
            self._ended = True
            for child in self._children:
                child.kill()


def prepare_children() -> None:
    """Load the libraries of child interpreters in a process beside this one.

    For a command that will score, before its own imports: both take a second or two, and neither waits
    for the other. A package that has an environment of its own gains nothing by it.
    """
    if can_fork():
        prepare(start_environment())


def _rebuilt(described: Mapping[str, Any]) -> RescoreError:
    """The error that a child described: one of ours by its type, or a package's by its code."""
    kind = getattr(errors, described.get("type", ""), None) or _MEANING.get(
        described.get("code", ""), ModelError
    )
    error: RescoreError = kind(
        described["what"],
        where=described.get("where"),
        expected=described.get("expected") or None,
        fix=described.get("fix") or None,
        examples=described.get("examples", ()),
        data=described.get("data"),
    )
    return error
