"""The environment a process that fits or predicts is started in, and what it is numerically.

Threads, hash seed and time zone are set before the interpreter starts: setting them after numpy
was loaded, or in a fork, does nothing. Passwords and connection strings of the parent are left out,
since a model's code has no business with them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from rescore.model.runtime.environment import (
    CORE_PACKAGES,
    THREAD_VARIABLES,
    differences,
    numeric_environment,
)

__all__ = [
    "CORE_PACKAGES",
    "THREAD_VARIABLES",
    "UMASK",
    "differences",
    "numeric_environment",
    "start_environment",
]

#: The umask of every process we start: files are readable as the archive's readers expect.
UMASK = 0o022

# The last two pin kernels to an older processor's; a deployment of mixed machines may set them.
_INHERITED = (
    "HOME",
    "LD_LIBRARY_PATH",
    "PATH",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
    "NPY_DISABLE_CPU_FEATURES",
    "OPENBLAS_CORETYPE",
)


def start_environment(
    path: Iterable[Path] = (), *, hash_seed: int = 0, inherited: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Environment variables to start a fitting or predicting interpreter with.

    Parameters
    ----------
    path : iterable of Path
        Folders to import from, before the installed packages.
    hash_seed : int
        ``PYTHONHASHSEED``.
    inherited : mapping, optional
        Where the few inherited variables come from; default ``os.environ``.
    """
    given = os.environ if inherited is None else inherited
    return {
        **{name: given[name] for name in _INHERITED if name in given},
        **dict.fromkeys(THREAD_VARIABLES, "1"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in path),
        "PYTHONUTF8": "1",
    }
