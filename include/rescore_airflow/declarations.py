"""What the model folders declare, each read once for as long as its files stay as they are.

Every DAG of a model needs its declaration, and Airflow reads the DAG files again and again.
"""

from __future__ import annotations

import os
from pathlib import Path

from rescore.errors import RescoreError
from rescore.folder import load_model
from rescore.settings import Settings
from rescore.spec import ModelSpec

__all__ = ["declared"]

#: When its files were last changed, and what reading the folder gave.
_read: dict[Path, tuple[frozenset[tuple[str, int, int]], ModelSpec | RescoreError]] = {}


def declared(model_name: str) -> ModelSpec:
    """The model's specification; reading it loads nothing heavy.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """
    models = Settings.from_environment().models
    folder = models / model_name
    stamp = _stamp(folder)
    if folder not in _read or _read[folder][0] != stamp:
        try:
            _read[folder] = stamp, load_model(models, model_name).spec
        except RescoreError as error:
            _read[folder] = stamp, error
    result = _read[folder][1]
    if isinstance(result, RescoreError):
        raise result.with_traceback(None)
    return result


def _stamp(folder: Path) -> frozenset[tuple[str, int, int]]:
    try:
        with os.scandir(folder) as entries:
            files = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    except OSError:  # no such folder: reading it says so
        return frozenset()
    return frozenset((name, status.st_mtime_ns, status.st_size) for name, status in files)
