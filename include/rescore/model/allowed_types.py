"""What an adopted model's artifact names, judged by the process that packages it.

The child that loads a stranger's file may be under its control; what that child says of the artifact counts
for nothing here. The names are read from the file itself, without importing any, and compared with what the
libraries' list, the folder's code and its declaration allow: what is packaged runs later with no confinement.
"""

from __future__ import annotations

import ast
import io
import json
import zipfile
from collections.abc import Collection, Iterator, Mapping

from rescore.errors import RefusedTypeError
from rescore.model.boosters import BOOSTER_TYPES
from rescore.model.library_types import PYTHON_TYPES, harmless
from rescore.model.runtime.reader import names

__all__ = ["refuse_unvouched"]

_Definition = ast.ClassDef | ast.FunctionDef


def refuse_unvouched(
    content: bytes, stated: Collection[str], *, model: str, code: Mapping[str, bytes]
) -> None:
    """Refuse an artifact that names anything which neither the libraries' list nor the folder allows.

    Parameters
    ----------
    content : bytes
        The artifact, a skops file.
    stated : collection of str
        The names that its manifest is to list: what the package's reader will take.
    model : str
        The model's name.
    code : mapping
        Path to content of the package's modules, as the folder has them.

    Raises
    ------
    RefusedTypeError
        It, or the list, names something else, or is no skops file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            named = names(json.loads(archive.read("schema.json")))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise RefusedTypeError(
            f"the adopted model's artifact can't be read: {type(error).__name__}: {error}",
            where="model.skops",
            expected="a skops file",
            fix="adopt the file again",
        ) from error
    allowed = BOOSTER_TYPES | PYTHON_TYPES | set(_declared(code.get(f"{model}/pipeline.py", b"")))
    allowed |= set(_own(model, code))
    refused = sorted(
        one
        for one in named | set(stated)
        if one not in allowed and not harmless(one.rpartition(".")[0], one.rpartition(".")[2])
    )
    if refused:
        raise RefusedTypeError(
            f"the adopted model holds {refused[0]}, a type outside the allow-list",
            where="model.skops",
            expected=f"types of scikit-learn, numpy, scipy, the model folder {model} and its TRUSTED_TYPES",
            fix="if you trust it, write its name as a text into TRUSTED_TYPES = (...) in pipeline.py",
            examples=refused,
            data={"types": refused},
        )


def _declared(pipeline: bytes) -> Iterator[str]:
    """The names in ``TRUSTED_TYPES`` of pipeline.py, as far as they are written there as texts."""
    for node in ast.parse(pipeline).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(one, ast.Name) and one.id == "TRUSTED_TYPES" for one in targets):
            value = getattr(node, "value", None)
            if isinstance(value, ast.Tuple | ast.List | ast.Set):
                yield from (str(one.value) for one in value.elts if isinstance(one, ast.Constant))


def _own(model: str, code: Mapping[str, bytes]) -> Iterator[str]:
    """The classes and functions that the folder's modules define at their top level."""
    for path, content in code.items():
        module = path.removesuffix(".py").replace("/", ".")
        folder, _, below = module.partition(".")
        if folder != model or not path.endswith(".py") or below.split(".")[0] in ("_runtime", "__main__"):
            continue
        for node in ast.parse(content).body:
            if isinstance(node, _Definition):
                yield f"{module}.{node.name}"
