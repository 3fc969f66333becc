"""What a package's file says before it is opened: manifest, lock, bill of materials, its environment."""

from __future__ import annotations

import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rescore.errors import DigestMismatchError
from rescore.manifest import Manifest
from rescore.model.bill_of_materials import MEMBER, bill_of_materials
from rescore.model.code_tree import DATA
from rescore.model.own_environment import own_environment

__all__ = ["bill_of", "environment_of", "held_bill", "lock_of", "manifest_of"]

_MANIFEST = f"/{DATA}/manifest.json"
_LOCK = f"/{DATA}/requirements.txt"
#: Bytes; a manifest of 10,000 features has some 2 million. A member may say that it is longer than memory.
_LARGEST_MEMBER = 256 * 1024**2

#: A damaged archive or header, damaged contents, a compression or a password that nobody here uses, no JSON.
_NO_PACKAGE = (
    *(zipfile.BadZipFile, struct.error, EOFError, OSError, KeyError),
    *(zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, ValueError),
)


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
    return own_environment(manifest_of(wheel, path), _member(wheel, _LOCK, path), environments).root


def lock_of(path: Path) -> str:
    """The ``requirements.txt`` in a package's wheel: what predicting with it imports, with hashes.

    Raises
    ------
    DigestMismatchError
        The wheel is no model package.
    """
    wheel = path.read_bytes()
    with _is_a_package(path):
        return _member(wheel, _LOCK, path).decode()


def bill_of(path: Path) -> bytes:
    """The bill of materials in a package's wheel; of an earlier release's, the one that it would hold.

    Raises
    ------
    DigestMismatchError
        The wheel is no model package.
    """
    wheel = path.read_bytes()
    with _is_a_package(path):
        found = held_bill(wheel)
        return bill_of_materials(_member(wheel, _MANIFEST, path), lock_of(path)) if found is None else found


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
    with _is_a_package(path):
        return Manifest.from_dict(json.loads(_member(wheel, _MANIFEST, path)))


def _member(wheel: bytes, ending: str, path: Path) -> bytes:
    """The one member of a wheel that ends so."""
    with _is_a_package(path), zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        found = [one for one in archive.infolist() if one.filename.endswith(ending)]
        if len(found) != 1:
            raise _no_package(path, f"it has {len(found)} of {ending.removeprefix('/')}")
        if found[0].file_size > _LARGEST_MEMBER:
            raise _no_package(path, f"{found[0].filename} has {found[0].file_size:,} bytes")
        return archive.read(found[0])


@contextmanager
def _is_a_package(path: Path) -> Iterator[None]:
    """What zipfile, zlib and json say of a file that is no package, in our words."""
    try:
        yield
    except _NO_PACKAGE as error:
        raise _no_package(path, f"{type(error).__name__}: {error}") from None


def _no_package(path: Path, why: str) -> DigestMismatchError:
    return DigestMismatchError(
        f"{path.name} is no model package: {why}",
        where=str(path),
        expected="a wheel that a training or an adoption has made",
        fix="name the sha256 of a package that `rescore packages list MODEL` shows",
    )
