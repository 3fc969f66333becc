"""Faces of packages, whose names load on first use."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

FACE = """
from typing import TYPE_CHECKING

from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
    from {package}.{module} import tables

__getattr__ = lazy_names(__name__, __file__)
"""


def write_face(path: Path, package: str, module: str) -> None:
    (path / package).mkdir()
    (path / package / "__init__.py").write_text(FACE.format(package=package, module=module))
    (path / package / f"{module}.py").write_text("def tables():\n    return 'read'\n")


def test_a_name_loads_its_module_when_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_face(tmp_path, "face_of_tables", "named")
    monkeypatch.syspath_prepend(tmp_path)
    face = importlib.import_module("face_of_tables")
    assert "face_of_tables.named" not in sys.modules
    assert [face.tables(), face.tables()] == ["read", "read"]
    with pytest.raises(AttributeError, match="has no attribute 'columns'"):
        _ = face.columns


def test_a_module_with_the_name_of_what_is_read_from_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_face(tmp_path, "face_of_modules", "tables")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"face_of_modules\.tables .* rename the module"):
        importlib.import_module("face_of_modules")
