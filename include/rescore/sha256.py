"""A sha256 as a value: written ``sha256:`` and 64 hexadecimal digits everywhere, and parsed once."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from pydantic_core import core_schema

from rescore.errors import UndigestibleError

__all__ = ["Sha256", "bytes_sha256", "file_sha256"]

_PREFIX = "sha256:"
_FORM = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


class Sha256(str):
    """``sha256:`` and 64 lower-case hexadecimal digits; still a string, so that drivers and JSON take it.

    Parameters
    ----------
    text : str
        With or without ``sha256:``.

    Raises
    ------
    UndigestibleError
        Anything else, ``None`` above all: an absent digest never becomes one.
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Sha256:
        """Parse and normalise ``text``."""
        if isinstance(text, cls):
            return text
        match = _FORM.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise UndigestibleError(
                f"{text!r} is no sha256",
                expected="sha256: and 64 hexadecimal digits",
                fix="copy it whole from where it is shown",
            )
        return super().__new__(cls, _PREFIX + match[1])

    @property
    def hex(self) -> str:
        """The 64 digits alone, for file names."""
        return self[len(_PREFIX) :]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Parsed where a document is read, plain text where it is written."""
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema())


def bytes_sha256(content: bytes) -> Sha256:
    """The sha256 of the bytes."""
    return Sha256(hashlib.sha256(content).hexdigest())


def file_sha256(path: Path) -> Sha256:
    """The sha256 of the file's bytes."""
    with path.open("rb") as stream:
        return Sha256(hashlib.file_digest(stream, "sha256").hexdigest())
