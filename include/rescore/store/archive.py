"""Frozen inputs and packages as files, named by their content; on disk or in an object store.

::

    inputs/ab/ab12…/<sha256 of the file>.parquet      ab12…: the content digest of the table
    packages/cd/cd34…/flight_delay-1.0.3-py3-none-any.whl

A table's digest does not depend on how Parquet wrote it, so the name also holds the file's own sha256:
what is read is compared with it, byte for byte, before anybody uses it.
"""

from __future__ import annotations

import os
import posixpath
import re
import uuid
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from rescore.errors import DigestMismatchError, NotFoundError, SettingsError, StoreUnavailableError
from rescore.sha256 import file_sha256

__all__ = ["Archive"]

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class Archive:
    """A folder or bucket of files that are named by their content and never change.

    Parameters
    ----------
    url : str
        A path, or any fsspec URL (``s3://bucket/prefix``).
    cache : Path, optional
        Where files of a remote archive are kept once read; default: a folder ``.rescore-cache`` in the
        home directory. A local archive is read in place.

    Raises
    ------
    SettingsError
        The URL has no scheme that fsspec knows, or its library is not installed.
    """

    def __init__(self, url: str, *, cache: Path | None = None) -> None:
        try:
            filesystem, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise SettingsError(
                f"the archive {url!r} can't be opened: {error}",
                where="RESCORE_ARCHIVE",
                expected="a path, or a URL whose fsspec library is installed",
                fix="mend the URL, or install the library it needs (for s3://: s3fs)",
            ) from None
        self._fs: Any = filesystem
        self._root: str = root.rstrip("/")
        self._local = isinstance(filesystem, LocalFileSystem)
        self._cache = cache if cache is not None else Path.home() / ".rescore-cache"
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
        name = file_sha256(path).removeprefix("sha256:")
        return self._put(path, posixpath.join("inputs", *_folders(digest), f"{name}.parquet"))

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
        found = self._find(posixpath.join("inputs", *_folders(digest)), digest)
        expected = "sha256:" + posixpath.basename(found).removesuffix(".parquet")
        return self._get(found, expected)

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
        _verify(path, sha256, str(path))
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
        return self._get(self._find(posixpath.join("packages", *_folders(sha256)), sha256), sha256)

    def _put(self, path: Path, name: str) -> str:
        target = posixpath.join(self._root, name)
        uri = str(self._fs.unstrip_protocol(target))
        with _reaching(self.url):
            if self._fs.exists(target) and self._fs.size(target) == path.stat().st_size:
                return uri
            # Under another name first: a reader sees the whole file or none.
            partial = f"{target}.{uuid.uuid4().hex}.partial"
            self._fs.makedirs(posixpath.dirname(target), exist_ok=True)
            try:
                self._fs.put_file(str(path), partial)
                if self._local:
                    Path(partial).chmod(0o444)
                    _sync(Path(partial))
                    Path(partial).replace(target)
                else:
                    self._fs.mv(partial, target)
            finally:
                if self._fs.exists(partial):
                    self._fs.rm_file(partial)
        return uri

    def _find(self, folder: str, digest: str) -> str:
        path = posixpath.join(self._root, folder)
        with _reaching(self.url):
            self._fs.invalidate_cache()
            files = self._fs.ls(path, detail=False) if self._fs.exists(path) else []
        whole = sorted(str(name) for name in files if not str(name).endswith(".partial"))
        if not whole:
            raise NotFoundError(
                f"the archive has no file for {digest}",
                where=str(self._fs.unstrip_protocol(path)),
                expected="a file that was put there",
                fix="check RESCORE_ARCHIVE; what retention removed can only be derived from the source",
                data={"digest": digest},
            )
        return whole[0]

    def _get(self, found: str, expected: str) -> Path:
        uri = str(self._fs.unstrip_protocol(found))
        if self._local:
            _verify(Path(found), expected, uri)
            return Path(found)
        cached = self._cache.joinpath(*_folders(expected), posixpath.basename(found))
        if cached.is_file() and file_sha256(cached) == expected:
            return cached
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_name(f"{cached.name}.{uuid.uuid4().hex}.partial")
        try:
            with _reaching(self.url):
                self._fs.get_file(found, str(partial))
            _verify(partial, expected, uri)
            partial.replace(cached)
        finally:
            partial.unlink(missing_ok=True)
        return cached


class _reaching:  # noqa: N801 — reads as a statement
    """Say in our words that the archive could not be reached."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError):
            raise StoreUnavailableError(
                f"the archive can't be read or written: {error}",
                where=self._url,
                expected="a folder or bucket we may read and write",
                fix="check the path, its rights and its free space",
            ) from error


def _folders(digest: str) -> tuple[str, str]:
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise NotFoundError(f"{digest!r} is not a digest", expected="sha256: and 64 hexadecimal digits")
    return match[1][:2], match[1]


def _verify(path: Path, expected: str, uri: str) -> None:
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
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
