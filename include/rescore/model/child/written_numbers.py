"""Numbers and texts that an artifact holds as text or bytes, however they are wrapped."""

from __future__ import annotations

import base64
import binascii
import bz2
import lzma
import re
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["numbers_of_bytes", "numbers_of_texts", "text_of", "unpacked", "unwrapped"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Not the 7 of ``x7``.
_NUMBER = re.compile(r"(?<![A-Za-z\d.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_HEX, _BASE64 = re.compile(r"(?:[0-9a-fA-F]{2})+"), re.compile(r"[A-Za-z0-9+/_\-\s]+={0,2}")

#: A text shorter than this holds no bytes of rows.
_LONG = 60
#: Bytes that are unpacked at most, and wrappings within each other.
_MOST, _DEPTH = 1 << 28, 3


def numbers_of_texts(texts: Sequence[str]) -> tuple[Floats, Integers]:
    """Every number written in texts, and which of the texts it stands in; both of shape (n_numbers,)."""
    values, places = [], []
    for place, text in enumerate(texts):
        for one in _NUMBER.findall(text):
            values.append(float(one))
            places.append(place)
    return np.asarray(values, np.float64), np.asarray(places, np.int64)


def unwrapped(text: str) -> bytes:
    """The bytes that a text is in hexadecimal or base 64; none of a text that is neither.

    It may be wrapped, into lines or groups of one length (but the last), which words of a sentence are not.
    """
    *lines, last = text.split() or [""]
    if len(text) < _LONG or len({len(line) for line in lines}) > 1:
        return b""
    whole = "".join([*lines, last])
    try:
        if _HEX.fullmatch(whole):
            return bytes.fromhex(whole)
        if _BASE64.fullmatch(whole):
            padded = whole.rstrip("=") + "=" * (-len(whole.rstrip("=")) % 4)
            return base64.b64decode(padded, altchars=b"-_" if set("-_") & set(whole) else None)
    except (ValueError, binascii.Error):
        pass
    return b""


def unpacked(content: bytes) -> bytes:
    """What bytes are when nothing in them is compressed any more."""
    for _ in range(_DEPTH):
        within = _unpacked(content)
        if not within:
            break
        content = within
    return content


def text_of(content: bytes) -> str:
    """The text that bytes are in UTF-8; none of bytes that are no text."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def numbers_of_bytes(content: bytes) -> Iterator[tuple[Floats, str]]:
    """Numbers of 64 or 32 bits, of either order of bytes, behind a header of any length.

    Each with numpy's name of what they were read as.
    """
    for kind in ("<f8", ">f8", "<f4", ">f4"):
        size = int(kind[-1])
        for offset in range(min(size, len(content))):
            usable = (len(content) - offset) // size
            with np.errstate(all="ignore"):
                values = np.frombuffer(content, kind, usable, offset).astype(np.float64)
            plausible = np.isfinite(values) & (np.abs(values) > 1e-9) & (np.abs(values) < 1e15)
            if plausible.any():
                yield values[plausible], kind


def _unpacked(content: bytes) -> bytes | None:
    makers = {
        b"\x1f\x8b": lambda: zlib.decompressobj(wbits=47),
        b"\x78": lambda: zlib.decompressobj(wbits=47),
        b"BZh": bz2.BZ2Decompressor,
        b"\xfd7zXZ": lzma.LZMADecompressor,
    }
    for magic, made in makers.items():
        if content.startswith(magic):
            try:
                return bytes(made().decompress(content, _MOST))  # type: ignore[attr-defined]
            except (zlib.error, OSError, EOFError, lzma.LZMAError):
                return None
    return None
