"""The Python package of a model on disk, the same for training and in the wheel.

An own transformer is trained under the name it has in the package (``<model>.pipeline.X``), so
that what was fitted is what is loaded. Shared features are ``<model>.features.<module>``; the code
imports them relatively: ``from .features import x``.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from rescore.errors import SpecError
from rescore.folder import ModelFolder

__all__ = ["DATA", "SOURCES", "code_tree", "sources_tree", "write_tree"]

#: Subfolders of the package: what training made, and what the model folder declared beside code.
DATA = "_data"
SOURCES = "_sources"

_INIT = '''"""{name}: a model package of Rescore. ``predict(frame)`` scores rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["manifest", "predict"]


def _package() -> Any:
    from ._runtime.package import InstalledPackage

    return InstalledPackage.at(Path(__file__).parent)


def predict(frame: pd.DataFrame) -> pd.DataFrame:
    """Score rows: ``score`` (and ``label``) for each, with the index of ``frame``.

    The first call checks library versions, every file of the package and its golden rows.
    """
    result: pd.DataFrame = _package().predict(frame)
    return result


def manifest() -> dict[str, Any]:
    """What this package is: features, data, code, parameters, environment, metrics."""
    described: dict[str, Any] = _package().manifest
    return described


def __getattr__(name: str) -> str:
    if name == "__version__":
        return str(manifest()["version"])
    raise AttributeError(name)
'''

_MAIN = '''"""``python -m {name}`` proves the package; ``python -m {name} score IN OUT`` scores a file."""

import sys
from pathlib import Path

from ._runtime.command import main

sys.exit(main(Path(__file__).parent))
'''

_RESERVED = ("__main__.py", "_runtime", DATA, SOURCES)


def code_tree(folder: ModelFolder) -> dict[str, bytes]:
    """The package's code, and the files that it reads, by path (``flight_delay/pipeline.py``), sorted.

    Raises
    ------
    SpecError
        The model's name would hide a module, or a file has a name that the package needs.
    """
    name = folder.name
    _refuse_hiding(folder)
    tree = {
        f"{name}/__init__.py": _INIT.format(name=name).encode(),
        f"{name}/__main__.py": _MAIN.format(name=name).encode(),
    }
    for path in sorted((Path(__file__).parent / "runtime").glob("*.py")):
        tree[f"{name}/_runtime/{path.name}"] = path.read_bytes()
    for relative, content in folder.source_files().items():
        if _declares(relative):
            continue
        if relative.split("/")[0] in _RESERVED or (relative == "__init__.py" and content.strip()):
            raise SpecError(
                f"{relative} has a name that the model's package needs for itself",
                where=str(folder.path),
                expected=f"no code in __init__.py, and none of: {', '.join(_RESERVED)}",
                fix="move the code to a module of another name",
            )
        tree.setdefault(f"{name}/{relative}", content)
        for parent in list(Path(relative).parents)[:-1] if relative.endswith(".py") else ():
            tree.setdefault(f"{name}/{parent.as_posix()}/__init__.py", b"")
    return dict(sorted(tree.items()))


def sources_tree(folder: ModelFolder) -> dict[str, bytes]:
    """What the model folder declares beside the code that scores, for whoever audits it."""
    return {
        f"{folder.name}/{SOURCES}/{relative}": content
        for relative, content in folder.source_files().items()
        if _declares(relative)
    }


def _declares(relative: str) -> bool:
    """Whether a file of the folder is read by the platform alone; all others stand beside the code."""
    return relative in {"model.yaml", "expectations.py"} or relative.endswith(".sql")


def write_tree(tree: dict[str, bytes], destination: Path) -> None:
    """Write files below ``destination``, with modes that do not depend on the umask."""
    for name, content in tree.items():
        path = destination / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o644)


def _refuse_hiding(folder: ModelFolder) -> None:
    name = folder.name
    hidden = name in sys.stdlib_module_names
    if not hidden:
        spec = find_spec(name)
        # A folder of that name on the path has no origin; an installed package of ours is no rival.
        hidden = spec is not None and spec.origin is not None and "_runtime" not in _siblings(spec.origin)
    if hidden:
        raise SpecError(
            f"a package called {name!r} would hide the installed module of that name",
            where=str(folder.path / "model.yaml"),
            expected="a name that nothing installed has",
            fix="rename the model",
        )


def _siblings(origin: str) -> set[str]:
    return {path.name for path in Path(origin).parent.iterdir()}
