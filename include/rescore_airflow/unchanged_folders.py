"""Whether the model folders are as they were when all were found right.

Airflow reads the DAG files again and again, each time in a process that knows nothing of the last one. What
is found right is remembered in a file of ``RESCORE_HOME``, as one digest over everything that the finding
depends on; anything wrong is not remembered, and said again each time.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

import rescore
from rescore.disk import partial_name, private_folder
from rescore.folder import find_models
from rescore.settings import Settings
from rescore.sha256 import bytes_sha256

__all__ = ["remember_right", "stamp_of", "state_of", "were_right"]

_Stamp = list[tuple[str, int, int]]


def were_right(state: str) -> bool:
    """Whether this is the state in which all folders were found right."""
    with suppress(OSError, UnicodeDecodeError):
        return _file().read_text(encoding="utf-8") == state
    return False


def remember_right(state: str) -> None:
    """Remember that all folders were found right in this state; where nothing can be written, nothing is."""
    file = _file()
    with suppress(OSError):
        partial = private_folder(file.parent) / partial_name(file.name)
        partial.write_text(state, encoding="utf-8")
        partial.replace(file)


def state_of(models: Path) -> str:
    """One digest over the model folders' files and whatever else says whether they are right.

    Files are told apart by name, size and moment of the last change; besides those of the folders, these
    are our own code's, the platform's notifiers, Airflow's configuration and what is installed.
    """
    named = [os.environ.get("RESCORE_NOTIFY", ""), f"{os.environ.get('AIRFLOW_HOME', '')}/airflow.cfg"]
    everything = {
        "models": [(name, stamp_of(models / name)) for name in find_models(models)],
        "code": [stamp_of(folder) for folder in _folders_of_code()],
        "files": [_of_file(name) for name in named],
        "variables": sorted(
            (name, value) for name, value in os.environ.items() if name.startswith(("AIRFLOW__", "RESCORE_"))
        ),
        "installed": [sys.version, _of_file(sysconfig.get_path("purelib"))],
    }
    return str(bytes_sha256(json.dumps(everything).encode()))


def stamp_of(folder: Path) -> _Stamp:
    """Name, moment of the last change (ns) and size (bytes) of each file in a folder, sorted."""
    try:
        with os.scandir(folder) as entries:
            files = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    except OSError:  # no such folder: reading it says so
        return []
    return sorted((name, status.st_mtime_ns, status.st_size) for name, status in files)


def _folders_of_code() -> list[Path]:
    packages = [Path(str(rescore.__file__)).parent, Path(__file__).parent]
    folders = [folder for package in packages for folder in [package, *package.rglob("*/")]]
    return sorted(folder for folder in folders if folder.name != "__pycache__")


def _of_file(name: str) -> tuple[str, int, int]:
    try:
        status = os.stat(name)  # noqa: PTH116 - it may be no path at all
    except OSError:
        return name, 0, -1
    return name, status.st_mtime_ns, status.st_size


def _file() -> Path:
    return Settings.from_environment().cache / "model-folders-found-right"
