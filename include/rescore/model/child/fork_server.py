"""``python fork_server.py FD IMPORTS``: a process that has loaded libraries, and forks a child when asked.

Loading numpy, pandas, pyarrow and scikit-learn takes two seconds of processor time, and a process that works
through several packages would pay it for each. This one pays it once. It imports installed libraries and
nothing of a model, has one thread, and never fits or predicts: numeric libraries do not survive a fork after
they have worked (a fit in such a child hung). The child it forks is then what a fresh interpreter of the
same start environment would be once it had made the same imports.

Only the standard library is needed, so that it runs in a package's own environment, too. The parent's side is
:mod:`rescore.model.forking`; its messages are one JSON object each, with the child's three streams and a
lifeline as descriptors.
"""

from __future__ import annotations

import atexit
import gc
import importlib.util
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

#: What every package loads.
LIBRARIES = ("numpy", "pandas", "pyarrow", "pyarrow.compute", "pyarrow.parquet", "threadpoolctl")
#: Longest message, bytes.
MESSAGE = 1 << 16


def main(control: socket.socket, imports: Path) -> None:
    """Fork a child for each message, until the parent is gone; its children end with their lifelines.

    A message without descriptors asks for libraries alone.
    """
    # Python warns of threads that are none of its own.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    with control:
        _load(LIBRARIES, (), imports)  # whoever started it may have other work until it asks
        while True:
            _reap(os.WNOHANG)
            message, descriptors, _, _ = socket.recv_fds(control, MESSAGE, 4)
            if not message:
                break
            asked = json.loads(message)
            if not descriptors:
                _load(asked["libraries"], asked["types"], imports)
                continue
            lifeline = socket.socket(fileno=descriptors[3])
            with lifeline:
                _load(asked["libraries"], asked["types"], imports)
                if _other_threads():
                    lifeline.send(b'{"refused": "a library has started threads"}')
                elif os.fork() == 0:
                    control.close()
                    _keep(asked, descriptors[:3], lifeline)
            for descriptor in descriptors[:3]:
                os.close(descriptor)
    _reap(0)


def _reap(options: int) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def _load(libraries: Sequence[str], types: Sequence[str], imports: Path) -> None:
    """Import libraries, and of scikit-learn what the artifact names; what can't be, the child says."""
    before = len(sys.modules)
    gc.disable()  # what is imported stays: looking for garbage among it takes a quarter of the time
    for library in libraries:
        with suppress(ImportError):
            import_module(library)
    spec = importlib.util.spec_from_file_location("_rescore_imports", imports)
    assert spec is not None and spec.loader is not None  # noqa: S101 - it is a file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.import_estimators(types)
    if len(sys.modules) != before:
        gc.collect()
        gc.freeze()  # or collecting would copy every page that is shared
    gc.enable()


def _other_threads() -> list[str]:
    """The names of threads beside this one that a fork would leave behind in the middle of something."""
    tasks = Path("/proc/self/task").iterdir()
    others = [task / "comm" for task in tasks if task.name != str(os.getpid())]
    # Arrow's allocator gives back memory in a thread, and takes care of forks itself.
    return [name for other in others if (name := other.read_text().strip()) != "jemalloc_bg_thd"]


def _keep(asked: Mapping[str, Any], streams: Sequence[int], lifeline: socket.socket) -> NoReturn:
    """Fork the child, end it with the parent, and say how it ended."""
    child = os.fork()
    if child == 0:
        lifeline.close()
        _run(asked, streams)
    for stream in streams:
        os.close(stream)
    lifeline.send(json.dumps({"pid": child}).encode())
    ended = os.pidfd_open(child)
    ready, _, _ = select.select([ended, lifeline.fileno()], [], [])
    if ended not in ready:  # the parent asks for its end, or is gone
        _kill(child)
    # Its id stays its own until it was waited for, so the group is the child's.
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    _kill(child)
    _, status = os.waitpid(child, 0)
    with suppress(OSError):
        lifeline.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
    os._exit(0)


def _kill(child: int) -> None:
    """End the child, and whatever it started."""
    for end in (os.killpg, os.kill):  # before it leads a group it is only a process
        with suppress(ProcessLookupError):
            end(child, signal.SIGKILL)


def _run(asked: Mapping[str, Any], streams: Sequence[int]) -> NoReturn:
    """Become what ``python -P -B ARGUMENTS`` would be in this folder and environment."""
    code = 1
    try:
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin, sys.stdout, sys.stderr = (
            open(0, encoding="utf-8"),  # noqa: SIM115 - for as long as the process lives
            open(1, "w", encoding="utf-8"),  # noqa: SIM115
            open(2, "w", encoding="utf-8", buffering=1, errors="backslashreplace"),  # noqa: SIM115
        )
        os.umask(asked["umask"])
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        time.tzset()
        sys.path[:0] = [folder for folder in asked["environment"]["PYTHONPATH"].split(os.pathsep) if folder]
        _draw_anew()
        if asked["arguments"][0] == "-m":
            with suppress(OSError):  # the name in lists of processes, 15 letters of it
                Path("/proc/self/comm").write_text(asked["arguments"][1][:15], encoding="utf-8")
        code = _call(asked["arguments"])
        # As an interpreter's end does: wait for threads, call what was registered.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _draw_anew() -> None:
    """Give numpy's global generator a state of its own: an unseeded draw must differ from child to child."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def _call(arguments: Sequence[str]) -> int:
    """Run ``-m MODULE …`` or ``-c CODE …`` as the main module; its exit code."""
    kind, what, *rest = arguments
    try:
        if kind == "-m":
            sys.argv = [what, *rest]
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.argv = [kind, *rest]
            main = sys.modules["__main__"] = ModuleType("__main__")
            exec(compile(what, "<string>", "exec"), vars(main))  # noqa: S102 - as python -c does
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
