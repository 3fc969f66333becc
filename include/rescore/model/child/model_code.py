"""The code of a model folder as the child interpreter imports it, and where in it something failed."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path
from types import ModuleType

from rescore.errors import SpecError
from rescore.limited_import import limited_import
from rescore.model.boosters import EXTRAS

__all__ = ["pipeline_module", "where_in_model"]


def pipeline_module(model: str) -> ModuleType:
    """The staged package's pipeline.py, which must define ``build``; it has a limit on time."""
    try:
        with limited_import():
            module = importlib.import_module(f"{model}.pipeline")
    except BaseException as error:  # sys.exit() and Ctrl-C's error, too: it is the module's own
        raise SpecError(
            f"pipeline.py can't be imported: {type(error).__name__}: {error}".removesuffix(": "),
            where=where_in_model(error, model),
            expected="a module; shared features are imported by: from .features import NAME",
            fix=_fix(error),
        ) from error
    if not callable(getattr(module, "build", None)):
        raise SpecError(
            "pipeline.py has no build()",
            where=f"{model}/pipeline.py",
            expected="def build(hyperparameters: dict, seed: int) -> an estimator",
            fix="define it",
        )
    return module


def _fix(error: BaseException) -> str:
    if not isinstance(error, Exception):
        return "let the module only define: what it does while it is imported must not end the process"
    if (missing := getattr(error, "name", None)) in EXTRAS:
        return f"install 'rescore[{EXTRAS[missing]}]'"
    return "correct the import, or declare the module in shared_features of model.yaml"


def where_in_model(error: BaseException, model: str) -> str:
    """The innermost line of the model's own code, or the end of the traceback."""
    if isinstance(error, SyntaxError) and error.filename and f"/{model}/" in error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}: {(error.text or '').strip()}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"/{model}/" in frame.filename.replace("\\", "/")]
    if own:
        return f"{Path(own[-1].filename).name}, line {own[-1].lineno}: {own[-1].line}"
    return "".join(traceback.format_tb(error.__traceback__)[-1:]).strip()
