"""Writing a wheel whose bytes depend on its files alone (docs/decisions: model packages).

Members are sorted, stored without compression, dated 1 January 1980, of mode 0644. See PEP 427 and
the "Binary distribution format" specification of the Python Packaging Authority.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from rescore.errors import DigestMismatchError

__all__ = ["build_wheel", "changed_members", "record_of", "unpack", "wheel_name", "write_zip"]

_EPOCH = (1980, 1, 1, 0, 0, 0)
_GENERATOR = "rescore (package format 1)"


def wheel_name(name: str, version: str) -> str:
    """The file name that pip expects."""
    return f"{name}-{version}-py3-none-any.whl"


def build_wheel(
    name: str,
    version: str,
    files: Mapping[str, bytes],
    *,
    summary: str,
    python: str,
    requirements: Iterable[str],
    information: Mapping[str, bytes],
) -> bytes:
    """Build a wheel.

    Parameters
    ----------
    name, version : str
        The distribution.
    files : mapping
        Path in the wheel to content.
    summary : str
        One line.
    python : str
        ``Requires-Python``.
    requirements : iterable of str
        ``Requires-Dist``, one each.
    information : mapping
        Path below ``.dist-info`` to content.
    """
    info = f"{name}-{version}.dist-info"
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        f"Summary: {' '.join(summary.split())}",
        f"Requires-Python: {python}",
        *(f"Requires-Dist: {requirement}" for requirement in requirements),
    ]
    wheel = ["Wheel-Version: 1.0", f"Generator: {_GENERATOR}", "Root-Is-Purelib: true", "Tag: py3-none-any"]
    members = {
        **dict(sorted(files.items())),
        f"{info}/METADATA": _lines(metadata),
        f"{info}/WHEEL": _lines(wheel),
        **{f"{info}/{path}": content for path, content in sorted(information.items())},
    }
    record = [f"{path},{_record_digest(content)},{len(content)}" for path, content in members.items()]
    members[f"{info}/RECORD"] = _lines([*record, f"{info}/RECORD,,"])
    return write_zip(members)


def write_zip(members: dict[str, bytes]) -> bytes:
    """Write a zip file: members in the order given, stored, with fixed dates and modes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.create_system = 3  # Unix, wherever this runs
            info.external_attr = 0o100644 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def record_of(archive: zipfile.ZipFile) -> dict[str, str]:
    """Member to recorded digest (``sha256=…``), as the wheel's RECORD has them."""
    names = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
    if len(names) != 1:
        raise KeyError("RECORD")
    rows = csv.reader(io.StringIO(archive.read(names[0]).decode()))
    return {path: digest for path, digest, _ in rows if digest}


def changed_members(path: Path) -> list[str]:
    """Which members of a wheel are not what its RECORD says, in words: expected and got."""
    changed = []
    try:
        with zipfile.ZipFile(path) as archive:
            record = record_of(archive)
            present = {info.filename: info for info in archive.infolist()}
            for name, expected in record.items():
                if name not in present:
                    changed.append(f"{name}: expected {expected}, got no such member")
                    continue
                found = _record_digest(_content(path, present[name]))
                if found != expected:
                    changed.append(f"{name}: expected {expected}, got {found}")
            extra = [name for name in present if name not in record and not name.endswith("/RECORD")]
            changed += [f"{name}: not in RECORD" for name in extra]
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        return [f"the zip structure or its RECORD can't be read ({type(error).__name__}: {error})"]
    return changed


def unpack(wheel: bytes, destination: Path) -> None:
    """Write the members of a verified wheel below ``destination``.

    Raises
    ------
    DigestMismatchError
        A member's path leads out of the folder.
    """
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        for name in archive.namelist():
            target = (destination / name).resolve()
            if not target.is_relative_to(destination.resolve()):
                raise DigestMismatchError(f"{name} leads out of the package", where="its wheel")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))
            target.chmod(0o644)


def _content(path: Path, info: zipfile.ZipInfo) -> bytes:
    """A stored member's bytes, read without the checksum that would refuse a changed one."""
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        lengths = file.read(4)
        skip = int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
        file.seek(info.header_offset + 30 + skip)
        return file.read(info.file_size)


def _record_digest(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _lines(lines: Iterable[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
