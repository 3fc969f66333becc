"""What a Postgres says to a connection that is only begun: its SQLSTATE, which no driver hands on.

When no connection comes about, libpq gives the server's words alone, in the language that the server
speaks (``lc_messages``). A server that is starting, stopping or full says so at once, before it asks who
is there; so whoever asks again and names no password learns whether the words were about the login.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from contextlib import closing, suppress

__all__ = ["startup_sqlstate"]

_SECONDS = 5.0
#: Version 3.0 of the protocol, as a startup message has it.
_PROTOCOL = 3 << 16


def startup_sqlstate(parameters: Mapping[str, str]) -> str | None:
    """The SQLSTATE with which a server refuses whoever comes.

    Parameters
    ----------
    parameters : mapping of str to str
        libpq's: ``host``, ``port``, ``user``, ``dbname``.

    Returns
    -------
    str or None
        Empty if the server goes on to ask for a login. None if it can't be asked: there are several hosts,
        none is named, or nothing answers.
    """
    host = parameters.get("hostaddr") or parameters.get("host", "")
    port = parameters.get("port") or "5432"
    if not host or "," in host or not port.isdigit():
        return None
    names = (("user", parameters.get("user") or "nobody"), ("database", parameters.get("dbname") or ""))
    pairs = b"".join(f"{name}\0{value}\0".encode() for name, value in names if value)
    start = struct.pack("!I", _PROTOCOL) + pairs + b"\0"
    with suppress(OSError, UnicodeError, struct.error), closing(_connected(host, int(port))) as connection:
        connection.sendall(struct.pack("!I", len(start) + 4) + start)
        with connection.makefile("rb") as answer:
            kind, length = struct.unpack("!cI", answer.read(5))
            fields = answer.read(length - 4).split(b"\0") if kind == b"E" else []
        return next((field[1:].decode() for field in fields if field[:1] == b"C"), "")
    return None


def _connected(host: str, port: int) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), _SECONDS)
    local = socket.socket(socket.AF_UNIX)
    local.settimeout(_SECONDS)
    local.connect(f"{host}/.s.PGSQL.{port}")
    return local
