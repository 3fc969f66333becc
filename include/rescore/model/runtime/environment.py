"""The numeric environment: what decides the bits of a result, beside code and data.

Bits are claimed to be equal for the same package versions, Python, processor features and BLAS
kernels. More than one thread is never used: sums split over threads change with their number.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .errors import EnvironmentError_, ThreadsError

__all__ = [
    "CORE_PACKAGES",
    "THREAD_VARIABLES",
    "check_environment",
    "differences",
    "installed",
    "numeric_environment",
    "one_thread",
]

#: The distributions that every prediction imports.
CORE_PACKAGES = (
    "joblib",
    "narwhals",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "skops",
    "threadpoolctl",
)

#: Set to 1 before a process that fits or predicts starts; later, or in a fork, they do nothing.
THREAD_VARIABLES = (
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

# OpenMP's limit belongs to a thread, so what holds is remembered for each.
_HELD = threading.local()


def installed(name: str) -> str | None:
    """The version of an installed distribution, None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def differences(
    expected: Mapping[str, str], installed: Callable[[str], str | None] = installed
) -> dict[str, dict[str, str | None]]:
    """Compare distribution versions with what is installed, without importing anything.

    Parameters
    ----------
    expected : mapping
        Distribution to version; ``python`` means the interpreter, and only its feature release
        (3.11) is compared.
    installed : callable
        Distribution to its version or None; asked for ``python``, too. Default: what is installed here.

    Returns
    -------
    dict
        For each that differs: ``expected`` and ``found`` (None: not installed).
    """
    different: dict[str, dict[str, str | None]] = {}
    for name, wanted in sorted(expected.items()):
        if name == "python":
            found: str | None = installed(name) or platform.python_version()
            same = _feature_release(found or "") == _feature_release(wanted)
        else:
            found = installed(name)
            same = found == wanted
        if not same:
            different[name] = {"expected": wanted, "found": found}
    return different


def _feature_release(release: str) -> list[str]:
    return release.split(".")[:2]


def check_environment(package: str, expected: Mapping[str, str]) -> None:
    """Refuse an environment whose versions are not those the package was built with.

    Raises
    ------
    EnvironmentError_
        Lists every difference.
    """
    different = differences(expected)
    if different:
        lines = [f"{name} {d['expected']} (found {d['found'] or 'none'})" for name, d in different.items()]
        raise EnvironmentError_(
            f"{package} was built with other versions than are installed here: {', '.join(lines)}",
            expected="exactly the versions the package was built with",
            fix="run it in an environment of its own (its requirements.txt lists it), or train it anew here",
            different=different,
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold every numerical library that is loaded to one thread, and make sure that it obeys.

    Raises
    ------
    ThreadsError
        A library keeps more threads.
    """
    from threadpoolctl import threadpool_info, threadpool_limits

    if getattr(_HELD, "yes", False):  # looking for the libraries takes 10 ms
        yield
        return
    with threadpool_limits(limits=1):
        many = [info for info in threadpool_info() if info["num_threads"] != 1]
        if many:
            raise ThreadsError(
                "numerical libraries would use more than one thread: "
                + ", ".join(f"{info['internal_api']} {info['num_threads']}" for info in many),
                expected="1 thread in each",
                fix=f"set {', '.join(THREAD_VARIABLES)} to 1 before the process starts",
            )
        _HELD.yes = True
        try:
            yield
        finally:
            _HELD.yes = False


@cache
def numeric_environment() -> dict[str, Any]:
    """What the bits of a result may depend on, in this process.

    Returns
    -------
    dict
        ``python``, ``machine``, ``libc``, ``packages`` (name to version), ``blas`` (library,
        version and kernel architecture of each that is loaded) and ``simd`` (the processor
        features that numpy uses), all JSON-serialisable and in a fixed order.
    """
    import numpy as np
    import scipy.linalg  # noqa: F401 - scipy brings a BLAS of its own
    from threadpoolctl import threadpool_info

    blas = {
        (info["internal_api"], str(info.get("version")), str(info.get("architecture")))
        for info in threadpool_info()
        if info["user_api"] == "blas"
    }
    simd: dict[str, list[str]] = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[assignment, call-overload, index, unused-ignore]
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "machine": platform.machine(),
        "libc": "-".join(platform.libc_ver()),
        "packages": {name: found for name in CORE_PACKAGES if (found := installed(name))},
        "blas": [{"library": a, "version": b, "architecture": c} for a, b, c in sorted(blas)],
        "simd": sorted({*simd.get("baseline", []), *simd.get("found", [])}),
    }
