"""The page on formats has every format of the code, with its number."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import rescore
from rescore.document import Document

PAGE = (Path(__file__).parents[2] / "docs" / "compatibility.md").read_text()
#: Code location to the number on the page.
STATED = {
    where: number for number, where in re.findall(r"^\|[^|]+\| (\w+) \| `(rescore\.[\w.]+)` \|", PAGE, re.M)
}
NAMES = {"FORMAT", "VIEWS_FORMAT", "KNOWN_VERSIONS"}


def current(where: str) -> str:
    """The number that the code has now; of a list of versions, the last."""
    *path, name = where.split(".")
    try:
        holder = importlib.import_module(".".join(path))
    except ModuleNotFoundError:
        holder = getattr(importlib.import_module(".".join(path[:-1])), path[-1])
    value = getattr(holder, name)
    return str(value[-1] if isinstance(value, tuple) else value)


def test_each_number_is_the_one_in_the_code() -> None:
    assert len(STATED) >= 6
    assert {where: current(where) for where in STATED} == STATED


def test_each_format_of_the_code_is_on_the_page() -> None:
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(rescore.__path__, "rescore.")
        if ".migrations" not in found.name
        and ".model.child" not in found.name
        and "__main__" not in found.name
    ]
    own = {
        f"{module.__name__}.{name}"
        for module in modules
        for name in NAMES & set(re.findall(r"^(\w+)\b.*= ", Path(module.__file__ or "").read_text(), re.M))
    }
    later = {
        f"{kind.__module__}.{kind.__name__}.FORMAT"
        for kind in _subclasses(Document)
        if kind.FORMAT != Document.FORMAT and kind.__module__.startswith("rescore.")
    }
    assert own | later <= set(STATED)


def _subclasses(kind: type[Document]) -> set[type[Document]]:
    direct = set(kind.__subclasses__())
    return direct.union(*(_subclasses(each) for each in direct))
