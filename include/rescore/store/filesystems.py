"""Where archive and anchors are, as a file system: a folder, or an object store by its URL."""

from __future__ import annotations

from typing import Any

import fsspec

from rescore.errors import SettingsError

__all__ = ["open_filesystem"]


def open_filesystem(url: str, *, what: str, where: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    ``s3://`` is read by Arrow's own client, which every installation has. Its options stand in the URL:
    ``s3://bucket/prefix?region=eu-central-1``, or ``?scheme=http&endpoint_override=host:port`` for a store
    that is not Amazon's. The key comes from the environment (``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY``) or from the machine's role.

    Parameters
    ----------
    url : str
        A path, or any fsspec URL.
    what, where : str
        What is there, and where it is declared; for errors.

    Raises
    ------
    SettingsError
        The URL has no scheme or option that is known, or its library is not installed.
    """
    try:
        if url.startswith("s3://"):
            from fsspec.implementations.arrow import ArrowFSWrapper
            from pyarrow.fs import FileSystem

            filesystem, path = FileSystem.from_uri(url)
            return ArrowFSWrapper(filesystem), path
        filesystem, path = fsspec.core.url_to_fs(url)
        return filesystem, str(path)
    except (ImportError, ValueError, OSError) as error:
        raise SettingsError(
            f"the {what} {url!r} can't be opened: {error}",
            where=where,
            expected="a path, or a URL whose fsspec library is installed",
            fix="correct the URL (of s3:// name the region: s3://bucket/prefix?region=…), "
            "or install the library that it needs",
        ) from None
