"""Call a function in a fork, so that this process stays one that has only imported."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

__all__ = ["elsewhere"]

Result = TypeVar("Result")


def elsewhere(function: Callable[[], Result]) -> Result:
    """What ``function`` gives, called in a process that then ends; what it changes is lost but for files."""
    ours, theirs = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(ours)
            with os.fdopen(theirs, "wb") as pipe:
                pickle.dump(function(), pipe)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"{function} failed in a fork, as said above")
    result: Result = pickle.loads(answer)
    return result
