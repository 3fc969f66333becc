"""Whatever is changed in a package's own environment, and whenever, is named before a score of it counts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rescore.errors import EnvironmentMismatchError
from rescore.model.own_environment import OwnEnvironment
from rescore.model.package import open_package
from tests.model.packages import build
from tests.model.parcels import Trained

SITE = "lib/python{}.{}/site-packages".format(*sys.version_info)


@pytest.fixture
def own(tmp_path: Path) -> OwnEnvironment:
    """An environment of one module, compiled as an installer does, with the list of its files."""
    root = tmp_path / "environments" / "digest"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    inner = root / SITE / "adding"
    inner.mkdir(parents=True)
    (inner / "__init__.py").write_text("def add(x):\n    return x + 1\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(inner)], check=True)
    python = "{}.{}.{}".format(*sys.version_info[:3])
    here = [path for path in sys.path if path.endswith("site-packages")]
    (root / SITE / "here.pth").write_text("\n".join(here))  # what else a package needs to run
    environment = OwnEnvironment("m 1.0.0", "digest", root, "", {"python": python})
    (root / "complete").write_text(json.dumps(environment._files()))
    return environment


def change_a_byte(file: Path, old: bytes, new: bytes) -> None:
    """As an attacker does: the same size, and the same time of writing."""
    stat, content = file.stat(), file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, 1))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def in_source(package: Path) -> str:
    change_a_byte(package / "__init__.py", b"+ 1", b"+ 2")
    return "adding/__init__.py: changed"


def in_bytecode(package: Path) -> str:
    """Python runs this and not the source, which is as it was."""
    file = next((package / "__pycache__").glob("*.pyc"))
    change_a_byte(file, b"add", b"adc")
    return f"__pycache__/{file.name}: changed"


def by_a_linked_folder(package: Path) -> str:
    shutil.copytree(package, elsewhere := package.parents[4] / "elsewhere")
    shutil.rmtree(package)
    package.symlink_to(elsewhere)
    return "adding: added"


def by_a_linked_file(package: Path) -> str:
    (package / "__init__.py").rename(elsewhere := package.parents[4] / "elsewhere.py")
    (package / "__init__.py").symlink_to(elsewhere)
    return "adding/__init__.py: changed"


def by_a_path_file(package: Path) -> str:
    (package.parent / "more.pth").write_text("import os\n")
    return "more.pth: added"


def by_a_linked_root(package: Path) -> str:
    root = package.parents[3]
    root.rename(elsewhere := root.with_name("elsewhere"))
    root.symlink_to(elsewhere)
    return "a link to another folder"


CHANGES = [in_source, in_bytecode, by_a_linked_folder, by_a_linked_file, by_a_path_file, by_a_linked_root]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_before_or_after_the_check_is_named(
    own: OwnEnvironment, change: Callable[[Path], str]
) -> None:
    seal = own.check()
    seal.compare()
    said = change(own.root / SITE / "adding")
    for look in (own.check, seal.compare):
        with pytest.raises(EnvironmentMismatchError, match="was changed since it was built") as caught:
            look()
        assert any(line.endswith(said) for line in caught.value.examples), caught.value.examples


def test_a_link_of_an_installer_to_the_same_file_changes_nothing(own: OwnEnvironment) -> None:
    seal = own.check()
    os.link(own.root / SITE / "adding" / "__init__.py", own.root.parent / "of another environment")
    assert seal.stamps != own._stamps()
    seal.compare()


def test_a_package_neither_starts_in_a_changed_environment_nor_gives_what_it_scored_in_one(
    own: OwnEnvironment, trained: Trained, tmp_path: Path
) -> None:
    file = build(trained, tmp_path)
    opened = open_package(file.path, expected_sha256=file.sha256, cache=tmp_path / "cache")
    package = replace(opened, seal=own.check())
    scores = package.scored(trained.snapshot)
    next(scores)
    in_source(own.root / SITE / "adding")
    with pytest.raises(EnvironmentMismatchError, match="was changed since it was built"):
        list(scores)
    with pytest.raises(EnvironmentMismatchError, match="was changed since it was built"):
        next(package.scored(trained.snapshot))
    assert list((tmp_path / "cache").iterdir()) == []
