"""The head of the chain: what somebody keeps outside, so that the history before it can't be rewritten."""

from __future__ import annotations

import re
from datetime import datetime
from typing import ClassVar, Self

from rescore.document import Document
from rescore.errors import ParameterError
from rescore.sha256 import Sha256

__all__ = ["ChainHead"]

_FORM = re.compile(r"([1-9][0-9]*):((?:sha256:)?[0-9a-f]{64})")


class ChainHead(Document):
    """An entry's number and digest; written ``12:sha256:…``.

    Attributes
    ----------
    number : int
        The entry's place in the chain, from 1.
    digest : Sha256
        Its digest, which covers all entries before it.
    at : datetime, optional
        When it was read, by the database's clock.
    store : str, optional
        Where: schema, host, port and database.
    """

    FORMAT: ClassVar[int] = 1
    number: int
    digest: Sha256
    at: datetime | None = None
    store: str | None = None

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` wrote.

        Raises
        ------
        ParameterError
            Anything else.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ParameterError(
                f"{text!r} is no head of a chain",
                expected="a number and a digest, as in 12:sha256:…",
                fix="copy the line that `rescore audit head` printed",
            )
        return cls(number=int(match[1]), digest=Sha256(match[2]))
