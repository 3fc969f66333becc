"""What a Postgres says to a connection that is only begun: its SQLSTATE, which no driver hands on.

When no connection comes about, libpq gives the server's words alone, in the language that the server speaks
(``lc_messages``). A server that is starting, stopping or full says so at once, before it asks who is there;
so whoever asks again and names no password learns whether the words were about the login. It is asked under
TLS where the connection would have been: who logs in where is nobody else's business.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import Mapping
from contextlib import closing, suppress

__all__ = ["startup_sqlstate"]

_SECONDS = 5.0
#: Version 3.0 of the protocol, as a startup message has it.
_PROTOCOL = 3 << 16
_TLS_REQUEST = struct.pack("!II", 8, 80877103)
#: What ``sslmode`` lets go on without TLS, and with a certificate that nobody has looked at.
_PLAIN_AT_ONCE = {"disable", "allow"}
_PLAIN_TOO = {"prefer", *_PLAIN_AT_ONCE}
_UNPROVED = {"prefer", "require"}


def startup_sqlstate(parameters: Mapping[str, str]) -> str | None:
    """The SQLSTATE with which a server refuses whoever comes.

    Parameters
    ----------
    parameters : mapping of str to str
        libpq's: ``host``, ``port``, ``user``, ``dbname``, ``sslmode``, ``sslrootcert``.

    Returns
    -------
    str or None
        Empty if the server goes on to ask for a login. None if it can't be asked: there are several hosts,
        none is named, nothing answers, or not with the TLS that is asked for.
    """
    host = parameters.get("hostaddr") or parameters.get("host", "")
    port = parameters.get("port") or "5432"
    if not host or "," in host or not port.isdigit():
        return None
    names = (("user", parameters.get("user") or "nobody"), ("database", parameters.get("dbname") or ""))
    pairs = b"".join(f"{name}\0{value}\0".encode() for name, value in names if value)
    start = struct.pack("!I", _PROTOCOL) + pairs + b"\0"
    failures = (OSError, UnicodeError, ValueError, struct.error)  # ValueError: of a certificate's file
    with suppress(*failures), closing(_connected(host, int(port), parameters)) as connection:
        connection.sendall(struct.pack("!I", len(start) + 4) + start)
        with connection.makefile("rb") as answer:
            kind, length = struct.unpack("!cI", answer.read(5))
            fields = answer.read(length - 4).split(b"\0") if kind == b"E" else []
        return next((field[1:].decode() for field in fields if field[:1] == b"C"), "")
    return None


def _connected(host: str, port: int, parameters: Mapping[str, str]) -> socket.socket:
    """A connection as ``sslmode`` has it."""
    if host.startswith("/"):
        local = socket.socket(socket.AF_UNIX)
        local.settimeout(_SECONDS)
        local.connect(f"{host}/.s.PGSQL.{port}")
        return local
    mode = parameters.get("sslmode") or os.environ.get("PGSSLMODE") or "prefer"
    plain = socket.create_connection((host, port), _SECONDS)
    try:
        if mode in _PLAIN_AT_ONCE:
            return plain
        plain.sendall(_TLS_REQUEST)
        answer = plain.recv(1)
        if answer == b"S":
            return _tls(mode, parameters).wrap_socket(plain, server_hostname=parameters.get("host") or host)
    except BaseException:
        plain.close()
        raise
    if answer != b"N" or mode not in _PLAIN_TOO:
        plain.close()  # whoever writes to it gets an OSError
    return plain


def _tls(mode: str, parameters: Mapping[str, str]) -> ssl.SSLContext:
    if mode in _UNPROVED:
        unproved = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unproved.check_hostname, unproved.verify_mode = False, ssl.CERT_NONE
        return unproved
    root = parameters.get("sslrootcert") or os.environ.get("PGSSLROOTCERT") or "~/.postgresql/root.crt"
    proved = ssl.create_default_context(cafile=None if root == "system" else os.path.expanduser(root))  # noqa: PTH111
    proved.check_hostname = mode == "verify-full"
    proved.verify_flags &= ~ssl.VERIFY_X509_STRICT  # 3.13 refuses certificates that libpq takes
    return proved
