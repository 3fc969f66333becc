"""What the model folders declare, each read once for as long as its files stay as they are.

Every DAG of a model needs its declaration, and Airflow reads the DAG files again and again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rescore.errors import RescoreError
from rescore.folder import load_model
from rescore.settings import Settings
from rescore_airflow.unchanged_folders import stamp_of

if TYPE_CHECKING:
    from rescore.spec import ModelSpec

__all__ = ["declared"]

#: When its files were last changed, and what reading the folder gave.
_read: dict[Path, tuple[list[tuple[str, int, int]], ModelSpec | RescoreError]] = {}


def declared(model_name: str) -> ModelSpec:
    """The model's specification; reading it loads nothing heavy.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """
    models = Settings.from_environment().models
    folder = models / model_name
    stamp = stamp_of(folder)
    if folder not in _read or _read[folder][0] != stamp:
        try:
            _read[folder] = stamp, load_model(models, model_name).spec
        except RescoreError as error:
            _read[folder] = stamp, error
    result = _read[folder][1]
    if isinstance(result, RescoreError):
        raise result.with_traceback(None)
    return result
