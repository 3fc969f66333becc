"""Confining this process before it opens a stranger's file.

Linux namespaces: a user namespace, from which no process outside can be looked into (``/proc/<pid>/environ``
holds the platform's secrets, and belongs to the same user); no network; and a process namespace, whose
processes all end with this one, whatever they did to outlive it. Files stay those that the user may read.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal

from rescore.errors import ModelError

__all__ = ["confine"]

_NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
_DIE_WITH_PARENT = 1
#: Bytes of memory and of one file, and open files, that a stranger's model may take.
MAX_MEMORY = 8 << 30
MAX_FILE = 4 << 30
MAX_OPEN_FILES = 256


def confine(seconds: float) -> None:
    """Go on in a process that can reach nothing of its parents, and within limits.

    To be called before any thread is started. The process that called stays behind and ends as the
    confined one does.

    Parameters
    ----------
    seconds : float
        Of processor time.

    Raises
    ------
    ModelError
        This machine does not let a user make namespaces.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_USER | _NEW_PROCESSES | _NEW_NETWORK):
        raise ModelError(
            f"a stranger's file can't be opened safely here: {os.strerror(ctypes.get_errno())}",
            where="unshare(2): user, process and network namespaces",
            expected="a machine on which a user may make namespaces",
            fix="allow it (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns; a "
            "container: --security-opt seccomp=unconfined for this one command), or adopt on another machine",
        )
    inner = os.fork()
    if inner:
        _end_as(inner)
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    limits = {
        resource.RLIMIT_AS: MAX_MEMORY,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_FSIZE: MAX_FILE,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
    }
    for limit, most in limits.items():
        _, hard = resource.getrlimit(limit)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (allowed, allowed))


def _end_as(inner: int) -> None:
    """Wait for the confined process and end as it did; its namespace ends with it."""
    for descriptor in (0, 1):  # they are the confined process's alone
        os.close(descriptor)
    _, status = os.waitpid(inner, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        os.kill(os.getpid(), signal.SIGKILL if -code == signal.SIGKILL else signal.SIGTERM)
    os._exit(code)
