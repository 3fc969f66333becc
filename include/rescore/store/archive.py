"""Frozen inputs and packages as files, named by their content; on disk or in an object store.

::

    inputs/ab/ab12…/<sha256 of the file>.parquet      ab12…: the content digest of the table
    packages/cd/cd34…/flight_delay-1.0.3-py3-none-any.whl

A table's digest does not depend on how Parquet wrote it, so the name also holds the file's own sha256:
what is read is compared with it, byte for byte, before anybody uses it. Inputs hold personal data: on disk
only their owner can read them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import posixpath
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from rescore.digest import DIGEST_METADATA, TableDigest
from rescore.disk import (
    ABANDONED_SECONDS,
    disk_errors,
    make_private,
    partial_name,
    private_folder,
    remove_leftovers,
)
from rescore.errors import DigestMismatchError, NotFoundError, StoreUnavailableError, UndigestibleError
from rescore.sha256 import Sha256, file_sha256
from rescore.store.filesystems import open_filesystem

__all__ = ["Archive"]


class Archive:
    """A folder or bucket of files that are named by their content and never change.

    Parameters
    ----------
    url : str
        A path, or any fsspec URL (``s3://bucket/prefix``); see :mod:`rescore.store.filesystems`.
    cache : Path, optional
        Where files of a remote archive are kept once read; default: a folder ``.rescore-cache`` in the
        home directory. A local archive is read in place.

    Raises
    ------
    SettingsError
        The URL has no scheme that fsspec knows, or its library is not installed.
    """

    def __init__(self, url: str, *, cache: Path | None = None) -> None:
        filesystem, root = open_filesystem(url, what="archive", where="RESCORE_ARCHIVE")
        self._fs: Any = filesystem
        self._root: str = root.rstrip("/")
        self._local = isinstance(filesystem, LocalFileSystem)
        self._cache = cache if cache is not None else _own_cache()
        self.url = url

    def __repr__(self) -> str:
        return f"Archive({self.url!r})"

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine (which other machines may not see)."""
        return self._local

    def put_input(self, path: Path, digest: str) -> str:
        """Keep a frozen input (Parquet) under its content digest; keeping it again changes nothing.

        Returns
        -------
        str
            Its URI.
        """
        return self._put(
            path, posixpath.join("inputs", *_folders(digest), f"{file_sha256(path).hex}.parquet")
        )

    def get_input(self, digest: str) -> Path:
        """The frozen input of a content digest, as a local file; its bytes are those that were put.

        Whether its rows are those of the digest is for ``source.read_frozen`` to say.

        Raises
        ------
        NotFoundError
            The archive has none.
        DigestMismatchError
            The file was changed.
        """
        # Another version of Parquet writes the same rows to another file; one that is sound is enough, and a
        # table that was copied into the wrong folder is sound, too.
        *others, last = self._find(posixpath.join("inputs", *_folders(digest)), digest, _INPUT)
        for found in others:
            with suppress(DigestMismatchError):
                path = self._get(found, _named(found))
                if _recorded_digest(path) in {None, digest}:
                    return path
        return self._get(last, _named(last))

    def verify_again(self, path: Path) -> None:
        """Compare a file that :meth:`get_input` gave with its name once more, after it was read by its path.

        Raises
        ------
        NotFoundError
            It was deleted since.
        DigestMismatchError
            It was changed since.
        """
        try:
            _verify(path, _named(path.name), str(path))
        except FileNotFoundError as error:
            raise NotFoundError(
                "the file of a frozen table was deleted while it was read",
                where=str(path),
                expected="the file that was there before",
                fix="see in `rescore audit verify` whether retention or an erasure took it",
            ) from error

    def put_package(self, path: Path, sha256: str) -> str:
        """Keep a package under the sha256 of its file; keeping it again changes nothing.

        Returns
        -------
        str
            Its URI.

        Raises
        ------
        DigestMismatchError
            The file has another sha256.
        """
        _verify(path, Sha256(sha256), str(path))
        return self._put(path, posixpath.join("packages", *_folders(sha256), path.name))

    def get_package(self, sha256: str) -> Path:
        """The package of a sha256, as a local file with its proper name.

        Raises
        ------
        NotFoundError
            The archive has none.
        DigestMismatchError
            The file was changed.
        """
        *others, last = self._find(posixpath.join("packages", *_folders(sha256)), sha256, _PACKAGE)
        for found in others:  # a copy of another name; one that is sound is enough
            with suppress(DigestMismatchError):
                return self._get(found, Sha256(sha256))
        return self._get(last, Sha256(sha256))

    def inputs(self) -> dict[str, int]:
        """Every frozen table in the archive: its content digest and the bytes of its files."""
        root = posixpath.join(self._root, "inputs")
        found: dict[str, int] = {}
        with self._reaching():
            self._fs.invalidate_cache()
            files = self._fs.find(root, detail=True) if self._fs.exists(root) else {}
        for name, about in files.items():
            if _INPUT.fullmatch(posixpath.basename(str(name))):
                digest = f"sha256:{posixpath.basename(posixpath.dirname(str(name)))}"
                found[digest] = found.get(digest, 0) + int(about["size"])
        return found

    def input_size(self, digest: str) -> int:
        """How many bytes the files of a frozen table have; 0 if there are none."""
        return self._size(posixpath.join("inputs", *_folders(digest)), _INPUT)

    def _size(self, folder: str, named: re.Pattern[str]) -> int:
        path = posixpath.join(self._root, folder)
        with self._reaching():
            self._fs.invalidate_cache()
            files = self._fs.ls(path, detail=True) if self._fs.exists(path) else []
        ours = [one for one in files if named.fullmatch(posixpath.basename(str(one["name"])))]
        return sum(int(one["size"]) for one in ours if one["type"] != "directory")

    def ensure_input(self, path: Path, digest: str) -> None:
        """Put a frozen input again if its file is gone: retention deleted it before it was recorded."""
        if not self.input_size(digest):
            self.put_input(path, digest)

    def delete_input(self, digest: str) -> None:
        """Delete every file of a frozen table, and what is cached of it here; again is nothing."""
        folder = posixpath.join(self._root, "inputs", *_folders(digest))
        with self._reaching():
            self._fs.invalidate_cache()
            if self._fs.exists(folder):
                # First what is kept here: after a crash nothing says any more that this was the same table.
                for about in self._fs.ls(folder, detail=True):
                    self._forget(str(about["name"]))
                self._fs.rm(folder, recursive=True)

    def package_size(self, sha256: str) -> int:
        """How many bytes the files of a package have; 0 if there are none."""
        return self._size(posixpath.join("packages", *_folders(sha256)), _PACKAGE)

    def delete_package(self, sha256: str) -> None:
        """Delete every file of a package, and what is cached of it here; again is nothing."""
        if not self._local:
            shutil.rmtree(self._cache.joinpath(*_folders(sha256)), ignore_errors=True)
        folder = posixpath.join(self._root, "packages", *_folders(sha256))
        with self._reaching():
            self._fs.invalidate_cache()
            if self._fs.exists(folder):
                self._fs.rm(folder, recursive=True)

    def remove_leftovers(self) -> None:
        """Delete what processes that were killed in the middle of :meth:`put_input` had copied so far.

        Of another machine's it is not known whether it still copies: those go when they are a day old.
        """
        with self._reaching():
            self._fs.invalidate_cache()
            names = self._fs.find(self._root) if self._fs.exists(self._root) else []
            partial = [str(name) for name in names if str(name).endswith(".partial")]
            if self._local:
                for folder in {Path(name).parent for name in partial}:
                    remove_leftovers(folder)
                return
            for name in partial:
                if (datetime.now(UTC) - self._fs.modified(name)).total_seconds() > ABANDONED_SECONDS:
                    self._fs.rm_file(name)

    def _forget(self, found: str) -> None:
        """Delete what is kept here of a remote archive's frozen table."""
        if not self._local and found.endswith(".parquet"):
            shutil.rmtree(self._cache.joinpath(*_folders(_named(found))), ignore_errors=True)

    def outlived(self) -> list[Path]:
        """Folders of what was kept here of a remote archive, and is no longer in it."""
        if self._local or not self._cache.is_dir():
            return []
        with self._reaching():
            self._fs.invalidate_cache()
            files = [str(name) for name in self._fs.find(self._root)] if self._fs.exists(self._root) else []
        there = {posixpath.basename(name).removesuffix(".parquet") for name in files}
        there |= {posixpath.basename(posixpath.dirname(name)) for name in files}
        return sorted(one for one in self._cache.glob("[0-9a-f][0-9a-f]/*") if one.name not in there)

    def _put(self, path: Path, name: str) -> str:
        target = posixpath.join(self._root, name)
        uri = str(self._fs.unstrip_protocol(target))
        with self._reaching():
            if self._local:
                self._make_private(Path(target).parent)
            # The size says nothing of damage; what is there is left alone only if it is this very file.
            if self._fs.exists(target) and self._sha256(target) == file_sha256(path):
                self._settle(target)
                return uri
            # Under another name first: a reader sees the whole file or none.
            partial = partial_name(target)
            self._fs.makedirs(posixpath.dirname(target), exist_ok=True)
            try:
                self._fs.put_file(str(path), partial)
                if self._local:
                    Path(partial).chmod(0o400)
                    _sync(Path(partial))
                    Path(partial).replace(target)
                else:
                    self._fs.mv(partial, target)
            finally:
                if self._fs.exists(partial):
                    self._fs.rm_file(partial)
            self._settle(target)
        return uri

    def _settle(self, target: str) -> None:
        """Let a file's name, and the folders made for it, outlast a power cut: the store records it next."""
        if self._local:
            root = Path(self._root)
            for folder in Path(target).parents:
                _sync(folder)
                if folder == root:
                    break

    def _make_private(self, folder: Path) -> None:
        """Make the folders from the root down to this one, for their owner alone."""
        root = private_folder(Path(self._root))
        for part in reversed([folder, *folder.parents]):
            if part.is_relative_to(root):
                private_folder(part)
        remove_leftovers(folder)

    def _sha256(self, name: str) -> Sha256:
        with self._fs.open(name, "rb") as stream:
            return Sha256("sha256:" + hashlib.file_digest(stream, "sha256").hexdigest())

    def _find(self, folder: str, digest: str, ours: re.Pattern[str]) -> list[str]:
        """The files of a digest; what others left beside them (an editor, a sync) is not looked at."""
        path = posixpath.join(self._root, folder)
        with self._reaching():
            self._fs.invalidate_cache()
            there = self._fs.ls(path, detail=True) if self._fs.exists(path) else []
        files = [str(about["name"]) for about in there if about["type"] != "directory"]
        whole = sorted(name for name in files if ours.fullmatch(posixpath.basename(name)))
        if not whole:
            raise NotFoundError(
                f"the archive has no file for {digest}",
                where=str(self._fs.unstrip_protocol(path)),
                expected="a file that was put there",
                fix="check RESCORE_ARCHIVE; what retention removed can only be derived from the source",
                data={"digest": digest},
            )
        return whole

    def _get(self, found: str, expected: Sha256) -> Path:
        uri = str(self._fs.unstrip_protocol(found))
        if self._local:
            make_private(Path(self._root))
            make_private(Path(found))
            _verify(Path(found), expected, uri)
            return Path(found)
        cached = self._cache.joinpath(*_folders(expected), posixpath.basename(found))
        if cached.is_file() and file_sha256(cached) == expected:
            return cached
        for folder in (self._cache, cached.parent):
            private_folder(folder)
        remove_leftovers(cached.parent)
        partial = cached.with_name(partial_name(cached.name))
        try:
            with self._reaching(), disk_errors([cached.parent]):
                self._fs.get_file(found, str(partial))
            _verify(partial, expected, uri)
            partial.chmod(0o400)
            partial.replace(cached)
        finally:
            partial.unlink(missing_ok=True)
        return cached

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Say in our words that the archive can't be reached, or that its disk is full."""
        try:
            with disk_errors([Path(self._root)]) if self._local else nullcontext():
                yield
        except OSError as error:
            raise StoreUnavailableError(
                f"the archive can't be read or written: {error}",
                where=self.url,
                expected="a folder or bucket we may read and write",
                fix="check the path, its rights and its free space",
            ) from error


#: Names that this archive gives its files.
_INPUT = re.compile(r"[0-9a-f]{64}\.parquet")
_PACKAGE = re.compile(r"[^.].*\.whl")


def _own_cache() -> Path:
    try:
        return Path.home() / ".rescore-cache"
    except RuntimeError:  # a user that has a number only, as in a container
        return Path(gettempdir()) / f"rescore-cache-{os.getuid()}"


def _named(found: str) -> Sha256:
    """The sha256 in an input's name."""
    return Sha256(posixpath.basename(found).removesuffix(".parquet"))


def _recorded_digest(path: Path) -> str | None:
    """The content digest that a frozen file keeps of itself; None if it keeps none that can be read."""
    import pyarrow.parquet as pq  # where there are several files alone

    try:
        kept = (pq.read_metadata(path).metadata or {}).get(DIGEST_METADATA)
        return TableDigest.from_dict(json.loads(kept)).root if kept else None
    except (OSError, ValueError, KeyError, TypeError, UndigestibleError):
        return None


def _folders(digest: str) -> tuple[str, str]:
    digits = Sha256(digest).hex
    return digits[:2], digits


def _verify(path: Path, expected: Sha256, uri: str) -> None:
    got = file_sha256(path)
    if got != expected:
        raise DigestMismatchError(
            "a file is not what its name says",
            where=uri,
            expected=expected,
            examples=[f"got {got}, {path.stat().st_size:,} bytes"],
            fix="somebody or some disk changed it: bring it back from a backup, or make it again",
            data={"uri": uri, "expected": expected, "got": got},
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # some network drives can't for a folder
            raise
    finally:
        os.close(descriptor)
