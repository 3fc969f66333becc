"""The model folder of a demo that a wheel carries, for a folder that is no checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

from rescore.disk import disk_errors, partial_name
from rescore.errors import SettingsError
from rescore.progress import Progress

__all__ = ["bring_model"]

#: Put there by ``force-include`` in ``pyproject.toml``; a checkout has the folder itself.
_SHIPPED = Path(__file__).parent / "models"


def bring_model(models: Path, name: str, say: Progress) -> None:
    """Put the demo's model folder among the model folders, unless one of that name is there.

    Parameters
    ----------
    models : Path
        The folder of model folders; made if it is missing.
    name : str
        The demo's model.
    say : callable
        Receives a line if it was put there.

    Raises
    ------
    SettingsError
        Neither is it there, nor does the wheel carry it; or it can't be written.
    """
    target = models / name
    if target.exists():
        return
    if not (_SHIPPED / name).is_dir():
        raise SettingsError(
            f"the demo's model {name} is not among the model folders",
            where=str(models),
            expected=f"a checkout of Rescore, which has {name} in include/models",
            fix="run it in a checkout (`make demo`), set RESCORE_MODELS to its include/models, or run "
            "`rescore demo house_price`, which needs neither checkout nor Airflow",
        )
    partial = models / partial_name(name)
    try:
        with disk_errors([models]):
            models.mkdir(parents=True, exist_ok=True)
            shutil.copytree(_SHIPPED / name, partial, ignore=shutil.ignore_patterns("__pycache__"))
            partial.rename(target)
    except OSError as error:
        raise SettingsError(
            f"the demo's model folder can't be written: {error.strerror or error}",
            where=str(target),
            expected="a folder that may be written to",
            fix="run the demo in a folder of your own, or set RESCORE_MODELS",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    say(f"   wrote {target}, the model's folder: look at it, change it")
