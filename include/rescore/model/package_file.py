"""What a package's file says before it is opened: manifest, lock, bill of materials, its environment."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

from rescore.errors import DigestMismatchError
from rescore.manifest import Manifest
from rescore.model.bill_of_materials import MEMBER, bill_of_materials
from rescore.model.code_tree import DATA
from rescore.model.own_environment import own_environment

__all__ = ["bill_of", "environment_of", "held_bill", "lock_of", "manifest_of"]


def environment_of(path: Path, environments: Path) -> Path:
    """The folder of a package's own environment, built or not.

    Parameters
    ----------
    path : Path
        The wheel.
    environments : Path
        The folder of all environments.
    """
    wheel = path.read_bytes()
    return own_environment(manifest_of(wheel, path), _lock(wheel), environments).root


def lock_of(path: Path) -> str:
    """The ``requirements.txt`` in a package's wheel: what predicting with it imports, with hashes."""
    return _lock(path.read_bytes()).decode()


def bill_of(path: Path) -> bytes:
    """The bill of materials in a package's wheel; of an earlier release's, the one that it would hold."""
    wheel = path.read_bytes()
    found = held_bill(wheel)
    if found is not None:
        return found
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        [manifest] = [name for name in archive.namelist() if name.endswith(f"/{DATA}/manifest.json")]
        return bill_of_materials(archive.read(manifest), _lock(wheel).decode())


def held_bill(wheel: bytes) -> bytes | None:
    """The bill of materials that a wheel holds; None if an earlier release made it."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        found = [name for name in archive.namelist() if name.endswith(f".dist-info/{MEMBER}")]
        return archive.read(found[0]) if found else None


def manifest_of(wheel: bytes, path: Path) -> Manifest:
    """The manifest in a wheel's bytes.

    Raises
    ------
    DigestMismatchError
        The wheel is no model package.
    DocumentError
        A later release made it.
    """
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        members = [name for name in archive.namelist() if name.endswith(f"/{DATA}/manifest.json")]
        if len(members) != 1:
            raise DigestMismatchError(
                f"{path.name} is no model package: it has {len(members)} manifests",
                where=str(path),
                expected="a wheel that a training or an adoption has made",
                fix="name the sha256 of a package that `rescore packages list MODEL` shows",
            )
        return Manifest.from_dict(json.loads(archive.read(members[0])))


def _lock(wheel: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        [lock] = [name for name in archive.namelist() if name.endswith(f"/{DATA}/requirements.txt")]
        return archive.read(lock)
