"""Folders and files on this machine's disks: for their owner alone, whole or not there, and full disks.

Frozen inputs, scores on their way and packages hold personal data, so nobody but the owner may read them.
"""

from __future__ import annotations

import atexit
import errno
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from rescore.errors import DiskFullError

__all__ = [
    "ABANDONED_SECONDS",
    "disk_errors",
    "disk_full",
    "is_disk_full",
    "make_parents",
    "make_private",
    "partial_name",
    "private_folder",
    "process_folder",
    "refuse_without_room",
    "remove_leftovers",
    "scratch_folder",
]

_OWN: set[Path] = set()
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: A partial file of another machine is taken for left over when nobody has written to it for so long.
ABANDONED_SECONDS = 24 * 3600.0


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter; one that exists is made so if it is ours.

    Nobody else may write to folders made on the way to it, and put another one in its place.

    Raises
    ------
    DiskFullError
        There is no room for it.
    """
    with disk_errors([path]):
        make_parents(path)
        path.mkdir(exist_ok=True, mode=0o700)
    make_private(path)
    return path


def make_parents(path: Path) -> None:
    """Make the folders that a path is in, writable for their owner alone, whatever the umask."""
    for missing in reversed([each for each in path.parents if not each.exists()]):
        missing.mkdir(exist_ok=True, mode=0o755)


def make_private(path: Path) -> None:
    """Take all rights from group and others; make a file read-only as well."""
    with suppress(OSError):  # another user's, who decides
        mode = path.stat().st_mode
        wanted = 0o700 if path.is_dir() else 0o400
        if mode & 0o077:
            path.chmod(wanted)


def _machine() -> str:
    """Where a process id says which process: host and namespace of ids, as containers may share a name."""
    namespace = ""
    with suppress(OSError):
        namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    return f"{socket.gethostname()}-{namespace}"


def partial_name(name: str) -> str:
    """A name to write ``name`` under until it is whole: it says which process writes."""
    return f"{name}.{_machine()}.{os.getpid()}.{uuid.uuid4().hex}.partial"


def process_folder(parent: Path) -> Path:
    """A folder of this process for files on their way, removed when it ends.

    Also removes those that killed processes left, and those of Airflow's tasks, which end without running
    what is registered with ``atexit``.
    """
    remove_leftovers(private_folder(parent))
    folder = parent / f"scratch.{_machine()}.{os.getpid()}.0.partial"
    if folder not in _OWN:
        _OWN.add(folder)
        atexit.register(_remove_own, folder, os.getpid())
    return private_folder(folder)


def _remove_own(folder: Path, of_process: int) -> None:
    if os.getpid() == of_process:  # a fork has its parent's list
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove partial files and scratch folders of processes that were killed."""
    for path in folder.glob("*.partial"):
        before, _, pid = path.name.removesuffix(".partial").rpartition(".")[0].rpartition(".")
        here = before.endswith(f".{_machine()}") and pid.isdigit()
        with suppress(OSError):
            age = time.time() - path.stat().st_mtime
            if _runs(int(pid)) if here else age <= ABANDONED_SECONDS:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that a disk, or what we may use of it, is full."""
    # tempfile tries each folder by writing to it and names none in errno.
    no_temporary = isinstance(error, FileNotFoundError) and "No usable temporary directory" in str(error)
    return isinstance(error, OSError) and (error.errno in _FULL or no_temporary)


@contextmanager
def disk_errors(folders: Iterable[Path]) -> Iterator[None]:
    """Say which disk is full, as an error that can be retried.

    Parameters
    ----------
    folders : iterable of Path
        What the block writes to, beside the folder for temporary files. An error that does not name its
        file is blamed on the one with the least room.

    Raises
    ------
    DiskFullError
        In place of an `OSError` that says so. Other errors pass.
    """
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        written = error.filename2 or error.filename  # of a copy or a move, the second is the target
        temporary = Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - only named, not written to
        named = [Path(os.fsdecode(written)).parent] if written else [*folders, temporary]
        raise disk_full(error, _fullest(named)) from error


@contextmanager
def scratch_folder(
    parent: Path | None = None, *, prefix: str = "", also: Iterable[Path] = ()
) -> Iterator[Path]:
    """A folder for files on their way, gone afterwards: a full disk is an error of ours whoever writes there.

    Parameters
    ----------
    parent : Path, optional
        Where; the default is the folder for temporary files.
    prefix : str
        How its name begins.
    also : iterable of Path
        What else the block writes to.

    Raises
    ------
    DiskFullError
        In place of an `OSError` of the block that says so.
    """
    named = [*([] if parent is None else [parent]), *also]
    with disk_errors(named), TemporaryDirectory(dir=parent, prefix=prefix) as folder:
        yield Path(folder)


def _fullest(folders: list[Path]) -> Path:
    """The folder whose disk has the least room; of several on one disk, the first.

    Each disk is asked once: what others write between two questions must not choose among its folders.
    """
    free: dict[int, int] = {}
    disks = [_existing(folder).stat().st_dev for folder in folders]
    for folder, disk in zip(folders, disks, strict=True):
        free.setdefault(disk, _free(_existing(folder)))
    return folders[min(range(len(folders)), key=lambda i: free[disks[i]])]


def disk_full(error: OSError, folder: Path) -> DiskFullError:
    """The error for a disk on which ``folder`` lies."""
    folder = _existing(folder)
    free = _free(folder)
    what = "no room is left on a disk"
    fix = f"free some space below {folder}, or name another disk (RESCORE_HOME, RESCORE_ARCHIVE, TMPDIR)"
    if error.errno == errno.EFBIG:
        what = "a file may grow no larger here"
        fix = "raise the limit on the size of files (ulimit -f) of whoever runs this, or of the file system"
    return DiskFullError(
        f"{what}: {error.strerror or error}",
        where=f"{folder}, {free / 1024**2:,.0f} MB free",
        expected="room for the files of a run",
        fix=fix,
        data={"folder": str(folder), "free_bytes": free},
    )


def refuse_without_room(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk of ``folder`` has no room for.

    Parameters
    ----------
    folder : Path
        Where it will be written; need not exist yet.
    needed : int
        Bytes.
    what : str
        What needs them, and how that is known.

    Raises
    ------
    DiskFullError
        Less is free.
    """
    place = _existing(folder)
    free = _free(place)
    if needed > free:
        raise DiskFullError(
            f"a disk has no room for {what}",
            where=f"{place}, {free / 1024**2:,.0f} MB free",
            expected=f"at least {needed / 1024**2:,.0f} MB",
            fix=f"free some space below {place}, or name another disk (RESCORE_HOME, RESCORE_ARCHIVE); if "
            "the estimate is wrong, ANALYZE the tables of the query",
            data={"folder": str(place), "free_bytes": free, "needed_bytes": needed},
        )


def _existing(path: Path) -> Path:
    return next((place for place in (path, *path.absolute().parents) if place.is_dir()), Path("/"))


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
