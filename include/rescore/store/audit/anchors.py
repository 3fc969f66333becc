"""Heads that are kept outside of the store's database: one small file each, never overwritten.

::

    000000012345.json        the head: number, digest, when, of which store
    000000012345.json.sig    its signature, a Sigstore bundle, where there is one
"""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from rescore.disk import partial_name
from rescore.errors import StoreError, StoreUnavailableError
from rescore.store.audit.head import ChainHead
from rescore.store.filesystems import open_filesystem

__all__ = ["Anchor", "Anchors"]


@dataclass(frozen=True)
class Anchor:
    """A kept head: its file's name and bytes, and the signature beside it."""

    name: str
    content: bytes
    signature: Mapping[str, Any] | None

    @property
    def head(self) -> ChainHead:
        """The head in the file.

        Raises
        ------
        DocumentError
            The file is no head.
        """
        return ChainHead.from_dict(json.loads(self.content))


class Anchors:
    """A folder or bucket that whoever can write the store's database should not be able to change.

    Parameters
    ----------
    url : str
        A path, or any fsspec URL (``s3://bucket/prefix``).

    Raises
    ------
    SettingsError
        The URL has no scheme that fsspec knows, or its library is not installed.
    """

    def __init__(self, url: str) -> None:
        self._fs, root = open_filesystem(url, what="anchors", where="RESCORE_ANCHORS")
        self._root = root.rstrip("/")
        self.url = url

    def put(self, head: ChainHead, content: bytes, signature: Mapping[str, Any] | None = None) -> str:
        """Keep a head; keeping it again changes nothing.

        Returns
        -------
        str
            Its URI.

        Raises
        ------
        StoreError
            Another head of the same number is kept there.
        """
        target = posixpath.join(self._root, f"{head.number:012d}.json")
        uri = str(self._fs.unstrip_protocol(target))
        try:
            self._fs.makedirs(self._root, exist_ok=True)
            if self._fs.exists(target):
                kept = self._whole(target, uri)
                if kept.digest == head.digest:
                    return uri
                raise StoreError(
                    f"another head of entry {head.number} is kept already",
                    where=uri,
                    expected=str(kept),
                    examples=[f"got {head}"],
                    fix="the history was rewritten, or this is another store's folder: "
                    "`rescore audit verify`",
                )
            if signature is not None:  # first: a head in its place is whole
                self._fs.pipe_file(f"{target}.sig", json.dumps(dict(signature)).encode())
            self._keep(target, content)
        except OSError as error:
            raise _unreachable(self.url, error) from error
        return uri

    def _keep(self, target: str, content: bytes) -> None:
        """Put a file in its place whole, or not at all, and over no other one; a bucket does so by itself."""
        if not isinstance(self._fs, LocalFileSystem):
            self._fs.pipe_file(target, content)
            return
        partial = Path(partial_name(target))
        try:
            partial.write_bytes(content)
            with suppress(FileExistsError):
                os.link(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    def _whole(self, target: str, uri: str) -> ChainHead:
        try:
            return Anchor(posixpath.basename(target), self._fs.cat_file(target), None).head
        except ValueError as error:
            raise StoreError(
                f"the head that is kept there can't be read: {error}",
                where=uri,
                expected="a file that `rescore audit anchor` wrote",
                fix="it was changed, or a disk was full: move it away, and anchor again",
            ) from error

    def kept(self) -> list[Anchor]:
        """All kept heads, in the order of their numbers."""
        try:
            if not self._fs.exists(self._root):
                return []
            self._fs.invalidate_cache()
            names = {posixpath.basename(str(name)) for name in self._fs.ls(self._root, detail=False)}
            return [
                Anchor(name, self._read(name), self._signature(f"{name}.sig", names))
                for name in sorted(names)
                if name.endswith(".json")
            ]
        except OSError as error:
            raise _unreachable(self.url, error) from error

    def _read(self, name: str) -> bytes:
        content: bytes = self._fs.cat_file(posixpath.join(self._root, name))
        return content

    def _signature(self, name: str, names: set[str]) -> dict[str, Any] | None:
        if name not in names:
            return None
        bundle: dict[str, Any] = json.loads(self._read(name))
        return bundle


def _unreachable(url: str, error: OSError) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"the anchors can't be read or written: {error}",
        where=url,
        expected="a folder or bucket we may read and write",
        fix="check RESCORE_ANCHORS and its rights",
    )
