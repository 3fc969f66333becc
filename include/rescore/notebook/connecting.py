"""Where a notebook finds the deployment, and how it shows progress."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from rescore.pipeline import Context
from rescore.settings import Settings

__all__ = ["Console", "connect"]

_MODELS = Path("include") / "models"


class Console:
    """Shows one line per step, dimmed; rich shows it in a notebook as in a terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console as RichConsole

        self._console = RichConsole(quiet=quiet, highlight=False)

    def __call__(self, line: str) -> None:
        """Show a line."""
        self._console.print(line, style="dim", markup=False, soft_wrap=True)


def connect(resources: ExitStack, *, progress: Console) -> Context:
    """The context of the configured database, or of the local Postgres until ``resources`` close."""
    from rescore.local import LocalStack

    environment = {**project_environment(Path.cwd()), **os.environ}
    settings = Settings.from_environment(environment)
    stack = resources.enter_context(LocalStack(settings, progress=progress).session(airflow=False))
    settings = Settings.from_environment({**environment, **stack.environment()})
    return resources.enter_context(Context.from_environment(settings, progress=progress))


def project_environment(start: Path) -> dict[str, str]:
    """Home and models of the project that ``start`` lies in: a notebook runs in its own folder."""
    for folder in (start, *start.parents):
        if (folder / _MODELS).is_dir():
            return {"RESCORE_HOME": str(folder / "var"), "RESCORE_MODELS": str(folder / _MODELS)}
    return {}
